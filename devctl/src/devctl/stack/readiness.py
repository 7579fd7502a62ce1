"""Is a service ready, on its way, or lost? Judged from its replicas, the same for every runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from devctl.stack.model import Service
from devctl.stack.port import WELL, Replica

Phase = Literal["waiting", "starting", "ready", "finished", "crashed", "timed out"]

SETTLE_SECONDS = 1.0
"""How long a service without a health check must run before it counts as ready: a crash at start is quicker."""
_SETTLE_OWN_SECONDS = 3.0
"""The same for code of the checkout, which imports much before it falls over."""
QUIET_SECONDS = 20.0
"""How long a worker without a health check may say nothing before it counts as ready: code takes seconds to load."""
TELLING_SECONDS = 30.0
"""The same for one whose log is to say when it is ready: its app may have another log than Celery's."""
RAN_BEFORE = "ran before"
"""What is known of a replica that this start found running."""
_LOADED_SECONDS = 4.0
"""The same from its banner on: then its code is loaded, and what a connection needs is a moment."""


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
    """None: as many as there are, else as many as the file says."""
    may_end: bool = False
    """It is a job: exit 0 is well done."""
    must_end: bool = False
    """Another service waits for that."""
    worker: bool = False
    """A Celery worker: what it says and answers tells more than that it runs."""
    tells: bool = False
    """It is to say when it is ready."""


@dataclass(frozen=True)
class Heard:
    """What is known of a worker's replica beside what the runtime says of it."""

    ready: str = ""
    """What shows that it is ready: that it said so, that it answers; "" as long as nothing does."""
    talks: bool = False
    """It writes what it does, so it will say when it is ready."""
    banner_at: float | None = None
    """When its banner was first seen."""
    trouble: str = ""
    """Its last line, where that says that it cannot go on yet: no connection to its broker."""


_NOTHING_HEARD = Heard()


def judge(
    expected: Expected,
    replicas: Sequence[Replica],
    baseline: Mapping[str, int],
    now: float,
    heard: Mapping[str, Heard] | None = None,
) -> Verdict:
    """Judge one service. `baseline`: replica name -> restarts that happened before this start and do not count."""
    heard = heard or {}
    for replica in replicas:
        if crash := _crash(expected, replica, baseline.get(replica.name, 0)):
            return Verdict("crashed", crash)
    if expected.may_end and replicas and all(r.state == "exited" for r in replicas):
        return Verdict("finished", "exit 0")
    wanted = len(replicas) or expected.service.replicas if expected.replicas is None else expected.replicas
    ready = [r for r in replicas if _ready(expected, r, now, heard.get(r.name, _NOTHING_HEARD))]
    if len(ready) == len(replicas) == wanted and not expected.must_end:
        count = f"{wanted} replicas" if wanted > 1 else "" if wanted else _none(expected)
        return Verdict("ready", "  ".join(part for part in (count, _how(expected, ready, heard)) if part))
    waiting = next((r for r in replicas if r not in ready), None)
    said = heard.get(waiting.name, _NOTHING_HEARD).trouble or _last_line(waiting.health_output) if waiting else ""
    return Verdict("starting", f"{len(ready)} of {wanted} replicas ready" if wanted > 1 else "", said)


def _none(expected: Expected) -> str:
    name = expected.service.name
    return f"none: the Compose file says 0; devctl scale {name}=1" if expected.replicas is None else "none"


def _how(expected: Expected, ready: Sequence[Replica], heard: Mapping[str, Heard]) -> str:
    """What shows that a worker is ready, where no health check does."""
    if not expected.worker:
        return ""
    shown = [heard.get(r.name, _NOTHING_HEARD).ready for r in ready if _unchecked(expected.service, r)]
    if not all(shown):
        return "it runs, and nothing shows that it is ready"
    return next((how for how in shown if how != RAN_BEFORE), "")


def _crash(expected: Expected, replica: Replica, restarts_before: int) -> str:
    """How a replica crashed; empty where it did not."""
    code = "exited" if replica.exit_code is None else f"exit {replica.exit_code}"
    code = "exit 0, though it was to go on" if replica.exit_code == 0 and not expected.may_end else code
    starts = replica.restarts - restarts_before + 1
    if replica.state == "exited":
        if expected.may_end and replica.exit_code == 0:
            return ""
        return f"{code}, {starts} starts" if starts > 1 else code
    if replica.state == "restarting" or starts > 1:
        return f"{code}, {max(2, starts)} starts"
    return ""


def _ready(expected: Expected, replica: Replica, now: float, heard: Heard) -> bool:
    if replica.state != "running":
        return False
    if not _unchecked(expected.service, replica):
        return replica.health in WELL
    runs = now - replica.started_at if replica.started_at is not None else QUIET_SECONDS
    if expected.worker:
        loaded = heard.banner_at is not None and now - heard.banner_at >= _LOADED_SECONDS and not expected.tells
        enough = loaded or runs >= (TELLING_SECONDS if expected.tells else QUIET_SECONDS)
        return bool(heard.ready) or (enough and not heard.trouble and not heard.talks)
    return runs >= (_SETTLE_OWN_SECONDS if expected.service.build else SETTLE_SECONDS)


def _unchecked(service: Service, replica: Replica) -> bool:
    return replica.health == "none" and service.healthcheck is None


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
