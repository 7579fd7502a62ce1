"""Where broker and results are, seen from this machine: the services' own settings, with container names replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

from celeriac.broker.options import Options
from celeriac.dead_letter.letters import BOUND

_PORTS = {"amqp": 5672, "pyamqp": 5672, "amqps": 5671, "sentinel": 26379, "postgresql": 5432, "mongodb": 27017}

Locate = Callable[[str, int], tuple[str, int]]
"""A service and its port -> host and port on this machine."""


class Named(Protocol):
    """One service, and what else it is called in the network of the stack."""

    @property
    def hostname(self) -> str:
        """`hostname:`."""

    @property
    def container_name(self) -> str:
        """`container_name:`."""


class Services(Protocol):
    """What is to be known of the services around a broker."""

    @property
    def broker(self) -> str:
        """Which of them it is."""

    @property
    def broker_port(self) -> int:
        """The port that it listens on where it runs."""

    @property
    def services(self) -> Mapping[str, Named]:
        """All, by their names."""

    def setting(self, variable: str) -> str:
        """What they are told, workers first; "" where none of them is."""


@dataclass(frozen=True)
class Addresses:
    """URLs that work from here."""

    broker: str
    results: str


def addresses(stack: Services, locate: Locate) -> Addresses:
    """Read what the services are told; `locate` gives a published port of this machine."""
    broker = stack.setting("CELERY_BROKER_URL") or f"redis://{stack.broker}:{stack.broker_port}/0"
    results = stack.setting("CELERY_RESULT_BACKEND") or broker
    return Addresses(from_here(broker, stack, locate), from_here(results, stack, locate))


def service_at(host: str, stack: Services) -> str:
    """The service that a host name of the stack's network means; "" for a host outside."""
    if host in stack.services:
        return host
    named = (name for name, one in stack.services.items() if host and host in (one.hostname, one.container_name))
    return next(named, "")


def dead_bound(stack: Services) -> int:
    """Dead letters at which the services' workers stop claiming from a queue."""
    said = stack.setting("CELERY_DEAD_LETTER_BOUND")
    return int(said) if said.isdecimal() else BOUND  # what is no number, the services themselves refuse


def queue_bound(stack: Services) -> int:
    """Messages of a queue beyond which the services publish no more."""
    said = stack.setting("CELERY_QUEUE_BOUND")
    return int(said) if said.isdecimal() else Options.queue_bound


def from_here(url: str, stack: Services, locate: Locate) -> str:
    """The same URL, or several with ; between them, with addresses of this machine; hosts outside are left."""
    return ";".join(_from_here(one, stack, locate) for one in url.split(";"))


def _from_here(url: str, stack: Services, locate: Locate) -> str:
    try:
        parts = urlsplit(url)
        service, target = service_at(parts.hostname or "", stack), parts.port or _PORTS.get(parts.scheme, 6379)
    except ValueError:  # a port of 70000: the connection says what is wrong
        return url
    if not service:
        return url
    host, port = locate(service, target)
    credentials = parts.netloc.rpartition("@")[0]
    where = f"{credentials}@{host}:{port}" if credentials else f"{host}:{port}"
    return urlunsplit((parts.scheme, where, parts.path, parts.query, parts.fragment))
