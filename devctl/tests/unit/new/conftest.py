"""A small repository, laid out as `devctl new` wants it, with contracts of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from devctl.__main__ import main

DOCS = Path(__file__).parents[4] / "docs/json"
RUFF = Path(sys.executable).parent / "ruff"
RUFF_SETTINGS = 'line-length = 120\nsrc = ["*/src"]\n[lint]\nselect = ["B", "E", "F", "I", "RET", "RUF", "UP", "W"]\n'

FILES = {
    "docker-compose.yml": """\
x-devctl: {broker: redis, workers: [worker], contracts: our_tasks}

x-service: &service
  restart: unless-stopped
x-args: &args
  PYTHON_IMAGE: python
x-build: &build
  dockerfile: ../Dockerfile
x-environment: &environment
  CELERY_BROKER_URL: redis://redis:6379/0
x-probe: &probe
  interval: 10s
x-watch:
  - &shared {path: ./contracts/src, action: rebuild, target: /app, ignore: &bytecode ["**/__pycache__"]}
  - &celeriac {path: ./celeriac/src, action: rebuild, ignore: *bytecode}

services:
  redis:
    image: redis:8
    ports: ["127.0.0.1:${REDIS_PORT:-6379}:6379"]

  worker:
    <<: *service
    image: ${IMAGE_PREFIX:-our}/worker:${IMAGE_TAG:-dev}
    build: {<<: *build, context: ./worker}
    command: ["python", "-m", "worker_app.main"]
    environment:
      <<: *environment
      WORKER_MOUNT: ${WORKER_MOUNT:-}  # what measures

# What is kept.
volumes:
  redis-data:
""",
    ".env.example": "REDIS_PORT=6379\n\n# Logs\nLOG_LEVEL=INFO\n",
    "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = ["tests/lib"]\n',
    "tests/lib/lab/__init__.py": "",
    "celeriac/src/celeriac/__init__.py": "",
    "celeriac/src/celeriac/http.py": "",
    "celeriac/pyproject.toml": '[project]\nname = "celeriac"\n',
    "contracts/pyproject.toml": '[project]\nname = "our-tasks"\ndependencies = ["celeriac", "pydantic>=2"]\n',
    "contracts/src/our_tasks/__init__.py": "",
    "contracts/src/our_tasks/schemas.py": """\
from uuid import UUID, uuid4

from pydantic import Field

from celeriac import TaskPayload, TaskResult


class ParcelPayload(TaskPayload):
    named_by = "parcel_id"

    parcel_id: UUID = Field(default_factory=uuid4)
    grams: int = Field(ge=1, le=30_000)


class ParcelResult(TaskResult):
    price: int
""",
    "contracts/src/our_tasks/tasks.py": """\
from typing import Any

from celeriac import Contract
from our_tasks.schemas import ParcelPayload, ParcelResult

weigh = Contract(name="tasks.weigh", queue="parcels", payload=ParcelPayload, result=ParcelResult)

CONTRACTS: tuple[Contract[Any, Any], ...] = (weigh,)
""",
    "worker/pyproject.toml": (
        '[project]\nname = "worker"\ndependencies = [\n  "celeriac[metrics]",\n  "our-tasks",\n]\n'
    ),
    "worker/requirements.lock": "celery==5.6.0 --hash=sha256:00\n",
    "worker/src/worker_app/__init__.py": "",
    "worker/src/worker_app/handlers.py": """\
\"\"\"What the worker does.\"\"\"

from celeriac import implements
from our_tasks.schemas import ParcelPayload, ParcelResult
from our_tasks.tasks import weigh


@implements(weigh)
def handle_weigh(parcel: ParcelPayload) -> ParcelResult:
    return ParcelResult(price=parcel.grams)  # a cent each
""",
    "worker/src/worker_app/main.py": """\
import sys

from celeriac import serve
from worker_app.handlers import handle_weigh


def main() -> int:
    return serve("worker", owns=[handle_weigh])


if __name__ == "__main__":
    sys.exit(main())
""",
}


class OurRepository:
    """The files on the disk, and devctl run among them."""

    files = FILES

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self._capsys = capsys

    def new(self, *arguments: str, code: int = 0) -> str:
        """Run `devctl new …`; what it printed, both streams."""
        assert code == main(["new", *arguments]), self._capsys.readouterr()
        said = self._capsys.readouterr()
        return said.out + said.err

    def document(self, *arguments: str) -> dict[str, Any]:
        assert 0 == main(["new", *arguments, "--json"])
        found: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        jsonschema.validate(found, json.loads((DOCS / "new.schema.json").read_text()))
        return found

    def read(self, path: str) -> str:
        return (self.root / path).read_text()

    def state(self) -> dict[str, str]:
        files = [file for file in self.root.rglob("*") if file.is_file() and ".git" not in file.parts]
        return {str(file.relative_to(self.root)): file.read_text() for file in files if "__pycache__" not in file.parts}

    def check_style(self) -> None:
        """Formatted as ruff would, no import too many or in the wrong place."""
        for arguments in (["format", "--check"], ["check"]):
            done = subprocess.run(
                [RUFF, *arguments, "--no-cache", "."], cwd=self.root, capture_output=True, text=True, check=False
            )
            assert 0 == done.returncode, done.stdout + done.stderr


@pytest.fixture
def repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[OurRepository]:
    root = tmp_path / "our shop"
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "ruff.toml").write_text(RUFF_SETTINGS)
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(root / "contracts/src")
    for name in ("DEVCTL_STACK", "DEVCTL_RUNTIME", "COMPOSE_PROJECT_NAME"):
        monkeypatch.delenv(name, raising=False)
    yield OurRepository(root, capsys)
    for module in [one for one in sys.modules if one.partition(".")[0] == "our_tasks"]:
        del sys.modules[module]
