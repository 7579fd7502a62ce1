"""devctl new endpoint: routes that work."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any


def test_an_endpoint_takes_the_fields_of_the_payload_without_its_id(repository: Any) -> None:
    repository.new("service", "counter", "--http")
    repository.new("endpoint", "/api/parcels", "--in", "counter", "--publishes", "weigh")

    api = repository.read("counter/src/counter/api.py")
    assert "    grams: int = Field(ge=1, le=30_000)\n" in api
    assert "parcel_id: UUID" not in api
    assert "parcel_id=task_id," in api
    assert 'Api("counter", [weigh], settings' in api
    assert "from pydantic import Field\n" in api
    assert '  "fastapi>=0.115",\n  "our-tasks",\n  "pydantic>=2",\n]' in repository.read("counter/pyproject.toml")
    assert 'our-tasks = { path = "../contracts", editable = true }' in repository.read("counter/pyproject.toml")
    repository.check_style()


def test_a_second_one_stands_beside_it(repository: Any) -> None:
    repository.new("task", "send_mail", "--queue", "mails")
    repository.new("service", "counter", "--http")
    repository.new("endpoint", "/api/parcels", "--in", "counter", "--publishes", "weigh")
    repository.new("endpoint", "/api/mails", "--in", "counter", "--publishes", "send_mail")
    told = repository.new("endpoint", "/api/mails", "--in", "counter", "--publishes", "weigh", code=2)
    assert "counter publishes weigh under another path already" in told
    repository.check_style()


def test_the_routes_are_in_the_openapi_document(repository: Any) -> None:
    repository.new("service", "counter", "--http")
    repository.new("endpoint", "/api/parcels", "--in", "counter", "--publishes", "weigh")
    asked = "from counter.api import create_api; print(sorted(create_api().openapi()['paths']))"
    paths = [str(repository.root / name / "src") for name in ("contracts", "counter")]
    done = subprocess.run(
        [sys.executable, "-c", asked],
        env={**os.environ, "PYTHONPATH": ":".join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "['/api/parcels', '/api/parcels/{task_id}'" in done.stdout, done.stderr
