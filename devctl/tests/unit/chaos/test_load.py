"""The clients of a chaos run, over doors that refuse, hang and lie."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence

from devctl.chaos.api import Answer
from devctl.chaos.load import Traffic
from devctl.chaos.publishing import Task, task
from devctl.chaos.scenario import Load
from devctl.clock import SystemClock


class Door:
    """A publisher: refuses the first attempts at each id."""

    def __init__(self, refuses: int = 0, seconds: float = 0.0) -> None:
        self.refuses, self.seconds = refuses, seconds
        self.attempts: Counter[str] = Counter()

    def publish(self, task: Task) -> None:
        time.sleep(self.seconds)
        self.attempts[task.task_id] += 1
        if self.attempts[task.task_id] <= self.refuses:
            raise TimeoutError("no answer")

    def publish_all(self, tasks: Sequence[Task]) -> None:
        for one in tasks:
            self.publish(one)


class Shop:
    """An API: 503 first, then 202 with a new order each time it is asked."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.asked: Counter[str] = Counter()
        self.lock = threading.Lock()

    def order(self, key: str) -> Answer:
        with self.lock:
            self.asked[key] += 1
        if self.asked[key] <= self.failures:
            return Answer(503, 0.001, retry_after=2)
        return Answer(202, 0.001, f"order-{key}-{self.asked[key]}")


def played(load: Load, door: Door, shop: Shop | None = None, seconds: float = 0.4) -> Traffic:
    traffic = Traffic(load, door, shop, SystemClock())
    traffic.backlog()
    traffic.begin()
    time.sleep(seconds)
    traffic.end()
    return traffic


def test_everything_that_was_due_is_sent_once() -> None:
    door = Door()
    sent = played(Load(tasks=50, orders=0), door).sent()

    assert 18 <= len(sent) <= 24
    assert {1} == set(door.attempts.values())
    assert [(one.key,) for one in sent] == [one.ids for one in sent]
    assert all(one.accepted_at is not None and one.answers == ("published",) for one in sent)


def test_what_is_refused_is_sent_again_with_its_own_id() -> None:
    door = Door(refuses=1)
    sent = played(Load(tasks=20, orders=0), door).sent()

    assert {2} == set(door.attempts.values())
    assert {("refused: TimeoutError: no answer", "published")} == {one.answers for one in sent}


def test_slow_clients_are_no_excuse_answers_count_from_when_they_were_due() -> None:
    sent = played(Load(tasks=100, orders=0), Door(seconds=0.2)).sent()

    assert max(one.slowest_seconds for one in sent) > 0.5


def test_an_order_is_repeated_under_its_key_until_it_is_accepted() -> None:
    sent = played(Load(tasks=0, orders=20), Door(), Shop(failures=1), seconds=0.3).sent()

    assert {("503", "202")} == {one.answers for one in sent}
    assert all(one.ids == (f"order-{one.key}-2",) for one in sent)


def test_a_backlog_is_there_before_anything_else() -> None:
    door = Door()
    traffic = Traffic(Load(tasks=0, orders=0, backlog=2_500), door, None, SystemClock())
    traffic.backlog()

    assert 2_500 == len(door.attempts) == traffic.accepted


def test_what_shall_become_of_a_task_is_known_by_its_kind() -> None:
    traffic = Traffic(
        Load(tasks=0, orders=0, backlog=1_000, flaky=50, bad="poison", bad_every=500), Door(), None, SystemClock()
    )
    traffic.backlog()

    assert ["dead", "dead"] == list(traffic.fates.values())
    assert 20 == len(traffic.retried)
    assert not traffic.fates.keys() & traffic.retried


def test_the_kinds_of_tasks_and_their_order_are_the_same_in_every_run() -> None:
    load = Load(flaky=10, bad="hang", bad_every=100, bad_most=1, notify=2)
    made = [task(load, number, "id") for number in range(300)]

    assert {"work": 269, "flaky": 30, "hang": 1} == Counter(one.kind for one in made)
    assert "hang" == made[50].kind
    assert 150 == sum(one.notify for one in made)
