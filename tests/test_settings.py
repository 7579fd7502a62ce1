"""docs/settings.md names every variable that a service reads, with its default; and what a service reads, the Compose
file gives it."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from celeriac.app.settings import CelerySettings, HttpSettings, LogSettings, WorkerSettings
from celeriac.retry.policy import variable
from celeriac.worker.service import load, serve

ROOT = Path(__file__).parents[1]
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
OWN = {name: one for name, one in SERVICES.items() if "build" in one and "profiles" not in one}
BUILT = {name: one["build"]["args"]["SERVICE"] for name, one in OWN.items()}
PAGE = (ROOT / "docs/settings.md").read_text()
KINDS = (CelerySettings, WorkerSettings, HttpSettings, LogSettings)


def variables(kind: type[Any]) -> dict[str, Any]:
    """Name -> default; None or empty where the page says in words what then happens."""
    return {kind.prefix + name.upper(): field.default for name, field in kind.model_fields.items()}


def documented() -> dict[str, str]:
    """Name -> default, of each row of the page's table; a row of two names has two defaults."""
    found: dict[str, str] = {}
    for names, defaults in re.findall(r"^\| (`[A-Z_`, ]+`) \| ([^|]*) \|", PAGE, re.MULTILINE):
        found |= dict(zip(re.findall(r"\w+", names), defaults.replace("`", "").split(", "), strict=True))
    return found


def test_the_page_names_every_variable_with_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    read = {name: default for kind in KINDS for name, default in variables(kind).items()}
    assert {*read} == {*documented()}
    for name in read:
        monkeypatch.delenv(name, raising=False)
    defaults = [kind() for kind in KINDS]
    for name, default in documented().items():
        if read[name] not in (None, ""):
            monkeypatch.setenv(name, default)
    assert defaults == [kind() for kind in KINDS]


@pytest.mark.parametrize("name", BUILT)
def test_the_compose_file_gives_a_service_what_it_reads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a consumer also how its tasks are tried again: a variable that only .env has reaches nobody."""
    main, given = import_module(f"{BUILT[name]}.main"), []
    consumes = main.serve is serve
    monkeypatch.setattr(main, "serve", lambda *words, **named: given.append(named) or 0)
    assert 0 == main.main()
    retried = [one.contract for one in given[0].get("owns", ()) if one.contract.retries.limit]
    passed = set(SERVICES[name]["environment"])
    assert {*variables(CelerySettings), *variables(LogSettings)} <= passed
    assert {variable(contract.name) for contract in retried} == {one for one in passed if one.startswith("RETRY_")}
    assert not consumes or {"WORKER_STOP_SECONDS", "WORKER_MOUNT"} <= passed
    for contract in retried:
        monkeypatch.setenv(variable(contract.name), "limit=9")
        assert 9 == load(given[0]["owns"]).retries[contract.name].limit
