from __future__ import annotations

import pytest

from celeriac.dead_letter.letters import Letter
from devctl.broker.memory import MemoryBroker
from devctl.dead_letters.selection import Wanted, choose, named, select, wanted
from devctl.errors import UsageError

NOW = 10_000.0


@pytest.fixture
def broker() -> MemoryBroker:
    broker = MemoryBroker(clock=lambda: NOW)
    for stream_id, queue, reason, task, task_id, age in [
        ("1-0", "orders", "poison", "tasks.process_order", "aaaaaaaa-1", 900),
        ("2-0", "orders", "permanent", "tasks.process_order", "aaaaaaaa-2", 600),
        ("3-0", "notes", "permanent", "tasks.send", "cccccccc-1", 300),
        ("3-0", "orders", "undecodable", None, None, 60),
    ]:
        letter_id = f"{queue}/{stream_id}"
        broker.bury(Letter(letter_id, queue, reason, NOW - age, 2, task=task, task_id=task_id, raw=b"{}"))
    return broker


def ids(broker: MemoryBroker, newest_first: bool = False, **asked: str) -> list[str]:
    return [one.id for one in select(broker, wanted(**asked), newest_first=newest_first)]  # type: ignore[arg-type]


def test_without_a_wish_all_are_meant(broker: MemoryBroker) -> None:
    assert wanted().everything
    assert ["orders/1-0", "orders/2-0", "notes/3-0", "orders/3-0"] == ids(broker)
    assert ["orders/3-0", "notes/3-0", "orders/2-0", "orders/1-0"] == ids(broker, newest_first=True)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"task": "tasks.process_order"}, ["orders/1-0", "orders/2-0"]),
        ({"task": "process_order"}, ["orders/1-0", "orders/2-0"]),
        ({"task": "order"}, []),
        ({"reason": "permanent"}, ["orders/2-0", "notes/3-0"]),
        ({"queue": "notes"}, ["notes/3-0"]),
        ({"older_than": "5m1s"}, ["orders/1-0", "orders/2-0"]),
        ({"newer_than": "5m1s"}, ["notes/3-0", "orders/3-0"]),
        ({"newer_than": "11m", "older_than": "2m", "queue": "orders"}, ["orders/2-0"]),
        ({"reason": "permanent", "task": "process_order"}, ["orders/2-0"]),
    ],
    ids=str,
)
def test_everything_that_is_asked_for_must_fit(
    broker: MemoryBroker, asked: dict[str, str], expected: list[str]
) -> None:
    assert not wanted(**asked).everything  # type: ignore[arg-type]
    assert expected == ids(broker, **asked)


@pytest.mark.parametrize(
    ("asked", "problem", "hint"),
    [
        ({"reason": "poisson"}, "--reason 'poisson' is not a reason: did you mean poison?", "reasons: permanent, "),
        ({"older_than": "soon"}, "--older-than 'soon' is not a duration", "such as 90s"),
        ({"newer_than": "5"}, "--newer-than '5' is not a duration", "such as 90s"),
        ({"ids": ["orders/1-0"], "queue": "orders"}, "ids and filters cannot be combined", "leave one out"),
    ],
    ids=str,
)
def test_what_is_no_wish_is_named(asked: dict[str, str], problem: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        wanted(**asked)  # type: ignore[arg-type]

    assert problem == caught.value.problem
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("orders/2-0", "orders/2-0"),
        ("2-0", "orders/2-0"),
        ("cccccccc", "notes/3-0"),
        ("CCCCCCCC-1", "notes/3-0"),
        ("ccccccc…", "notes/3-0"),
    ],
)
def test_a_short_id_will_do_where_it_is_one_letters(broker: MemoryBroker, given: str, expected: str) -> None:
    letters, gone = named(broker, wanted(ids=[given]).ids)

    assert ([expected], []) == ([one.id for one in letters], gone)


@pytest.mark.parametrize(
    ("given", "candidates"),
    [("3-0", {"notes/3-0", "orders/3-0"}), ("aaaaaaaa", {"orders/1-0", "orders/2-0"})],
)
def test_a_short_id_of_several_letters_names_them(broker: MemoryBroker, given: str, candidates: set[str]) -> None:
    with pytest.raises(UsageError, match="matches 2 dead letters") as caught:
        named(broker, [given])

    assert candidates == set(caught.value.details)


def test_too_short_an_id_is_refused(broker: MemoryBroker) -> None:
    with pytest.raises(UsageError, match="too short"):
        named(broker, ["aaaaa"])


def test_ids_that_are_nobodys_are_told_and_the_others_found(broker: MemoryBroker) -> None:
    letters, gone = named(broker, ["orders/9-9", "8-8", "orders/1-0", "nothing-like-it"])

    assert ["orders/1-0"] == [one.id for one in letters]
    assert ["orders/9-9", "8-8", "nothing-like-it"] == gone


def test_two_names_of_one_letter_mean_it_once(broker: MemoryBroker) -> None:
    letters, _ = named(broker, wanted(ids=["orders/2-0", "2-0", "orders/2-0"]).ids)

    assert ["orders/2-0"] == [one.id for one in letters]


def test_ids_win_where_there_are_any(broker: MemoryBroker) -> None:
    assert ["notes/3-0"] == [one.id for one in choose(broker, Wanted(ids=("notes/3-0",)))[0]]
    assert 4 == len(list(choose(broker, Wanted())[0]))
