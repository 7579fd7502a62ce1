"""What each service is now, its replicas taken together; and what each stack of this checkout is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from devctl.errors import DevctlError
from devctl.settings import Settings
from devctl.stack.port import WELL, Health, Replica, State, Usage

_SETTLED_SECONDS = 10.0
"""A container that ran for so long has left its crash loop: the engine begins to count anew, too."""
_WORST_STATE: Sequence[State] = ("restarting", "exited", "paused", "created", "running")
_WORST_HEALTH: Sequence[Health] = ("unhealthy", "starting", "degraded", "healthy", "none")


@dataclass(frozen=True)
class ServiceState:
    """One service. State and health are those of its worst replica; usage is the sum."""

    name: str
    state: State
    health: Health
    replicas: int
    ready: int
    restarts: int
    uptime_seconds: float | None
    """Of the replica that started last; None where none runs."""
    exit_code: int | None
    ports: tuple[str, ...]
    cpu_percent: float | None
    memory_bytes: int | None
    instances: tuple[Replica, ...]
    done: bool = False
    """A job that has ended well."""

    @property
    def why(self) -> str:
        """Why it is degraded or unhealthy, in one line: what the first such replica's check said."""
        said = [r.health_output for r in self.instances if r.state == "running" and r.health == self.health]
        return " ".join(next(iter(said), "").split()) if self.health in ("degraded", "unhealthy") else ""


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


def overview(
    replicas: Sequence[Replica],
    usage: Mapping[str, Usage],
    now: float,
    may_end: Callable[[str], bool] = lambda name: False,
) -> list[ServiceState]:
    """Take the replicas of each service together, in the order in which they came."""
    groups: dict[str, list[Replica]] = {}
    for replica in replicas:
        groups.setdefault(replica.service, []).append(_truly(replica, now))
    return [_one(name, tuple(group), usage, now, may_end) for name, group in groups.items()]


def _truly(replica: Replica, now: float) -> Replica:
    """One in a crash loop runs for a moment, again and again: that is no running."""
    young = replica.started_at is not None and now - replica.started_at < _SETTLED_SECONDS
    loops = replica.state == "running" and replica.restarts and replica.health not in WELL and young
    return replace(replica, state="restarting") if loops else replica


def _one(
    name: str, group: tuple[Replica, ...], usage: Mapping[str, Usage], now: float, may_end: Callable[[str], bool]
) -> ServiceState:
    used = [usage[replica.name] for replica in group if replica.name in usage]
    begun = [r.started_at for r in group if r.started_at is not None and r.state == "running"]
    return ServiceState(
        name=name,
        state=min((r.state for r in group), key=_WORST_STATE.index),
        health=min((r.health for r in group), key=_WORST_HEALTH.index),
        replicas=len(group),
        ready=sum(r.state == "running" and r.health in (*WELL, "none") for r in group),
        restarts=sum(r.restarts for r in group),
        uptime_seconds=max(0.0, now - max(begun)) if begun else None,
        exit_code=next((r.exit_code for r in group if r.exit_code is not None), None),
        ports=tuple(dict.fromkeys(port for r in group for port in r.ports)),
        cpu_percent=sum(one.cpu_percent for one in used) if used else None,
        memory_bytes=sum(one.memory_bytes for one in used) if used else None,
        instances=group,
        done=all(r.state == "exited" and r.exit_code == 0 for r in group) and may_end(name),
    )


def stacks(settings: Settings, status: Callable[[str], Sequence[Replica]]) -> list[StackState]:
    """Look at every stack; `status` returns the replicas of the one with this name."""
    from devctl.stack import identity  # with yaml, which who shows a service does not need

    names = ("", *identity.known(settings))
    return [_look(name, identity.last_runtime(replace(settings, stack=name)), status) for name in names]


def _look(name: str, runtime: str, status: Callable[[str], Sequence[Replica]]) -> StackState:
    try:
        running = dict.fromkeys(one.service for one in status(name) if one.state == "running")
    except DevctlError as problem:
        return StackState(name, runtime, problem=problem.problem)
    return StackState(name, runtime if running else "", tuple(running))
