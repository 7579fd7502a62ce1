"""The main job in one go: start the stack, follow one request through it, measure it.

Every step is passed in, so that the story can be told on either runtime and tested on neither.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from devctl.bench import run as bench
from devctl.bench.contract import workload
from devctl.bench.plan import Plan, Task
from devctl.bench.report import Report as BenchReport
from devctl.clock import Clock, SystemClock
from devctl.demo import events, journey, stage
from devctl.demo.answer import Answer, send
from devctl.demo.journey import Journey
from devctl.demo.sample import Sample
from devctl.errors import DevctlError, WaitTimeout
from devctl.measurement.adapters import Adapters
from devctl.measurement.request import Request
from devctl.measurement.session import guarded, taken_away
from devctl.settings import Settings
from devctl.stack import identity
from devctl.stack.port import LogLine, Runtime
from devctl.stack.report import StartReport, failure
from devctl.stack.start import start
from devctl.undo.guard import Guard

WORKERS = 2
START_SECONDS = 90.0
FOLLOW_SECONDS = 15.0
"""How long a request may take to its last task; on an idle stack it takes milliseconds."""
_LOOK_SECONDS = 0.1

Emit = Callable[[events.Event], None]


@dataclass(frozen=True)
class Ports:
    """What the demo does its work with."""

    asked: Request | Sample
    runtime: Runtime
    start: Callable[[Emit], StartReport]
    bench: Callable[[Emit], BenchReport]
    send: Callable[[], Answer]
    clock: Clock

    @classmethod
    def of(cls, mine: Adapters, guard: Guard) -> Ports:
        """Over the demo's stack; DevctlError where its Compose file names no worker, or a request that cannot be."""
        stack, plan = mine.stack, Plan(Task("noop"), (WORKERS,), repeats=3, run_seconds=1.0, warmup_seconds=0.5)
        asked = Request.of(stack) if stack.demo else Sample.of(mine.catalog)
        if not stack.workers:  # the bench would say so at the end
            raise DevctlError("the Compose file names no worker", hint="x-devctl: {workers: [NAME]}")
        replicas = dict.fromkeys(stack.workers[:1], WORKERS)  # from the start: then the bench scales nothing
        return cls(
            asked=asked,
            runtime=mine.runtime,
            start=lambda emit: start(mine.runtime, (), timeout=START_SECONDS, scale=replicas, emit=emit),
            bench=lambda emit: bench.run(plan, workload(plan.task, mine), bench.Ports.of(mine, guard), emit),
            send=lambda: (
                send(asked, *mine.runtime.address(asked.service, asked.port))
                if isinstance(asked, Request)
                else asked.send(mine.broker)
            ),
            clock=SystemClock(),
        )


@dataclass(frozen=True)
class Report:
    """The whole story."""

    start: StartReport
    request: Request | Sample
    answer: Answer
    journey: Journey
    bench: BenchReport


@contextmanager
def staged(mine: Adapters, open_: Callable[[Settings], Adapters], emit: Emit, *, keep: bool) -> Iterator[Guard]:
    """The demo's stack from its start to its end; when devctl itself is killed the guard takes it away.

    One demo at a time: only who has the guard may clear away what an earlier one left.
    """
    clock = SystemClock()
    with guarded(mine) as guard:
        for left in stage.left_over(mine.settings):
            open_(left).runtime.stop(volumes=True)
            identity.forget(left)
        stage.prepare(mine.settings)
        if keep:
            yield guard
            return
        begun = clock.now()
        with taken_away(mine, guard):
            yield guard
            emit(events.Begun("stop", "every service"))
            begun = clock.now()
        if not guard.failures:
            emit(events.Stopped(clock.now() - begun))


def run(ports: Ports, emit: Emit) -> Report:
    """Start, send, follow, measure; DevctlError says which step failed and why."""
    asked = ports.asked
    emit(events.Begun("start", "starting every service"))
    started = ports.start(emit)
    if problem := failure(started, stage.NAME):
        raise problem
    emit(events.Started(started))

    emit(events.Begun("order" if isinstance(asked, Request) else "task", str(asked)))
    answer = ports.send()
    emit(events.Answered(asked, answer))

    emit(events.Begun("follow", f"the logs of correlation id {answer.correlation_id}"))
    way = follow(ports.runtime, answer, ports.clock)
    emit(events.Followed(way))

    emit(events.Begun("bench", "a short one, on queues of its own"))
    measured = ports.bench(emit)
    emit(events.Measured(measured))
    return Report(started, asked, answer, way, measured)


def follow(runtime: Runtime, answer: Answer, clock: Clock, timeout: float = FOLLOW_SECONDS) -> Journey:
    """Read the services' logs until every task that the request caused has ended; WaitTimeout where one does not."""
    services, deadline = list(runtime.stack.services), clock.now() + timeout
    before = Journey()
    while True:
        # Short looks instead of one followed stream: a look ends by itself, also when nothing is written any more.
        with runtime.logs(services, since=answer.sent_at - 1) as lines:
            seen = journey.read(_records(lines), answer.correlation_id, answer.sent_at)
        # A second look that finds no more: logs of several services do not arrive in step.
        if seen.complete and seen == before:
            if seen.failed:
                raise _failed(seen)
            return seen
        if clock.now() > deadline:
            raise _lost(seen, timeout)
        before = seen
        clock.sleep(_LOOK_SECONDS)


def _records(lines: Iterator[LogLine]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line.text.startswith("{"):
            try:
                record = json.loads(line.text)
            except ValueError:
                continue
            if isinstance(record, dict):
                yield record


def _failed(seen: Journey) -> DevctlError:
    names = ", ".join(span.task for span in seen.spans if span.state == "failed")
    return DevctlError(f"the request was accepted, but {names} failed", hint="devctl demo --keep, then: " + _LOGS)


def _lost(seen: Journey, timeout: float) -> DevctlError:
    if not seen.spans:
        problem = f"the request was accepted, but no service logged a task for it in {timeout:.0f} s"
    else:
        late = ", ".join(span.task for span in seen.spans if span.ended is None)
        problem = f"{late or 'a task'} did not end in {timeout:.0f} s"
    return WaitTimeout(problem, hint="devctl demo --keep, then: " + _LOGS)


_LOGS = f"devctl logs --stack {stage.NAME}"
