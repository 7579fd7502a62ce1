from __future__ import annotations

import pytest

from devctl.broker.address import Addresses, addresses, dead_bound
from devctl.stack.model import Port, Service, Stack


def stack(worker: dict[str, str], broker_ports: tuple[Port, ...] = (Port(6379, 6379),)) -> Stack:
    services = {"redis": Service("redis", ports=broker_ports), "worker": Service("worker", environment=worker)}
    return Stack("s", services, "redis", ("worker",), {}, "c")


def locate(service: str, target: int) -> tuple[str, int]:
    assert ("redis", 6379) == (service, target)
    return "127.0.0.1", 49_152


@pytest.mark.parametrize(
    ("environment", "broker", "results"),
    [
        ({}, "redis://127.0.0.1:49152/0", None),
        ({"CELERY_BROKER_URL": "redis://redis:6379/3"}, "redis://127.0.0.1:49152/3", None),
        ({"CELERY_BROKER_URL": "redis://redis"}, "redis://127.0.0.1:49152", None),
        ({"CELERY_BROKER_URL": "redis://:p%40ss@redis:6379/0"}, "redis://:p%40ss@127.0.0.1:49152/0", None),
        ({"CELERY_BROKER_URL": "redis://elsewhere:6380/0"}, "redis://elsewhere:6380/0", None),
        ({"CELERY_RESULT_BACKEND": "redis://redis:6379/1"}, "redis://127.0.0.1:49152/0", "redis://127.0.0.1:49152/1"),
    ],
)
def test_what_the_workers_are_told_is_found_from_here(
    environment: dict[str, str], broker: str, results: str | None
) -> None:
    assert Addresses(broker, results or broker) == addresses(stack(environment), locate)


def test_a_broker_without_ports_is_asked_for_its_usual_one() -> None:
    assert "redis://127.0.0.1:49152/0" == addresses(stack({}, ()), locate).broker


@pytest.mark.parametrize(("said", "expected"), [(None, 10_000), ("250", 250), ("", 10_000), ("many", 10_000)])
def test_the_bound_of_dead_letters_is_the_workers_own(said: str | None, expected: int) -> None:
    assert expected == dead_bound(stack({} if said is None else {"CELERY_DEAD_LETTER_BOUND": said}))
