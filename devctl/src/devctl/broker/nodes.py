"""Which service a Celery node is of: by the host in its name, else by the name that a worker gave itself."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Protocol


class Host(Protocol):
    """One replica of a service."""

    @property
    def service(self) -> str:
        """Its service."""

    @property
    def hostname(self) -> str:
        """What it calls its host; "" where it has none of its own."""


def service_of(node: str, replicas: Iterable[Host], services: Container[str]) -> str:
    """The service of `celery@f3a9c1d2e4b5`; "" where nothing tells it."""
    name, _, host = node.rpartition("@")
    hosts = {one.hostname: one.service for one in replicas if one.hostname}
    return hosts.get(host) or next((one for one in (name, host) if one in services), "")
