"""Each .env.example: every variable that its service reads, with the value it has when nothing is said."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from celeriac.app.settings import CelerySettings, HttpSettings, LogSettings, WorkerSettings
from celeriac.retry.policy import variable
from celeriac.worker.service import load, serve

ROOT = Path(__file__).parents[1]
FOLDERS = sorted(example.parent.name for example in ROOT.glob("*/.env.example"))


@dataclass
class Service:
    """What its `main` gives to `serve`: the tasks that it owns (none: it serves HTTP), and the port of its own."""

    folder: str
    owns: list[Any]
    reads: tuple[type[Any], ...]
    port: str

    @classmethod
    def of(cls, folder: str, monkeypatch: pytest.MonkeyPatch) -> "Service":
        (package,) = (init.parent.name for init in (ROOT / folder).glob("src/*/__init__.py"))
        main, given = import_module(f"{package}.main"), []
        consumes = main.serve is serve
        monkeypatch.setattr(main, "serve", lambda *words, **named: given.append((words, named)) or 0)
        assert 0 == main.main()
        ((words, named),) = given
        if consumes:
            reads = (CelerySettings, LogSettings, WorkerSettings, HttpSettings)
            return cls(folder, named["owns"], reads, str(named.get("http_port", "")))
        return cls(folder, [], (CelerySettings, LogSettings, HttpSettings), str(words[2]))

    def example(self) -> dict[str, str]:
        lines = (ROOT / self.folder / ".env.example").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    def retried(self) -> list[Any]:
        return [one.contract for one in self.owns if one.contract.retries.limit]


def variables(kind: type[Any]) -> set[str]:
    return {kind.prefix + name.upper() for name in kind.model_fields}


@pytest.fixture(params=FOLDERS)
def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Service:
    found = Service.of(request.param, monkeypatch)
    for name in {name for kind in found.reads for name in variables(kind)}:
        monkeypatch.delenv(name, raising=False)
    return found


def test_it_lists_what_the_service_reads(service: Service) -> None:
    read = {variable(contract.name) for contract in service.retried()}
    assert set(service.example()) == read.union(*(variables(kind) for kind in service.reads))


def test_copied_as_it_is_it_changes_nothing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = [kind() for kind in service.reads]
    given = service.example()
    assert service.port == given.pop("HTTP_PORT")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert [kind() for kind in service.reads] == defaults


def test_it_tells_the_policy_that_a_variable_would_override(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (ROOT / service.folder / ".env.example").read_text().splitlines()
    for contract in service.retried():
        assert f"# {variable(contract.name)}={contract.retries}" in lines
        assert load(service.owns).retries[contract.name] == contract.retries
        monkeypatch.setenv(variable(contract.name), "limit=9")
        assert 9 == load(service.owns).retries[contract.name].limit
