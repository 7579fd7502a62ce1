"""The stacks of this checkout: its own, and the isolated ones beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from devctl.errors import DevctlError
from devctl.settings import Settings
from devctl.stack import identity
from devctl.stack.port import Replica


@dataclass(frozen=True)
class StackState:
    """One stack of this checkout."""

    name: str
    """"" for the checkout's own."""
    runtime: str
    """Where it was last started; "" where it runs nowhere."""
    services: tuple[str, ...] = ()
    """Those that run."""
    problem: str = ""
    """Why nobody can say what runs."""


def find(settings: Settings, status: Callable[[str], Sequence[Replica]]) -> list[StackState]:
    """Look at every stack; `status` returns the replicas of the one with this name."""
    return [_look(settings, name, status) for name in ("", *identity.known(settings))]


def _look(settings: Settings, name: str, status: Callable[[str], Sequence[Replica]]) -> StackState:
    from dataclasses import replace

    runtime = identity.last_runtime(replace(settings, stack=name))
    try:
        running = dict.fromkeys(one.service for one in status(name) if one.state == "running")
    except DevctlError as problem:
        return StackState(name, runtime, problem=problem.problem)
    return StackState(name, runtime if running else "", tuple(running))
