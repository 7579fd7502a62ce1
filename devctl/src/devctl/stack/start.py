"""Starting services and waiting until they are ready: one algorithm for every runtime."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from devctl.clock import Clock, SystemClock
from devctl.errors import UsageError
from devctl.stack.hearing import Ask, Hearing
from devctl.stack.model import Service, Stack
from devctl.stack.port import Replica, Runtime
from devctl.stack.readiness import Expected, Phase, Verdict, judge
from devctl.stack.report import Building, Built, Emit, LeftOut, ServiceStart, StartReport, Step, ignore

TIMEOUT_SECONDS = 60.0
LOG_TAIL = 20
"""Lines of a failed service's log in the report: a Python traceback and what led to it, on one screen."""
_POLL_SECONDS = 0.1
_USUAL_START_SECONDS = 5.0
"""Before that, what a health check says is not shown: it reads like an error, and is none."""
_DONE = ("ready", "finished")
_MISSING = re.compile(r"No module named '?(\w+)")
_REPLACED = "restarted: its code or settings changed"


def start(
    runtime: Runtime,
    services: Sequence[str],
    *,
    timeout: float | None = None,
    build: bool | None = None,
    scale: Mapping[str, int] | None = None,
    ask: Ask | None = None,
    emit: Emit = ignore,
    clock: Clock | None = None,
) -> StartReport:
    """Start these services (none named: all) and what they depend on; return when all are ready or one is lost.

    timeout: in seconds; None takes what is usual (`patience`).
    build: None builds what is missing or older than its sources, True builds all, False none. ask: how a worker that
    has no health check and says nothing can be asked whether it is there.
    A service that crashes or is late is in the report (`report.failure` makes the error of it), not raised.
    """
    stack, scale, clock = runtime.stack, scale or {}, clock or SystemClock()
    names = stack.closure(stack.chosen(services))
    for name in names:
        if refusal := runtime.refusal(name):
            raise refusal
    _check_scale(stack, names, scale)
    built, build_seconds = _build(runtime, names, build, emit, clock)
    run = _Start(runtime, names, scale, emit, clock, ask)
    run.go(timeout or patience(stack, names))
    return replace(run.report(), built=built, build_seconds=build_seconds)


def restart(
    runtime: Runtime,
    services: Sequence[str],
    *,
    timeout: float | None = None,
    ask: Ask | None = None,
    emit: Emit = ignore,
    clock: Clock | None = None,
) -> StartReport:
    """Restart these services in place and wait until they are ready again."""
    run = _Start(runtime, list(services), {}, emit, clock or SystemClock(), ask)
    run.go(timeout or patience(runtime.stack, services), again=True)
    return run.report()


def patience(stack: Stack, services: Sequence[str]) -> float:
    """How many seconds a start may take where nobody says it: a check each half minute is first made after that."""
    first: dict[str, float] = {}
    for level in stack.levels(services):
        for name in level:
            needed = max((first.get(other, 0.0) for other in stack.services[name].depends_on), default=0.0)
            first[name] = needed + _first_check(stack.services[name])
    slowest = max(first.values(), default=0.0)
    return TIMEOUT_SECONDS + (slowest if slowest > _USUAL_START_SECONDS else 0.0)


def _first_check(service: Service) -> float:
    check = service.healthcheck
    if check is None:
        return 0.0
    return min(check.start_interval, check.interval) if check.start_period else check.interval


def build_images(
    runtime: Runtime, services: Sequence[str], emit: Emit = ignore, clock: Clock | None = None
) -> tuple[tuple[str, ...], float]:
    """Build or pull the images of these services; return which, and the seconds it took."""
    if not services:
        return (), 0.0
    clock = clock or SystemClock()
    begun = clock.now()
    emit(Building(tuple(services)))
    runtime.build(services, emit)
    emit(Built(tuple(services), clock.now() - begun))
    return tuple(services), clock.now() - begun


def possible(runtime: Runtime, names: Sequence[str]) -> tuple[list[str], list[LeftOut]]:
    """Return which of these services can run there with all that they need, and those that cannot; none can: raised."""
    refusals = {name: refusal for name in runtime.stack.closure(names) if (refusal := runtime.refusal(name))}
    can = [name for name in names if not refusals.keys() & {*runtime.stack.closure([name])}]
    if not can and refusals:
        raise next(iter(refusals.values()))
    left_out = [
        LeftOut(name, refusal, tuple(n for n in names if n != name and name in runtime.stack.closure([n])))
        for name, refusal in refusals.items()
    ]
    return can, left_out


def _check_scale(stack: Stack, names: Sequence[str], scale: Mapping[str, int]) -> None:
    for name, count in scale.items():
        if name not in names:
            raise UsageError(f"--scale {name}={count}: {name} is not among the services to start", hint="name it too")
        stack.check_scale(name, count)


