from __future__ import annotations

import random

from devctl.logs.order import Order
from devctl.stack.port import LogLine

TRACEBACK = ["Traceback (most recent call last):", '  File "a.py", line 1, in f', "    boom()", "ValueError: bad"]


def texts(order: Order, **until: float) -> list[str]:
    return ["\n".join(entry.lines) for entry in order.release(**until)]


def ordered(*lines: LogLine) -> list[str]:
    order = Order()
    for line in lines:
        order.add(line)
    return texts(order)


def at(time: float | None, text: str, replica: str = "worker-1") -> LogLine:
    return LogLine(replica.rpartition("-")[0], replica, text, time)


def test_lines_of_all_services_come_by_time() -> None:
    assert ["a", "b", "c"] == ordered(at(3, "c"), at(1, "a", "redis-1"), at(2, "b", "api-1"))


def test_lines_of_the_same_time_stay_as_they_came() -> None:
    assert [str(n) for n in range(20)] == ordered(*(at(1, str(n), f"s-{n % 3}") for n in range(20)))


def test_a_line_without_a_time_stays_beside_its_predecessor() -> None:
    lines = [at(1, "a1"), at(None, "a2"), at(None, "a3"), at(1.5, "b", "api-1"), at(2, "a4")]
    assert ["a1", "a2", "a3", "b", "a4"] == ordered(*lines)


def test_lines_before_the_first_time_of_a_replica_take_that_time() -> None:
    lines = [at(1, "early", "redis-1"), at(None, "starting"), at(None, "loading"), at(2, "ready")]
    assert ["early", "starting", "loading", "ready"] == ordered(*lines)


def test_a_replica_that_never_says_a_time_comes_first_and_whole() -> None:
    assert ["x", "y", "a"] == ordered(at(1, "a"), at(None, "x", "api-1"), at(None, "y", "api-1"))


def test_a_traceback_is_one_entry_although_others_wrote_meanwhile() -> None:
    crash = [at(1 + n / 1000, text) for n, text in enumerate(TRACEBACK)]
    meanwhile = [at(1.0005 + n / 1000, f"{n}", "api-1") for n in range(4)]
    mixed = [line for pair in zip(crash, meanwhile, strict=True) for line in pair]
    assert ["\n".join(TRACEBACK), "0", "1", "2", "3"] == ordered(*mixed)


def test_a_traceback_belongs_to_the_plain_error_before_it() -> None:
    head = "[2026-11-23 10:15:02,123: ERROR/MainProcess] Task failed"
    lines = [at(1 + n / 1000, text) for n, text in enumerate([head, *TRACEBACK])]
    assert ["\n".join([head, *TRACEBACK])] == ordered(*lines)


def test_a_traceback_after_a_structured_line_is_a_crash_of_its_own_and_an_error() -> None:
    order = Order()
    for line in [at(1, '{"event": "starting", "level": "info"}'), *(at(None, text) for text in TRACEBACK)]:
        order.add(line)
    first, second = order.release()
    assert ("info", "error") == (first.level, second.level)
    assert tuple(TRACEBACK) == second.lines


def test_an_error_message_of_several_lines_stays_with_its_traceback() -> None:
    settings = ["ValidationError: 1 validation error for Settings", "CELERY_BROKER_URL", "  must begin with redis://"]
    assert ["\n".join([*TRACEBACK[:-1], *settings])] == ordered(
        *(at(None, text) for text in [*TRACEBACK[:-1], *settings])
    )


def test_a_chain_of_errors_is_one_entry() -> None:
    chain = [*TRACEBACK, "", "During handling of the above exception, another exception occurred:", "", *TRACEBACK]
    assert ["\n".join(chain)] == ordered(*(at(None, text) for text in chain))


def test_two_crashes_in_a_row_are_two_entries() -> None:
    assert ["\n".join(TRACEBACK)] * 2 == ordered(*(at(None, text) for text in TRACEBACK * 2))


def test_after_a_traceback_a_line_written_later_is_a_new_entry() -> None:
    lines = [at(1, text) for text in TRACEBACK]
    assert ["\n".join(TRACEBACK), "hello"] == ordered(*lines, at(2, "hello"))


def test_an_indented_line_after_a_structured_one_is_its_own() -> None:
    assert ['{"event": "x"}', "  y"] == ordered(at(1, '{"event": "x"}'), at(None, "  y"))


def test_what_waited_long_enough_takes_earlier_ones_along_and_leaves_later_ones() -> None:
    order = Order()
    order.add(at(10, "due"), arrived=0)
    order.add(at(9, "late but earlier", "api-1"), arrived=1)
    order.add(at(11, "not yet", "api-1"), arrived=1)
    assert ["late but earlier", "due"] == texts(order, arrived_before=0.5)
    assert ["not yet"] == texts(order)


def test_a_traceback_that_goes_on_after_its_beginning_was_shown_says_whose_it_is() -> None:
    order = Order()
    order.add(at(1, TRACEBACK[0]), arrived=0)
    (head,) = order.release(arrived_before=1)
    for text in TRACEBACK[1:]:
        order.add(at(None, text), arrived=2)
    (rest,) = order.release(arrived_before=3)
    assert head == rest.continues
    assert tuple(TRACEBACK[1:]) == rest.lines


def test_releasing_bit_by_bit_loses_and_doubles_nothing() -> None:
    chance = random.Random(7)
    order, given, taken = Order(), [], []
    for n in range(2_000):
        text = f"line {n}"
        given.append(text)
        order.add(at(chance.choice([None, n + chance.uniform(-3, 3)]), text, f"s-{chance.randrange(4)}"), arrived=n)
        if n % 7 == 0:
            taken += texts(order, arrived_before=n - 5)
    taken += texts(order)
    assert sorted(given) == sorted(taken)
