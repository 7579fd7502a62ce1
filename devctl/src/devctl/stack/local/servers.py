"""Services of other people's software that have a form without a container: Redis, RabbitMQ, PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from devctl.stack.local import postgres, rabbitmq, redis
from devctl.stack.model import Service

Question = Callable[[float], tuple[bool, str]]
"""Asks whether it is ready, within some seconds; returns that, and what it said."""


@dataclass(frozen=True)
class Form:
    """How a server runs here."""

    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class Server(Protocol):
    """One kind of them."""

    def serves(self, service: Service) -> bool:
        """Whether the service is one."""

    def form(self, service: Service, path: str, ports: Mapping[int, int], data: Path) -> Form:
        """Return how it runs with the programs of `path`; DevctlError where they are not there."""

    def question(self, service: Service, ports: Mapping[int, int], pid: int) -> Question:
        """Return what asks this process whether it is ready."""


class _Redis:
    def serves(self, service: Service) -> bool:
        return redis.is_redis(service)

    def form(self, service: Service, path: str, ports: Mapping[int, int], data: Path) -> Form:
        return Form(redis.command(service, redis.binary(path), next(iter(ports.values())), data))

    def question(self, service: Service, ports: Mapping[int, int], pid: int) -> Question:
        return redis.question(service, ports, pid)


class _RabbitMQ:
    def serves(self, service: Service) -> bool:
        return rabbitmq.is_rabbitmq(service)

    def form(self, service: Service, path: str, ports: Mapping[int, int], data: Path) -> Form:
        return Form(*rabbitmq.form(service, path, ports, data))

    def question(self, service: Service, ports: Mapping[int, int], pid: int) -> Question:
        return lambda timeout: rabbitmq.ask(ports[rabbitmq.PORT], timeout)


class _Postgres:
    def serves(self, service: Service) -> bool:
        return postgres.is_postgres(service)

    def form(self, service: Service, path: str, ports: Mapping[int, int], data: Path) -> Form:
        return Form(*postgres.form(service, path, ports, data))

    def question(self, service: Service, ports: Mapping[int, int], pid: int) -> Question:
        return lambda timeout: postgres.ask(ports[postgres.PORT], timeout)


_ALL: tuple[Server, ...] = (_Redis(), _RabbitMQ(), _Postgres())


def of(service: Service) -> Server | None:
    """Return what this service is; None for one that is none of them."""
    return next((server for server in _ALL if server.serves(service)), None)
