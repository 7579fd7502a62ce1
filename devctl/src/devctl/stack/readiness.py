"""Is a service ready, on its way, or lost? Judged from its replicas, the same for every runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from devctl.stack.model import Service
from devctl.stack.port import Replica

Phase = Literal["waiting", "starting", "ready", "finished", "crashed", "timed out"]

SETTLE_SECONDS = 1.0
"""How long a service without a health check must run before it counts as ready: a crash at start is quicker."""


@dataclass(frozen=True)
class Verdict:
    """What a service is now, and how far."""

    phase: Phase
    detail: str = ""
    said: str = ""
    """The last words of a health check that does not pass yet; while a service starts, that is nothing unusual."""


@dataclass(frozen=True)
class Expected:
    """What the start of a service is to lead to."""

    service: Service
    replicas: int | None = None
    """None: as many as there are, at least one."""
    one_shot: bool = False
    """Another service waits for it to complete: exit 0 is what is wanted."""


def judge(expected: Expected, replicas: Sequence[Replica], baseline: Mapping[str, int], now: float) -> Verdict:
    """Judge one service. `baseline`: replica name -> restarts that happened before this start and do not count."""
    for replica in replicas:
        if crash := _crash(expected, replica, baseline.get(replica.name, 0)):
            return Verdict("crashed", crash)
    if expected.one_shot and replicas and all(r.state == "exited" for r in replicas):
        return Verdict("finished", "exit 0")
    ready = [r for r in replicas if _ready(expected.service, r, now)]
    wanted = max(1, len(replicas)) if expected.replicas is None else expected.replicas
    if len(ready) == len(replicas) == wanted and not expected.one_shot:
        return Verdict("ready", f"{wanted} replicas" if wanted != 1 else "")
    waiting = next((r for r in replicas if r not in ready), None)
    said = _last_line(waiting.health_output) if waiting else ""
    return Verdict("starting", f"{len(ready)} of {wanted} replicas ready" if wanted > 1 else "", said)


def _crash(expected: Expected, replica: Replica, restarts_before: int) -> str:
    """How a replica crashed; empty where it did not."""
    code = "exited" if replica.exit_code is None else f"exit {replica.exit_code}"
    starts = replica.restarts - restarts_before + 1
    if replica.state == "exited":
        if expected.one_shot and replica.exit_code == 0:
            return ""
        return f"{code}, {starts} starts" if starts > 1 else code
    if replica.state == "restarting" or starts > 1:
        return f"{code}, {max(2, starts)} starts"
    return ""


def _ready(service: Service, replica: Replica, now: float) -> bool:
    if replica.state != "running":
        return False
    if replica.health != "none" or service.healthcheck is not None:
        return replica.health == "healthy"
    return replica.started_at is None or now - replica.started_at >= SETTLE_SECONDS


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
