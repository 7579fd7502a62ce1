"""Open load through both doors, and what its clients saw."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Protocol, TypeVar

from devctl.chaos.agenda import Agenda, Entry
from devctl.chaos.api import Answer
from devctl.chaos.observation import Fate, Sent
from devctl.chaos.publishing import Publisher, Task, task
from devctl.chaos.scenario import Load
from devctl.chaos.verdict import NO_ANSWER, PUBLISHED, REFUSED
from devctl.clock import Clock

PUBLISHERS, CALLERS = 8, 32
AGAIN_SECONDS = 0.3
LONGEST_PAUSE_SECONDS = 1.0
"""Clients of a chaos run are less patient than a Retry-After asks them to be: a row has a minute."""
GIVE_UP_SECONDS = 20.0
PATIENCE_AFTER_SECONDS = 3.0
"""For clients that are in the middle of an attempt when everybody gives up."""
LONGEST_TEXT = 80
_ACCEPTED = 202
_CHUNK = 1_000

T = TypeVar("T")


class Orders(Protocol):
    """The API, as far as the load needs it."""

    def order(self, key: str) -> Answer:
        """POST one order."""


@dataclass
class Story:
    """What happened to one key so far."""

    key: str
    due: float
    accepted_at: float | None = None
    ids: list[str] = field(default_factory=list)
    slowest: float = 0.0
    answers: list[str] = field(default_factory=list)

    def sent(self) -> Sent:
        """As a value."""
        return Sent(self.key, self.due, self.accepted_at, tuple(self.ids), self.slowest, tuple(self.answers))


class Traffic:
    """The clients of one part: threads that work off two agendas until they are told to stop."""

    def __init__(self, load: Load, publisher: Publisher, orders: Orders | None, clock: Clock) -> None:
        self._load, self._publisher, self._orders, self._clock = load, publisher, orders, clock
        self.fates: dict[str, Fate] = {}
        self.retried: set[str] = set()
        self.notifying: set[str] = set()
        self._stories: list[Story] = []
        self._tasks: Agenda[Task] | None = None
        self._keys: Agenda[str] | None = None
        self._threads: list[threading.Thread] = []
        self._open: dict[str, Story] = {}
        self._lock = threading.Lock()

    def backlog(self) -> None:
        """Publish what shall be there before anything else."""
        left = self._load.backlog
        while left > 0:
            chunk = [self._task(n) for n in range(left - min(_CHUNK, left), left)]
            begun = self._clock.now()
            self._publisher.publish_all(chunk)
            now = self._clock.now()
            self._stories += [
                Story(one.task_id, begun, now, [one.task_id], (now - begun) / len(chunk), [PUBLISHED]) for one in chunk
            ]
            left -= len(chunk)

    def begin(self) -> None:
        """Let the clients go."""
        now = self._clock.now
        if self._load.tasks:
            self._tasks = Agenda(self._load.tasks, self._task, now)
            self._employ(self._tasks, self._publish, PUBLISHERS)
        if self._load.orders and self._orders:
            self._keys = Agenda(self._load.orders, lambda _: f"chaos-{uuid.uuid4().hex}", now)
            self._employ(self._keys, self._order, CALLERS)
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """No new messages; what was not confirmed is tried again for a while. A client that hangs is left behind."""
        deadline = self._clock.now() + GIVE_UP_SECONDS
        if self._tasks:
            self._tasks.close(GIVE_UP_SECONDS)
        if self._keys:
            self._keys.close(GIVE_UP_SECONDS)
        for thread in self._threads:
            thread.join(max(0.1, deadline + PATIENCE_AFTER_SECONDS - self._clock.now()))

    def sent(self) -> tuple[Sent, ...]:
        """Everything that was tried."""
        with self._lock:
            return tuple(story.sent() for story in self._stories)

    @property
    def accepted(self) -> int:
        """How many are confirmed so far."""
        return sum(story.accepted_at is not None for story in self._stories)

    def _task(self, number: int) -> Task:
        made = task(self._load, number, str(uuid.uuid4()))
        if made.kind == "flaky":
            self.retried.add(made.task_id)
        elif made.kind != "work":
            self.fates[made.task_id] = "dead"
        if made.notify:
            self.notifying.add(made.task_id)
        return made

    def _employ(self, agenda: Agenda[T], attempt: Callable[[Entry[T]], None], count: int) -> None:
        """One thread that waits for what is due, and so many that do it."""
        due: SimpleQueue[Entry[T] | None] = SimpleQueue()

        def feed() -> None:
            while entry := agenda.take():
                due.put(entry)
            for _ in range(count):
                due.put(None)

        def work() -> None:
            while entry := due.get():
                attempt(entry)

        for target in (feed, *[work] * count):
            self._threads.append(threading.Thread(target=target, daemon=True))

    def _publish(self, entry: Entry[Task]) -> None:
        assert self._tasks is not None
        story = self._story(entry.item.task_id, entry.first)
        try:
            self._publisher.publish(entry.item)
        except Exception as refused:  # whatever a client raises: not confirmed
            self._note(story, entry.due, f"{REFUSED}{type(refused).__name__}: {refused}"[:LONGEST_TEXT])
            self._tasks.again(entry, AGAIN_SECONDS)
        else:
            story.ids[:] = [entry.item.task_id]
            self._note(story, entry.due, PUBLISHED)
            story.accepted_at = self._clock.now()
            self._tasks.finished()

    def _order(self, entry: Entry[str]) -> None:
        assert self._keys is not None
        assert self._orders is not None
        story = self._story(entry.item, entry.first)
        answer = self._orders.order(entry.item)
        self._note(story, entry.due, str(answer.status) if answer.status else NO_ANSWER)
        if answer.status == _ACCEPTED:
            if answer.task_id not in story.ids:
                story.ids.append(answer.task_id)
            story.accepted_at = story.accepted_at or self._clock.now()
            self._keys.finished()
        else:
            self._keys.again(entry, min(LONGEST_PAUSE_SECONDS, max(AGAIN_SECONDS, answer.retry_after)))

    def _story(self, key: str, due: float) -> Story:
        with self._lock:
            if key not in self._open:
                self._open[key] = Story(key, due)
                self._stories.append(self._open[key])
            return self._open[key]

    def _note(self, story: Story, due: float, answer: str) -> None:
        """An answer counts from when its request was due: that all clients were busy is no excuse."""
        story.slowest = max(story.slowest, self._clock.now() - due)
        story.answers.append(answer)
