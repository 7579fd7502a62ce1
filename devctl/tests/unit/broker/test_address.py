from __future__ import annotations

import pytest

from devctl.broker.address import dead_bound, from_here, life_length, usual
from devctl.stack.model import Port, Service, Stack


def stack(worker: dict[str, str]) -> Stack:
    services = {"redis": Service("redis", ports=(Port(6379, 6379),)), "worker": Service("worker", environment=worker)}
    return Stack("s", services, "redis", ("worker",), {}, "c")


def locate(service: str, target: int) -> tuple[str, int]:
    return {"redis": "127.0.0.1", "rabbit": "172.18.0.4"}[service], target + 40_000


def service_of(url: str) -> str:
    return next((name for name in ("redis", "rabbit") if f"@{name}" in url or f"//{name}" in url), "")


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("redis://redis:6379/3", "redis://127.0.0.1:46379/3"),
        ("redis://redis", "redis://127.0.0.1:46379"),
        ("redis://:p%40ss@redis:6379/0", "redis://:p%40ss@127.0.0.1:46379/0"),
        ("amqp://u:p@rabbit//", "amqp://u:p@172.18.0.4:45672//"),
        ("amqps://u:p@rabbit/shop", "amqps://u:p@172.18.0.4:45671/shop"),
        ("sentinel://redis:26379/0;sentinel://rabbit", "sentinel://127.0.0.1:66379/0;sentinel://172.18.0.4:66379"),
        ("redis://elsewhere:6380/0", "redis://elsewhere:6380/0"),
        ("redis://host.docker.internal:6380/0", "redis://127.0.0.1:6380/0"),
        ("disabled://", "disabled://"),
    ],
)
def test_what_the_workers_are_told_is_found_from_here(told: str, expected: str) -> None:
    assert expected == from_here(told, service_of, locate)


@pytest.mark.parametrize(
    ("port", "image", "environment", "command", "expected"),
    [
        (6379, "redis:7", {}, (), "redis://broker:6379/0"),
        (6379, "redis:7", {}, ("redis-server", "--requirepass", "p@ss"), "redis://:p%40ss@broker:6379/0"),
        (6379, "bitnami/redis", {"REDIS_PASSWORD": "x"}, (), "redis://:x@broker:6379/0"),
        (15672, "rabbitmq:3-management", {}, (), "amqp://guest:guest@broker:5672/%2F"),
        (
            5672,
            "",
            {"RABBITMQ_DEFAULT_USER": "u", "RABBITMQ_DEFAULT_PASS": "p/", "RABBITMQ_DEFAULT_VHOST": "shop"},
            (),
            "amqp://u:p%2F@broker:5672/shop",
        ),
    ],
)
def test_where_no_worker_says_it_the_brokers_own_settings_give_the_login(
    port: int, image: str, environment: dict[str, str], command: tuple[str, ...], expected: str
) -> None:
    assert expected == usual("broker", port, image, environment, command)


@pytest.mark.parametrize(("said", "expected"), [(None, 10_000), ("250", 250), ("", 10_000), ("many", 10_000)])
def test_the_bound_of_dead_letters_is_the_workers_own(said: str | None, expected: int) -> None:
    assert expected == dead_bound(stack({} if said is None else {"CELERY_DEAD_LETTER_BOUND": said}))


@pytest.mark.parametrize(("said", "expected"), [(None, 100_000), ("0", 0), ("250", 250), ("many", 100_000)])
def test_the_records_that_are_kept_are_the_workers_own(said: str | None, expected: int) -> None:
    assert expected == life_length(stack({} if said is None else {"CELERY_LIFE_LENGTH": said}))
