"""Each .env.example: every variable that its service reads, with the value it has when nothing is said."""

from pathlib import Path

import pytest

import service1.config
import service2.config
from common_tasks.settings import CelerySettings, LogSettings, WorkerSettings

ROOT = Path(__file__).parents[1]
READS = {
    "worker": (CelerySettings, LogSettings, WorkerSettings),
    "example-service-1": (CelerySettings, LogSettings, service1.config.HttpSettings),
    "example-service-2": (CelerySettings, LogSettings, WorkerSettings, service2.config.HttpSettings),
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
    assert set(example(folder)) == set().union(*(variables(kind) for kind in READS[folder]))


@pytest.mark.parametrize("folder", READS)
def test_copied_as_it_is_it_changes_nothing(folder, monkeypatch):
    defaults = [kind() for kind in READS[folder]]
    for name, value in example(folder).items():
        monkeypatch.setenv(name, value)
    assert [kind() for kind in READS[folder]] == defaults
