"""What the dashboard reads from and acts on: the ports of one stack."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from devctl.stack.model import Stack
from devctl.stack.port import Runtime

if TYPE_CHECKING:
    from devctl.broker.port import Broker
    from devctl.contracts.port import Tasks


def _none() -> Sequence[str]:
    return ()


@dataclass(frozen=True)
class Sources:
    """The ports, and what the files say. What takes a while is a function, called when it is first needed."""

    stack: Stack
    runtime: Runtime
    connect: Callable[[], Broker]
    """A new connection, at the address where the broker is now; DevctlError where there is none."""
    tasks: Callable[[], Tasks]
    queues: Callable[[], Sequence[str]] = _none
    """The queues that are shown also where nothing lies in them."""
    owners: Callable[[], Mapping[str, str]] = dict
    """Queue -> the service that consumes it, by the files."""
    roles: Callable[[], Mapping[str, str]] = dict
    """Service -> worker, web, broker, …"""
    name: str = ""
    """Of an isolated stack."""
    option: str = ""
    """What a command needs to mean this stack: ` --stack k3f9`."""
    clock: Callable[[], float] = time.time
    """Unix seconds."""
    prepare: Callable[[], None] = field(default=lambda: None)
    """Before services are started: DevctlError where they run on another runtime."""
    note: Callable[[str, Mapping[str, object]], None] = field(default=lambda event, fields: None)
    """Write what was done into devctl's own log."""
