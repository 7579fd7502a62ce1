"""Which ports of its container each service listens on, and by which names its neighbours call it: pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from devctl.stack.model import Service, Stack

_KINDS = {
    r"(redis|valkey)([-_].*)?": (6379,),
    r"rabbitmq": (5672, 15672),
    r"postgres(ql)?": (5432,),
}
_HIGHEST_PORT = 65_535


def names(stack: Stack) -> dict[str, str]:
    """Return each name that a container is reached by -> its service."""
    found = {name: name for name in stack.services}
    for name, service in stack.services.items():
        for other in (service.hostname, service.container_name, *service.aliases):
            if other:
                found.setdefault(other, name)
        for other, target in service.links.items():
            if target in stack.services:
                found.setdefault(other, target)
    return found


def targets(stack: Stack) -> dict[str, tuple[int, ...]]:
    """Return service -> its ports: the published ones, the usual one of its kind, and what somebody calls it by.

    A port that is not published is none of this machine's: here it is a free one, as a published one without a number.
    """
    called = names(stack)
    found: dict[str, dict[int, None]] = {
        name: {port.target: None for port in service.ports if port.protocol == "tcp"}
        for name, service in stack.services.items()
    }
    for name, service in stack.services.items():
        for port in (*usual(service), *_exposed(service)):
            found[name].setdefault(port)
    for caller, service in stack.services.items():
        for text in _texts(service):
            for name, port in _called(text, called, caller):
                if 0 < port <= _HIGHEST_PORT:
                    found[name].setdefault(port)
    return {name: tuple(ports) for name, ports in found.items()}


def usual(service: Service) -> tuple[int, ...]:
    """Return what a server of this image listens on."""
    if service.command and service.command[0].rpartition("/")[2] in ("redis-server", "valkey-server"):
        return (6379,)
    kind = image(service)
    return next((ports for pattern, ports in _KINDS.items() if kind and re.fullmatch(pattern, kind)), ())


def _exposed(service: Service) -> Iterator[int]:
    for port in service.unmodelled.get("expose") or ():
        if re.fullmatch(r"\d+(/tcp)?", str(port)):
            yield int(str(port).partition("/")[0])


def image(service: Service) -> str:
    """Return the last part of its image's name: `redis` of `registry.example.com/library/redis:8`; "" of a build."""
    return "" if service.build else service.image.rpartition("/")[2].partition("@")[0].partition(":")[0]


def _texts(service: Service) -> Iterator[str]:
    yield from service.environment.values()
    yield from service.command
    yield from service.healthcheck.test if service.healthcheck else ()


def _called(text: str, called: Mapping[str, str], caller: str) -> Iterator[tuple[str, int]]:
    for found in re.finditer(r"(?<![\w.-])([\w.-]+):(\d{1,5})\b", text):
        if found[1] == "0.0.0.0":  # noqa: S104  # what a container listens on
            yield caller, int(found[2])
        elif found[1] in called:
            yield called[found[1]], int(found[2])
