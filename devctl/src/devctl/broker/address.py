"""Where broker and results are, seen from this machine: the services' own settings, with container names replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol
from urllib.parse import quote, urlsplit, urlunsplit

from celeriac.broker.options import Options
from celeriac.dead_letter.letters import BOUND

_PORTS = {"amqp": 5672, "pyamqp": 5672, "amqps": 5671, "sentinel": 26379, "postgresql": 5432, "mongodb": 27017}

Locate = Callable[[str, int], tuple[str, int]]
"""A service and its port -> host and port on this machine."""


ServiceOf = Callable[[str], str]
"""An URL -> the service that its host names in the network of the stack; "" for a host outside."""


class Settings(Protocol):
    """What the services are told."""

    def setting(self, variable: str) -> str:
        """What they are told, workers first; "" where none of them is."""


def usual(service: str, port: int, image: str, environment: Mapping[str, str], command: Sequence[str]) -> str:
    """The URL of this broker where no worker's is known: with the login that the service itself is told."""
    if port == _PORTS["amqp"] or "rabbitmq" in image:
        user = environment.get("RABBITMQ_DEFAULT_USER") or environment.get("RABBITMQ_USERNAME") or "guest"
        password = environment.get("RABBITMQ_DEFAULT_PASS") or environment.get("RABBITMQ_PASSWORD") or "guest"
        host = environment.get("RABBITMQ_DEFAULT_VHOST") or environment.get("RABBITMQ_VHOST") or "/"
        login = f"{quote(user, safe='')}:{quote(password, safe='')}"
        return f"amqp://{login}@{service}:{_PORTS['amqp']}/{quote(host, safe='')}"
    words = " ".join(command).split()
    told = next((words[n + 1] for n, word in enumerate(words[:-1]) if word == "--requirepass"), "")
    password = told.strip("'\"") or environment.get("REDIS_PASSWORD", "")
    login = f":{quote(password, safe='')}@" if password else ""
    return f"redis://{login}{service}:{port}/0"


def dead_bound(stack: Settings) -> int:
    """Dead letters at which the services' workers stop claiming from a queue."""
    said = stack.setting("CELERY_DEAD_LETTER_BOUND")
    return int(said) if said.isdecimal() else BOUND  # what is no number, the services themselves refuse


def queue_bound(stack: Settings) -> int:
    """Messages of a queue beyond which the services publish no more."""
    said = stack.setting("CELERY_QUEUE_BOUND")
    return int(said) if said.isdecimal() else Options.queue_bound


def life_length(stack: Settings) -> int:
    """How many entries the services keep of the records of steps; 0: they write none."""
    said = stack.setting("CELERY_LIFE_LENGTH")
    return int(said) if said.isdecimal() else Options.life_length


def from_here(url: str, service_of: ServiceOf, locate: Locate) -> str:
    """The same URL, or several with ; between them, with addresses of this machine; hosts outside are left."""
    return ";".join(_from_here(one, service_of, locate) for one in url.split(";"))


def _from_here(url: str, service_of: ServiceOf, locate: Locate) -> str:
    try:
        parts = urlsplit(url)
        target = parts.port or _PORTS.get(parts.scheme, 6379)
    except ValueError:  # a port of 70000: the connection says what is wrong
        return url
    if parts.hostname == "host.docker.internal":  # this machine, as containers call it
        host, port = "127.0.0.1", target
    elif service := service_of(url):
        host, port = locate(service, target)
    else:
        return url
    credentials = parts.netloc.rpartition("@")[0]
    where = f"{credentials}@{host}:{port}" if credentials else f"{host}:{port}"
    return urlunsplit((parts.scheme, where, parts.path, parts.query, parts.fragment))
