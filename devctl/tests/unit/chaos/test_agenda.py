"""The schedule of the load: no answer moves it, and what failed comes again beside it."""

from __future__ import annotations

import threading

from devctl.chaos.agenda import Agenda


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def made(rate: float = 10.0) -> tuple[Agenda[int], Clock]:
    clock = Clock()
    return Agenda(rate, lambda number: number, clock), clock


def taken(agenda: Agenda[int]) -> tuple[float, int]:
    entry = agenda.take()
    assert entry is not None
    return round(entry.due, 3), entry.item


def test_entries_are_due_at_even_times_however_late_they_are_taken() -> None:
    agenda, clock = made()
    clock.time = 100.25

    assert [(100.0, 0), (100.1, 1), (100.2, 2)] == [taken(agenda) for _ in range(3)]


def test_what_failed_comes_again_and_keeps_its_first_time() -> None:
    agenda, clock = made()
    entry = agenda.take()
    assert entry is not None
    clock.time = 100.02
    agenda.again(entry, 0.03)
    clock.time = 100.06

    again = agenda.take()

    assert again is not None
    assert (0, 100.0, 100.05) == (again.item, again.first, round(again.due, 3))


def test_after_its_close_what_was_due_by_then_is_still_handed_out_and_nothing_more() -> None:
    agenda, clock = made()
    clock.time = 100.15
    agenda.close(patience=5)
    clock.time = 101.0

    assert [(100.0, 0), (100.1, 1)] == [taken(agenda) for _ in range(2)]
    agenda.finished()
    agenda.finished()
    assert agenda.take() is None


def test_after_its_close_a_failure_is_waited_for_until_patience_ends() -> None:
    agenda, clock = made()
    entry = agenda.take()
    assert entry is not None
    agenda.close(patience=5)
    agenda.again(entry, 2.0)
    clock.time = 102.0
    assert (102.0, 0) == taken(agenda)
    agenda.again(entry, 9.0)
    clock.time = 105.1

    assert agenda.take() is None
    assert [0] == [left.item for left in agenda.left]


def test_one_that_is_out_is_waited_for() -> None:
    agenda: Agenda[int] = Agenda(0.001, lambda number: number)
    entry = agenda.take()
    assert entry is not None
    agenda.close(patience=10)
    threading.Timer(0.1, lambda: agenda.again(entry, 0.0)).start()

    again = agenda.take()  # not None, although nothing was left when it asked
    assert again is not None
    assert entry.number == again.number
