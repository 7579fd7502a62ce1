"""The stack with what was found of it, where the Compose file's `x-devctl` does not say it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import replace

from devctl.discovery.model import Found, FoundService, Role
from devctl.stack.model import Stack

_TELLING = {"DEBUG", "INFO", "10", "20"}
_LASTS: tuple[Role, ...] = ("beat", "broker", "database", "monitor", "results", "web", "worker")
"""Roles of services that go on until they are stopped."""


def completed(stack: Stack, found: Found) -> Stack:
    """Return the stack with its broker, its workers and what goes on until it is stopped."""
    return replace(
        stack,
        broker=stack.broker or found.broker.value or "",
        workers=stack.workers or tuple(_workers(stack, found)),
        aliases={**dict(_aliases(stack)), **stack.aliases},
        lasting=tuple(found.having(*_LASTS)),
        logfiles=dict(_logfiles(found)),
        telling=tuple(_telling(found)),
    )


def _aliases(stack: Stack) -> Iterator[tuple[str, str]]:
    """The folder that one service alone is built in, and the name of its container: people call it so, too."""
    folders = [one.build.context.name for one in stack.services.values() if one.build is not None]
    for name, service in stack.services.items():
        folder = service.build.context.name if service.build is not None else ""
        for alias in (folder if folders.count(folder) == 1 else "", service.container_name):
            if alias and alias not in stack.services:
                yield alias, name


def _workers(stack: Stack, found: Found) -> list[str]:
    """Those that start without a profile, and are nothing else, first: the first is measured where none is named."""
    enabled = {*stack.enabled}
    return sorted(found.having("worker"), key=lambda name: (name not in enabled, len(found.services[name].roles)))


def _logfiles(found: Found) -> Iterator[tuple[str, str]]:
    for name, service in found.services.items():
        if service.celery is not None and service.celery.logfile:
            yield name, posixpath.join(_folder(service), service.celery.logfile)


def _telling(found: Found) -> Iterator[str]:
    """A stock worker says `ready.` from the level INFO on."""
    for name in found.having("worker"):
        command = found.services[name].celery
        if command is not None and command.subcommand == "worker" and command.loglevel in _TELLING:
            yield name


def _folder(service: FoundService) -> str:
    return posixpath.join(service.launch.folder, service.celery.workdir if service.celery else "")
