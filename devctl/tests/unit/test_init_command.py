"""devctl init: what was found, written into the Compose file."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from devctl.__main__ import main

SCHEMA = json.loads((Path(__file__).parents[3] / "docs/json/new.schema.json").read_text())
TEXT = """\
version: "3"  # as it was

# What we run
services:
  queue: {image: redis}
  jobs: &jobs
    image: acme/jobs
    command: celery -A shop worker
    environment: {CELERY_BROKER_URL: "redis://:secret@queue/0"}
  more: {<<: *jobs}
"""


@pytest.fixture
def compose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "compose.yaml").write_text(TEXT)
    return tmp_path / "compose.yaml"


def test_the_block_stands_before_the_services_and_every_other_line_stays(
    compose: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == main(["init"])
    block = [
        "x-devctl:",
        "  broker: queue  # jobs: CELERY_BROKER_URL",
        "  workers: [jobs, more]  # compose.yaml: command of jobs, compose.yaml: command of more",
        "",
    ]
    lines = TEXT.splitlines()
    assert [*lines[:2], *block, *lines[2:]] == compose.read_text().splitlines()
    assert "edited  compose.yaml  +4" in capsys.readouterr().out
    assert 0 == main(["ps", "--json"])


def test_a_dry_run_shows_it_and_writes_nothing(compose: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["init", "--dry-run", "--json"])
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, SCHEMA)
    assert "+  broker: queue" in document["diff"]
    assert TEXT == compose.read_text()


def test_a_block_that_is_there_stays(compose: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["init"])
    after = compose.read_text()
    assert 1 == main(["init"])
    assert "compose.yaml has an x-devctl already" in capsys.readouterr().err
    assert after == compose.read_text()


def test_what_is_not_known_is_a_comment(compose: Path) -> None:
    compose.write_text(f"{TEXT}  other: {{image: rabbitmq}}\n".replace("CELERY_BROKER_URL", "SOME"))
    assert 0 == main(["init"])
    assert "  # broker: unknown: queue and other can be it, and nothing says which\n" in compose.read_text()
    assert {"workers": ["jobs", "more"]} == yaml.safe_load(compose.read_text())["x-devctl"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("services: {a: {image: acme}}\n", "neither a broker nor a worker was found in compose.yaml"),
        ("{services: {a: {image: redis}}}\n", "compose.yaml is written in another way than devctl can insert into"),
    ],
)
def test_where_it_cannot_write_it_says_what_to_write(
    compose: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    compose.write_text(text)
    assert 1 == main(["init"])
    said = capsys.readouterr().err
    assert says in said
    assert "broker:" in said
    assert text == compose.read_text()
