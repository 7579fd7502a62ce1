"""The main job in one go: start the stack, follow one request through it, measure it, stop it again.

Every step is passed in, so that the story can be told on either runtime and tested on neither.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from devctl.demo import journey, request
from devctl.demo.journey import Journey
from devctl.demo.request import Answer, Request
from devctl.errors import DevctlError, WaitTimeout
from devctl.stack.port import LogLine, Runtime

FOLLOW_SECONDS = 15.0
"""How long an order may take to its last task; on an idle stack it takes milliseconds."""


@dataclass(frozen=True)
class StepStarted:
    """One of the numbered steps: start, order, follow, bench, stop."""

    name: str


@dataclass(frozen=True)
class Answered:
    """The request was accepted."""

    request: Request
    answer: Answer


@dataclass(frozen=True)
class Moved:
    """The journey, as far as it is known now."""

    journey: Journey


Event = StepStarted | Answered | Moved
Emit = Callable[[Event], None]


def order(runtime: Runtime, asked: Request, emit: Emit) -> Answer:
    """Send the request to its service's published port."""
    emit(StepStarted("order"))
    answer = request.send(asked, *runtime.address(asked.service, asked.port))
    emit(Answered(asked, answer))
    return answer


def follow(
    runtime: Runtime,
    answer: Answer,
    emit: Emit,
    *,
    timeout: float = FOLLOW_SECONDS,
    clock: Callable[[], float] = time.time,
) -> Journey:
    """Read the services' logs until every task that the request caused has ended; WaitTimeout where one does not."""
    emit(StepStarted("follow"))
    records: list[dict[str, Any]] = []
    seen = Journey()
    deadline = clock() + timeout
    while True:
        # Short looks instead of one followed stream: a look ends by itself, also when nothing is written any more.
        with runtime.logs(list(runtime.stack.services), since=answer.sent_at - 1) as lines:
            records = list(_records(lines))
        now = journey.read(records, answer.correlation_id, answer.sent_at)
        if now != seen:
            seen = now
            emit(Moved(seen))
        if seen.complete:
            return seen
        if clock() > deadline:
            raise _lost(seen, timeout)
        time.sleep(0.1)


def _records(lines: Iterator[LogLine]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line.text.startswith("{"):
            try:
                record = json.loads(line.text)
            except ValueError:
                continue
            if isinstance(record, dict):
                yield record


def _lost(seen: Journey, timeout: float) -> DevctlError:
    if not seen.spans:
        problem = f"the request was accepted, but no service logged a task for it in {timeout:.0f} s"
    else:
        late = ", ".join(span.task for span in seen.spans if span.ended is None)
        problem = f"{late} did not end in {timeout:.0f} s"
    return WaitTimeout(problem, hint="devctl logs --stack demo\ndevctl queues --stack demo")
