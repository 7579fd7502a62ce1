"""The records of a whole trace, found by any id of it."""

from __future__ import annotations

import pytest
from devctl.tests.unit.trace.steps import CORRELATION, MAIL, ORDER, claimed, ended, published, step, story

from celeriac.dead_letter.letters import Letter
from celeriac.life.record import Kind, Record
from devctl.broker.memory import MemoryBroker, MemoryLife
from devctl.errors import DevctlError, UsageError
from devctl.trace.find import MOST_TASKS, Search, find

LETTER = "orders/1764165800535-0"


def holding(*records: Record) -> MemoryBroker:
    return MemoryBroker(life=MemoryLife(list(records)))


def others() -> list[Record]:
    """Another order, in the same entries."""
    return [
        published(3, "ffff0000-1", "x1", correlation_id="beef" * 8),
        claimed(5, "x1"),
        ended(20, 10, task_id="ffff0000-1", tag="x1"),
    ]


@pytest.mark.parametrize(
    "given",
    [
        *(ORDER, ORDER[:4], ORDER[:8] + "…", MAIL, MAIL[:8], "n1" + "\n", CORRELATION, CORRELATION[:6], LETTER, "t3"),
        f"00-{CORRELATION}-00f067aa0ba902b7-01",
    ],
)
def test_any_id_of_it_or_its_beginning_finds_all_of_it(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devctl.trace.find.SHORTEST", 2)
    broker = holding(*story(), *others())
    broker.bury(Letter(LETTER, "orders", "permanent", 0.0, 1, task_id=ORDER))

    found = find(broker, given)

    assert story() == found.records


def test_a_whole_id_wins_over_those_that_begin_so() -> None:
    broker = holding(published(0, "abcd", "1", correlation_id="c1"), published(1, "abcd-2", "2", correlation_id="c2"))

    assert ["abcd"] == [one.task_id for one in find(broker, "abcd").records]


def test_the_beginning_of_ids_of_two_traces_is_a_usage_error_that_lists_them() -> None:
    broker = holding(*(published(n, f"abcd-{n}", f"t{n}", correlation_id=f"c{n}") for n in range(8)))

    with pytest.raises(UsageError, match="abcd is the beginning of 8 ids") as caught:
        find(broker, "abcd")

    assert ("abcd-0", "abcd-1", "abcd-2", "abcd-3", "abcd-4", "and 3 more") == caught.value.details


def test_the_beginning_of_several_ids_of_one_trace_is_no_question() -> None:
    broker = holding(published(0, "abcd-1", "1"), published(1, "abcd-2", "2", parent_id="abcd-1"))

    assert 2 == len(find(broker, "abcd").records)


def test_an_id_below_four_characters_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="too short"):
        find(holding(), "019…")


def test_a_dead_letter_that_is_gone_says_so() -> None:
    with pytest.raises(DevctlError, match="there is no dead letter orders/1-0"):
        find(holding(), "orders/1-0")


def test_parts_of_a_group_belong_together_without_a_parent() -> None:
    parts = [published(n, f"part-{n}", f"p{n}", group_id="the-group", correlation_id=f"c{n}") for n in range(3)]

    assert parts == find(holding(*parts, *others()), "part-1").records


def test_children_of_children_are_found_though_no_id_but_the_parents_ties_them() -> None:
    links = [
        published(n, f"link-{n}", f"l{n}", parent_id=f"link-{n - 1}" if n else "", root_id="", correlation_id="")
        for n in range(6)
    ]

    for given in ("link-0", "link-3", "link-5"):
        assert links == find(holding(*links), given).records


def test_the_claim_of_a_first_attempt_is_found_though_only_the_retry_was_published_here() -> None:
    first = ended(18, 12, Kind.RETRIED, state="RETRY")
    records = [claimed(1), first, published(18, tag="t2", attempt=1), claimed(521, "t2")]

    assert records == find(holding(*records), ORDER).records


def test_what_carries_the_same_trace_id_over_http_belongs_together() -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    both = [published(n, f"task-{n}", f"t{n}", correlation_id=f"c{n}", traceparent=parent) for n in range(2)]

    assert both == find(holding(*both), "0af7651916cd43dd").records


def test_a_request_that_published_too_many_tasks_shows_some_of_them() -> None:
    found = find(holding(*(published(n, f"task-{n}", f"t{n}") for n in range(MOST_TASKS + 50))), CORRELATION)

    assert found.full
    assert MOST_TASKS == len(found.records)


def test_new_records_are_taken_as_they_come_and_only_those_that_belong_to_it() -> None:
    search = find(holding(published(0)), ORDER)

    assert search.add([claimed(1), *others()])
    assert not search.add([claimed(1), *others()])
    child = published(5, MAIL, "n1", parent_id=ORDER, correlation_id="")
    assert search.add([claimed(6, "n1"), child])  # its claim came first: of the same piece
    assert [Kind.PUBLISHED, Kind.CLAIMED, Kind.PUBLISHED, Kind.CLAIMED] == [one.kind for one in search.records]


def test_a_record_without_any_id_belongs_to_nothing() -> None:
    search = Search("x")
    search.link("x")

    assert not search.add([step(0, Kind.DROPPED, reason="purged"), claimed(0).but(tag="")])
