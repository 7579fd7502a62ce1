"""Where broker and results are, seen from this machine: the services' own settings, with container names replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from celeriac.broker.options import Options
from celeriac.dead_letter.letters import BOUND
from devctl.stack.model import Stack

Locate = Callable[[str, int], tuple[str, int]]


@dataclass(frozen=True)
class Addresses:
    """URLs that work from here."""

    broker: str
    results: str


def addresses(stack: Stack, locate: Locate) -> Addresses:
    """Read what the services are told, workers first; `locate` gives a published port of this machine."""
    ports = stack.services[stack.broker].ports
    own = f"redis://{stack.broker}:{ports[0].target if ports else 6379}/0"
    broker = _setting(stack, "CELERY_BROKER_URL") or own
    results = _setting(stack, "CELERY_RESULT_BACKEND") or broker
    return Addresses(_from_here(broker, stack, locate), _from_here(results, stack, locate))


def dead_bound(stack: Stack) -> int:
    """Dead letters at which the services' workers stop claiming from a queue."""
    said = _setting(stack, "CELERY_DEAD_LETTER_BOUND")
    return int(said) if said.isdecimal() else BOUND  # what is no number, the services themselves refuse


def queue_bound(stack: Stack) -> int:
    """Messages of a queue beyond which the services publish no more."""
    said = _setting(stack, "CELERY_QUEUE_BOUND")
    return int(said) if said.isdecimal() else Options.queue_bound


def _setting(stack: Stack, variable: str) -> str:
    order = [*stack.workers, *(name for name in stack.services if name not in stack.workers)]
    found = (stack.services[name].environment.get(variable, "") for name in order if name in stack.services)
    return next((value for value in found if value), "")


def _from_here(url: str, stack: Stack, locate: Locate) -> str:
    try:
        parts = urlsplit(url)
        name, target = parts.hostname, parts.port or 6379
    except ValueError:  # a port of 70000: the connection says what is wrong
        return url
    if parts.scheme == "sentinel":  # the same
        return url
    if name is None or name not in stack.services:
        return url
    host, port = locate(name, target)
    credentials = parts.netloc.rpartition("@")[0]
    where = f"{credentials}@{host}:{port}" if credentials else f"{host}:{port}"
    return urlunsplit((parts.scheme, where, parts.path, parts.query, parts.fragment))
