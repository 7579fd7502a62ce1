"""The main job in one go: start the stack, follow one request through it, measure it.

Every step is passed in, so that the story can be told on either runtime and tested on neither.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from devctl.bench.report import Report as BenchReport
from devctl.demo import events, journey, stage
from devctl.demo.journey import Journey
from devctl.measurement.request import Answer, Request
from devctl.demo.sample import Sample
from devctl.errors import DevctlError, WaitTimeout
from devctl.stack.clock import Clock
from devctl.stack.port import LogLine, Runtime
from devctl.stack.report import StartReport, failure

FOLLOW_SECONDS = 15.0
"""How long a request may take to its last task; on an idle stack it takes milliseconds."""
_LOOK_SECONDS = 0.1

Emit = Callable[[events.Event], None]


@dataclass(frozen=True)
class Ports:
    """What the demo does its work with."""

    runtime: Runtime
    start: Callable[[Emit], StartReport]
    bench: Callable[[Emit], BenchReport]
    send: Callable[[], Answer]
    clock: Clock


@dataclass(frozen=True)
class Report:
    """The whole story."""

    start: StartReport
    request: Request | Sample
    answer: Answer
    journey: Journey
    bench: BenchReport


def run(asked: Request | Sample, ports: Ports, emit: Emit) -> Report:
    """Start, send, follow, measure; DevctlError says which step failed and why."""
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
