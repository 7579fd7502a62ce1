"""Publishing tasks and, where wanted, waiting for them; says at once when nobody is there to run them."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from devctl.broker.port import Broker, Consumer, Message, TaskResult
from devctl.errors import DevctlError

ANSWER_SECONDS = 0.5  # a worker that is there answers in milliseconds; one that is not must not cost a second
FIRST_PAUSE, LONGEST_PAUSE = 0.002, 0.05  # between two looks at the results


@dataclass(frozen=True)
class Published:
    """All messages were accepted."""

    messages: tuple[Message, ...]
    seconds: float
    repeated: frozenset[str] = frozenset()
    """Ids of those that had been published before."""


@dataclass(frozen=True)
class NobodyConsumes:
    """No worker that answered consumes this queue. Certain: there is none that could."""

    queue: str
    certain: bool


@dataclass(frozen=True)
class NobodyKnows:
    """These workers consume the queue, but have no such task: a dead letter, or lost (a stock worker)."""

    task: str
    queue: str
    nodes: tuple[str, ...]
    kept: bool = True
    """Whether they have celeriac, which makes it a dead letter."""
    near: str = ""
    """One that they have and that was probably meant."""


@dataclass(frozen=True)
class Progressed:
    """A task says how far it is."""

    task_id: str
    progress: float | None
    note: str


Event = Published | NobodyConsumes | NobodyKnows | Progressed


@dataclass(frozen=True)
class Sent:
    """What was published and what became of it."""

    messages: tuple[Message, ...]
    results: tuple[TaskResult, ...]
    publish_seconds: float
    consumers: tuple[Consumer, ...]
    in_vain: bool = False
    """Waiting would be for nothing: certainly nobody consumes."""
    timed_out: bool = False
    repeated: frozenset[str] = frozenset()
    """Task ids that had been published before: nothing was done about them."""
    missing: frozenset[str] = frozenset()
    """Of these, those that are not done and whose messages are not there any more."""
    why_no_results: str = ""
    """Why nobody can wait for a result here."""

    @property
    def failed(self) -> bool:
        """Some task ended in failure."""
        return any(result.state == "failed" for result in self.results)


def send(
    broker: Broker,
    messages: Sequence[Message],
    emit: Callable[[Event], None],
    *,
    wait_seconds: float | None = None,
    nobody_could: Callable[[str], bool] = lambda queue: False,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Sent:
    """Publish, look who consumes, and wait if asked to; `nobody_could` knows whether a consumer may still turn up."""
    started = clock()
    accepted = broker.publish_once(messages)
    seconds, repeated = accepted.seconds, accepted.repeated
    emit(Published(tuple(messages), seconds, repeated))
    try:
        consumers = broker.consumers(timeout=ANSWER_SECONDS)
        doomed = _warn(messages, consumers, emit, nobody_could, broker.celeriac)
        pending = tuple(TaskResult(message.task_id, "pending") for message in messages)
        sent = Sent(
            tuple(messages),
            pending,
            seconds,
            tuple(consumers),
            in_vain=doomed,
            repeated=repeated,
            missing=accepted.missing,
        )
        if wait_seconds is None or doomed:
            return sent
        if why := broker.why_no_results:
            return replace(sent, why_no_results=why, timed_out=True)
        results = _wait(broker, messages, emit, started + wait_seconds, clock, sleep)
    except DevctlError as problem:
        raise _already_published(problem, messages) from problem
    still = any(result.state not in {"succeeded", "failed"} for result in results)
    return replace(sent, results=tuple(results), timed_out=still)


def _warn(
    messages: Sequence[Message],
    consumers: Sequence[Consumer],
    emit: Callable[[Event], None],
    nobody_could: Callable[[str], bool],
    celeriac: bool,
) -> bool:
    doomed = False
    for queue, task in dict.fromkeys((message.queue, message.task) for message in messages):
        there = [one for one in consumers if queue in one.queues]
        if not there:
            certain = nobody_could(queue)
            doomed = doomed or certain
            emit(NobodyConsumes(queue, certain))
        elif all(one.tasks and task not in one.tasks for one in there):
            known = {name for one in there for name in one.tasks}
            near = difflib.get_close_matches(task, known, n=1)
            emit(NobodyKnows(task, queue, tuple(one.node for one in there), celeriac, *near))
    return doomed


def _wait(
    broker: Broker,
    messages: Sequence[Message],
    emit: Callable[[Event], None],
    deadline: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> list[TaskResult]:
    known: dict[str, TaskResult] = {}
    open_ids = [message.task_id for message in messages]
    pause = FIRST_PAUSE
    while True:
        for result in broker.results(open_ids):
            said, before = (result.progress, result.note), known.get(result.task_id)
            if said != (None, "") and (before is None or said != (before.progress, before.note)):
                emit(Progressed(result.task_id, *said))
            known[result.task_id] = result
        open_ids = [one for one in open_ids if known[one].state not in {"succeeded", "failed"}]
        left = deadline - clock()
        if not open_ids or left <= 0:
            return [known[message.task_id] for message in messages]
        sleep(min(pause, left))
        pause = min(pause * 1.5, LONGEST_PAUSE)


def _already_published(problem: DevctlError, messages: Sequence[Message]) -> DevctlError:
    what = messages[0].task_id if len(messages) == 1 else f"{len(messages):,} tasks"
    return DevctlError(problem.problem, hint=problem.hint, details=[*problem.details, f"published before that: {what}"])