def _build(
    runtime: Runtime, names: Sequence[str], build: bool | None, emit: Emit, clock: Clock
) -> tuple[tuple[str, ...], float]:
    """Build and pull what is wanted; what can only be pulled is pulled even with --no-build, as Compose does."""
    wanted = runtime.missing_images(names)
    buildable = runtime.buildable(names)
    if build is True:
        wanted = [name for name in names if name in wanted or name in buildable]
    elif build is False:
        wanted = [name for name in wanted if name not in buildable]
    return build_images(runtime, wanted, emit, clock)


class _Start:
    """One start or restart: each service as soon as what it needs is there, then watched until all are ready."""

    def __init__(
        self,
        runtime: Runtime,
        names: list[str],
        scale: Mapping[str, int],
        emit: Emit,
        clock: Clock,
        ask: Ask | None,
    ) -> None:
        self._runtime, self._names, self._emit, self._clock = runtime, names, emit, clock
        stack = runtime.stack
        self._expected = {
            name: Expected(
                stack.services[name],
                scale.get(name),
                may_end=stack.may_end(name),
                must_end=stack.must_end(name),
                worker=name in stack.workers,
                tells=name in stack.telling,
            )
            for name in names
        }
        self._scale = scale
        self._starts = {name: ServiceStart(name) for name in names}
        self._begun: dict[str, float] = {}
        """Service -> when its start was asked for."""
        self._before: dict[str, Replica] = {}
        self._baseline: dict[str, int] = {}
        self._origin = clock.now()
        self._again = False
        self._hearing = Hearing(runtime, clock, ask)

    def go(self, timeout: float, *, again: bool = False) -> None:
        """Start, poll, and stop looking when all are done, one is lost, or the time is up."""
        self._again = again
        before = self._runtime.status()
        self._before = {replica.name: replica for replica in before}
        self._hearing.begin([name for name in self._names if name in self._runtime.stack.logfiles], before)
        self._origin = self._clock.now()
        if again:
            self._runtime.restart(self._names)
            self._begun = dict.fromkeys(self._names, self._origin)
        else:
            self._runtime.prepare(self._names, self._scale)
        verdicts = self._judge(self._runtime.status()) if not again else {}
        while True:
            if startable := [
                name for name in self._names if name not in self._begun and self._can_start(name, verdicts)
            ]:
                self._start(startable)
            verdicts = self._judge(self._runtime.status(), fresh=again)
            for name in self._begun:
                self._note(name, verdicts[name])
            lost = any(verdicts[name].phase == "crashed" for name in self._begun)
            if lost or all(start.phase in _DONE for start in self._starts.values()):
                break
            if self._clock.now() - self._origin >= timeout:
                self._give_up(timeout, verdicts)
                break
            if not any(self._can_start(name, verdicts) for name in self._names if name not in self._begun):
                self._clock.sleep(_POLL_SECONDS)
        self._collect()

    def report(self) -> StartReport:
        """What happened, in start order."""
        return StartReport(self._runtime.name, tuple(self._starts.values()), self._clock.now() - self._origin)

    def _say_who_waits(self) -> None:
        for name, start in self._starts.items():
            if name not in self._begun and not start.detail:
                self._change(name, "waiting", f"for {', '.join(self._runtime.stack.services[name].depends_on)}")

    def _start(self, names: Sequence[str]) -> None:
        together = [name for name in names if name not in self._scale]
        for name in names:
            self._begun[name] = self._clock.now()
            self._change(name, "starting", "")
        self._say_who_waits()
        if together:
            self._runtime.start(*together)
        for name in names:
            if name in self._scale:
                self._runtime.start(name, replicas=self._scale[name])

    def _can_start(self, name: str, verdicts: Mapping[str, Verdict]) -> bool:
        """Whether all that it depends on is as far as it must be; a dependency that already ran before counts."""
        for needed, condition in self._runtime.stack.services[name].depends_on.items():
            phase = verdicts[needed].phase
            if condition == "service_started" and needed in self._begun and phase != "crashed":
                continue
            if phase not in _DONE or (phase == "finished" and needed not in self._begun):
                return False
        return True

    def _judge(self, replicas: Sequence[Replica], *, fresh: bool = False) -> dict[str, Verdict]:
        """Judge each service; with `fresh`, a replica that is still the one from before does not count yet."""
        for replica in replicas:
            known = self._before.get(replica.name)
            before = known.restarts if known else 0
            self._baseline[replica.name] = min(self._baseline.get(replica.name, before), replica.restarts)
        verdicts = {}
        for name, expected in self._expected.items():
            mine = [r for r in replicas if r.service == name]
            if fresh:
                mine = [replace(r, state="created") if self._unchanged(r) else r for r in mine]
            unchecked = expected.service.healthcheck is None and any(r.health == "none" for r in mine)
            if expected.worker and unchecked and name in self._begun:
                self._hearing.listen(name, mine, {r.name for r in mine if not self._again and self._unchanged(r)})
            verdicts[name] = judge(expected, mine, self._baseline, self._clock.now(), self._hearing.heard)
            self._starts[name] = replace(self._starts[name], replicas=tuple(mine))
        return verdicts

    def _replaced(self, start: ServiceStart) -> bool:
        """Whether one of its replicas ran before, and is another one now."""
        ran = [r for r in start.replicas if r.name in self._before and self._before[r.name].state == "running"]
        return not self._again and not all(self._unchanged(replica) for replica in ran)

    def _unchanged(self, replica: Replica) -> bool:
        known = self._before.get(replica.name)
        return known is not None and known.started_at is not None and known.started_at == replica.started_at

    def _note(self, name: str, verdict: Verdict) -> None:
        """Keep what changed; a service that was ready and is no longer is looked at again."""
        start = self._starts[name]
        if verdict.phase in _DONE and start.phase not in _DONE:
            now = self._clock.now()
            was_running = bool(start.replicas) and all(self._unchanged(replica) for replica in start.replicas)
            self._starts[name] = replace(
                start,
                seconds=now - self._origin,
                own_seconds=now - self._begun[name],
                was_running=was_running,
                waited={
                    needed: self._starts[needed].seconds
                    for needed in self._runtime.stack.services[name].depends_on
                    if self._begun[name] > self._origin and not self._starts[needed].was_running
                },
            )
            said = "already running" if was_running else _REPLACED if self._replaced(start) else ""
            self._change(name, verdict.phase, "  ".join(part for part in (verdict.detail, said) if part))
        elif verdict.phase not in _DONE:
            late = self._clock.now() - self._begun[name] >= _USUAL_START_SECONDS
            detail = "  ".join(part for part in (verdict.detail, verdict.said if late else "") if part)
            if (verdict.phase, detail) != (start.phase, start.detail):
                self._change(name, verdict.phase, detail)

    def _change(self, name: str, phase: Phase, detail: str) -> None:
        self._starts[name] = replace(self._starts[name], phase=phase, detail=detail)
        self._emit(Step(name, phase, self._clock.now() - self._origin, detail))

    def _give_up(self, timeout: float, verdicts: Mapping[str, Verdict]) -> None:
        for name in self._begun:
            if self._starts[name].phase not in _DONE:
                parts = (verdicts[name].detail, verdicts[name].said)
                why = "  ".join(part for part in parts if part) or self._lacks(name)
                self._change(name, "timed out", f"not ready after {timeout:g}s: {why}")

    def _lacks(self, name: str) -> str:
        start, service = self._starts[name], self._runtime.stack.services[name]
        if service.healthcheck or any(replica.health != "none" for replica in start.replicas):
            return "its health check has not passed"
        return "it has not ended" if self._expected[name].must_end else "nothing shows that it is"

    def _collect(self) -> None:
        """Add to what failed its times, what its health check said, and the end of its log."""
        for name, start in self._starts.items():
            if start.phase not in ("crashed", "timed out"):
                continue
            now = self._clock.now()
            said = [replica.health_output for replica in start.replicas if replica.health_output]
            log = self._last_lines(start)
            path, written = self._hearing.own_file(name, start.replicas, LOG_TAIL)
            self._starts[name] = replace(
                start,
                seconds=now - self._origin,
                own_seconds=now - self._begun[name],
                health_output=said[0] if said else "",
                log=log,
                logfile=path,
                written=written,
                not_installed=_not_installed(self._runtime.stack, name, (*log, *written)),
            )

    def _last_lines(self, start: ServiceStart) -> tuple[str, ...]:
        """The end of its log; of its last life alone, where that has ended: a loop says the same again and again."""
        ended = [r.started_at for r in start.replicas if r.state in ("exited", "restarting")]
        for since in (*ended[:1], None):
            with self._runtime.logs([start.service], since=since, tail=LOG_TAIL) as lines:
                if texts := tuple(line.text for line in lines)[-LOG_TAIL:]:
                    return texts
        return ()


def _not_installed(stack: Stack, name: str, log: Sequence[str]) -> str:
    """The package that its last words say is not there, where its sources are: it was not installed; else "".

    Only where the services run in the checkout's own environment.
    """
    service = stack.services[name]
    if not stack.contracts:
        return ""
    missing = _MISSING.findall("\n".join(log))
    folders = [service.build.context, *service.build.additional_contexts.values()] if service.build else []
    return next((name for name in missing if any((folder / "src" / name).is_dir() for folder in folders)), "")
