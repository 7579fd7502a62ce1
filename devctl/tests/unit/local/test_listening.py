"""Which ports a container listens on, as far as its Compose file says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from devctl.stack.local import listening
from devctl.stack.model import Build, Port, Service, Stack


def stack(*services: Service) -> Stack:
    return Stack("shop", {one.name: one for one in services}, broker="", workers=(), aliases={}, contracts="")


@pytest.mark.parametrize(
    ("services", "expected"),
    [
        ([Service("cache", image="redis:7-alpine")], {"cache": (6379,)}),
        ([Service("queue", image="rabbitmq:3-management")], {"queue": (5672, 15672)}),
        ([Service("db", image="docker.io/library/postgres:15")], {"db": (5432,)}),
        ([Service("redis", build=Build(Path()))], {"redis": ()}),
        ([Service("redis", image="redis", ports=(Port(6379, 16379),))], {"redis": (6379,)}),
        ([Service("web", command=("gunicorn", "-b", "0.0.0.0:8000"))], {"web": (8000,)}),
        ([Service("web", command=("sh", "-c", "serve localhost:8000"))], {"web": ()}),
        (
            [Service("web"), Service("proxy", environment={"BACKEND": "http://web:8000/x, http://webs:1"})],
            {"web": (8000,), "proxy": ()},
        ),
        (
            [Service("a", hostname="broker"), Service("b", environment={"URL": "x://u:p@broker:7000//"})],
            {"a": (7000,), "b": ()},
        ),
        (
            [Service("a", aliases=("x",)), Service("b", command=("x:1", "y:2"), links={"y": "a"})],
            {"a": (1, 2), "b": ()},
        ),
        ([Service("a"), Service("b", environment={"URL": "http://a:99999"})], {"a": (), "b": ()}),
    ],
)
def test_published_ports_usual_ports_and_those_that_somebody_calls(
    services: list[Service], expected: dict[str, tuple[int, ...]]
) -> None:
    assert expected == listening.targets(stack(*services))
