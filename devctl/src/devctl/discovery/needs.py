"""Services that a service names in its environment, or works with, and does not depend on: none is started with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from devctl.discovery import addresses
from devctl.stack.model import Service, Stack

_HOST = re.compile(r"(?:\w+_)?(?:HOST(?:NAME)?|SERVER)", re.IGNORECASE)


@dataclass(frozen=True)
class Need:
    """One service that another one names."""

    service: str
    needs: str
    source: str
    """The variable that names it, or what else says it."""


def undeclared(stack: Stack, names: Sequence[str]) -> list[Need]:
    """Return what the services of a start name, and would not be started with them."""
    started = stack.closure(names)
    found: dict[str, Need] = {}
    for name in started:
        for needed, source in _named(stack, stack.services[name]):
            if needed not in started:
                found.setdefault(needed, Need(name, needed, source))
    return list(found.values())


def _named(stack: Stack, service: Service) -> Iterator[tuple[str, str]]:
    for variable, value in service.environment.items():
        if "://" in value and (needed := addresses.service(value, stack.services)):
            yield needed, variable
        elif value in stack.services and _HOST.fullmatch(variable):
            yield value, variable
    if service.name in stack.workers and stack.broker:
        yield stack.broker, "the broker"
