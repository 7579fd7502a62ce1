"""One message runs alone: the others finish, wait, and go on."""

import threading
import time
from collections.abc import Callable
from typing import Any

from celeriac.lease.starts import Start
from celeriac.run.exclusive import Exclusive
from celeriac.run.threads import TaskThread

ALONE = Start(counted=4, poison=False, alone_seconds=5.0, stored=3)
BESIDE = Start(counted=1, poison=False, alone_seconds=0.0, stored=0)


class Pool:
    def __init__(self, threads: int = 2) -> None:
        self.threads = [TaskThread(number) for number in range(threads)]
        self.stopping = False
        self.committed: list[float] = []
        self.commit_all: Callable[[float], Any] = self.committed.append


def eventually(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.002)


def test_it_waits_until_the_others_have_finished_and_they_wait_until_it_has_ended() -> None:
    pool = Pool()
    exclusive, (first, second), went = Exclusive(pool), pool.threads, []
    second.busy = True
    go_on = threading.Event()

    def alone() -> None:
        with exclusive.start(first, "tag", ALONE) as granted:
            went.append(("alone", granted))
            go_on.wait(10)

    def beside() -> None:
        exclusive.wait(second)
        went.append(("beside", True))

    running = threading.Thread(target=alone)
    running.start()
    eventually(lambda: exclusive.current is not None)
    assert [] == went
    waiting = threading.Thread(target=beside)
    waiting.start()  # the other thread has finished: it waits now
    eventually(lambda: went)
    assert ([("alone", True)], []) == (went, pool.committed)
    go_on.set()
    running.join(10)
    waiting.join(10)
    assert ([("alone", True), ("beside", True)], [1.0]) == (went, pool.committed)  # its neighbours' outcomes first
    assert exclusive.current is None


def test_an_early_start_and_a_single_thread_wait_for_nobody() -> None:
    pool = Pool()
    pool.threads[1].busy = True
    with Exclusive(pool).start(pool.threads[0], "tag", BESIDE) as granted:
        assert not granted
    single = Pool(1)
    with Exclusive(single).start(single.threads[0], "tag", ALONE) as granted:
        assert granted  # who runs in the only thread is alone


def test_at_a_stop_nobody_is_alone_and_nobody_waits() -> None:
    pool = Pool()
    exclusive, (first, second) = Exclusive(pool), pool.threads
    second.busy = pool.stopping = True
    with exclusive.start(first, "tag", ALONE) as granted:
        assert (False, None) == (granted, exclusive.current)
        exclusive.wait(second)


def test_its_time_begins_when_its_start_is_counted() -> None:
    pool = Pool()
    exclusive, (first, second) = Exclusive(pool), pool.threads
    with exclusive.start(first, "tag", ALONE):
        run = exclusive.current
        assert run is not None
        exclusive.counted(second)
        assert run.until > time.monotonic() + 1_000
        exclusive.counted(first)
        assert run.until <= time.monotonic() + ALONE.alone_seconds


def test_if_its_thread_dies_the_others_go_on() -> None:
    pool = Pool()
    exclusive, (first, second) = Exclusive(pool), pool.threads
    with exclusive.start(first, "tag", ALONE):
        exclusive.forget(second)
        assert exclusive.current is not None
        exclusive.forget(first)
        exclusive.wait(second)
