"""Each .env.example: every variable that its service reads, with the value it has when nothing is said."""

from pathlib import Path

import pytest

import service1.config
import service2.config
from celeriac.app.settings import CelerySettings, HttpSettings, LogSettings, WorkerSettings
from celeriac.retry.policy import variable
from celeriac.worker.service import load
from common_tasks.tasks import process_order, send_notification
from service2.handlers import handle_notification
from worker.handlers import handle_order

ROOT = Path(__file__).parents[1]
READS = {
    "worker": (CelerySettings, LogSettings, WorkerSettings, HttpSettings),
    "example-service-1": (CelerySettings, LogSettings, HttpSettings),
    "example-service-2": (CelerySettings, LogSettings, WorkerSettings, HttpSettings),
}
RETRIED = {"worker": [process_order], "example-service-1": [], "example-service-2": [send_notification]}
OWNED = {"worker": [handle_order], "example-service-2": [handle_notification]}
PORTS = {  # if the environment names none
    "worker": "",
    "example-service-1": str(service1.config.HTTP_PORT),
    "example-service-2": str(service2.config.HTTP_PORT),
}


def example(folder: str) -> dict[str, str]:
    lines = (ROOT / folder / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def variables(kind: type) -> set[str]:
    return {(kind.model_config["env_prefix"] + name).upper() for name in kind.model_fields}


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch):
    for kind in {kind for kinds in READS.values() for kind in kinds}:
        for name in variables(kind):
            monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("folder", READS)
def test_it_lists_what_the_service_reads(folder):
    read = {variable(contract.name) for contract in RETRIED[folder]}
    assert set(example(folder)) == read.union(*(variables(kind) for kind in READS[folder]))


@pytest.mark.parametrize("folder", READS)
def test_copied_as_it_is_it_changes_nothing(folder, monkeypatch):
    defaults = [kind() for kind in READS[folder]]
    given = example(folder)
    assert PORTS[folder] == given.pop("HTTP_PORT")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert [kind() for kind in READS[folder]] == defaults


@pytest.mark.parametrize("folder", OWNED)
def test_it_tells_the_policy_that_a_variable_would_override(folder, monkeypatch):
    for contract in RETRIED[folder]:
        assert (
            f"# {variable(contract.name)}={contract.retries}"
            in (ROOT / folder / ".env.example").read_text().splitlines()
        )
        assert load(OWNED[folder]).retries[contract.name] == contract.retries
        monkeypatch.setenv(variable(contract.name), "limit=9")
        assert 9 == load(OWNED[folder]).retries[contract.name].limit
