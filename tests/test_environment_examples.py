"""Each .env.example: every variable that its service reads, with the value it has when nothing is said."""

from pathlib import Path

import pytest

import service1.config
import service2.config
import worker.config
from celeriac.app.settings import CelerySettings, LogSettings, WorkerSettings
from celeriac.retry.policy import variable
from common_tasks.tasks import process_order, send_notification

ROOT = Path(__file__).parents[1]
READS = {
    "worker": (CelerySettings, LogSettings, WorkerSettings),
    "example-service-1": (CelerySettings, LogSettings, service1.config.HttpSettings),
    "example-service-2": (CelerySettings, LogSettings, WorkerSettings, service2.config.HttpSettings),
}
RETRIED = {"worker": [process_order], "example-service-1": [], "example-service-2": [send_notification]}
LOADED = {"worker": worker.config.load, "example-service-2": service2.config.load}


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
    for name, value in example(folder).items():
        monkeypatch.setenv(name, value)
    assert [kind() for kind in READS[folder]] == defaults


@pytest.mark.parametrize("folder", LOADED)
def test_it_tells_the_policy_that_a_variable_would_override(folder, monkeypatch):
    for contract in RETRIED[folder]:
        assert (
            f"# {variable(contract.name)}={contract.retries}"
            in (ROOT / folder / ".env.example").read_text().splitlines()
        )
        assert LOADED[folder]().retries[contract.name] == contract.retries
        monkeypatch.setenv(variable(contract.name), "limit=9")
        assert 9 == LOADED[folder]().retries[contract.name].limit
