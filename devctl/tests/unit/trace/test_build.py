"""A trace made of records."""

from __future__ import annotations

from dataclasses import fields

import pytest
from devctl.tests.unit.trace.steps import (
    AWAY,
    MAIL,
    ORDER,
    SECOND,
    WORKER,
    at,
    claimed,
    ended,
    made,
    ms,
    only,
    published,
    retried,
    states,
    step,
    story,
    times,
)

from celeriac.life.record import Kind, Record
from devctl.trace.model import Span


def test_a_task_is_published_waits_runs_and_is_committed() -> None:
    span = only(made([published(4), claimed(5), ended(20, 12)]))

    assert ("succeeded", "tasks.process_order", "orders", WORKER, "service1") == (
        span.state,
        span.name,
        span.queue,
        span.who,
        span.publisher,
    )
    assert [(4, 5, 7, 19, 20)] == [times(one) for one in span.attempts]
    assert (4, 20) == (ms(span.begin), ms(span.end))


def test_a_request_has_what_it_published_below_it() -> None:
    trace = made([published(4, since=at(0), via="POST /api/orders"), claimed(5), ended(20, 12)])

    (request,) = trace.spans
    assert ("request", "POST /api/orders", "service1") == (request.kind, request.name, request.who)
    assert (0, 4) == (ms(request.begin), ms(request.end))
    assert [ORDER] == [one.task_id for one in request.children]


def test_each_attempt_has_its_error_and_its_wait() -> None:
    records = [
        published(0),
        claimed(1),
        *retried(18, 12, 518, "t1", "t2", AWAY),
        claimed(521, "t2"),
        ended(535, 12, tag="t2"),
    ]

    span = only(made(records))

    assert ["retried", "succeeded"] == states(span)
    first, second = span.attempts
    assert AWAY == first.error
    assert (18, 521, 522, 534, 535) == times(second)
    assert 518 == ms(second.due)
    assert "succeeded" == span.state


def test_a_dead_letter_and_its_replay_are_attempts_of_the_same_task() -> None:
    trace = made(story())

    order, mail = trace.tasks
    assert ["retried", "dead", "succeeded"] == states(order)
    assert [False, False, True] == [one.replay for one in order.attempts]
    assert "retries-exhausted" == order.attempts[1].reason
    assert "succeeded" == order.state == mail.state == trace.state
    assert [mail] == list(order.children)
    assert () == trace.gaps


def test_a_message_of_a_killed_worker_comes_back_with_the_same_tag() -> None:
    back = step(65_000, Kind.RETURNED, tag="t1", who=SECOND, reason="lease over")
    records = [published(0), claimed(1), back, claimed(65_001, who=SECOND), ended(65_020, 10, who=SECOND)]

    span = only(made(records))

    assert ["returned", "succeeded"] == states(span)
    assert [WORKER, SECOND] == [one.worker for one in span.attempts]
    assert "lease over" == span.attempts[0].reason
    assert 65_000 == ms(span.attempts[1].queued)


def test_a_stalled_worker_that_comes_back_too_late_is_refused_and_changes_nothing() -> None:
    back = step(65_000, Kind.RETURNED, tag="t1", who=SECOND, reason="lease over")
    late = ended(70_000, 69_000, Kind.REFUSED)
    records = [published(0), claimed(1), back, claimed(65_001, who=SECOND), ended(65_020, 10, who=SECOND), late]

    span = only(made(records))

    assert ["refused", "succeeded"] == states(span)
    assert (WORKER, 70_000) == (span.attempts[0].worker, ms(span.attempts[0].settled))
    assert "succeeded" == span.state


def test_two_messages_of_one_task_are_told_apart_by_their_tags() -> None:
    both = [published(0), published(1, tag="t2"), claimed(2), claimed(3, "t2", SECOND)]

    span = only(made([*both, ended(20, 10), ended(30, 20, Kind.REPEATED, tag="t2", who=SECOND)]))

    assert [("t1", "succeeded", WORKER), ("t2", "repeated", SECOND)] == [
        (one.tag, one.state, one.worker) for one in span.attempts
    ]
    assert ("succeeded", WORKER) == (span.state, span.who)


@pytest.mark.parametrize(
    ("records", "state"),
    [
        ([published(0)], "waiting"),
        ([published(0, due_at=at(20_000))], "due"),
        ([published(0), claimed(1)], "claimed"),
        ([published(0), claimed(1), step(202, Kind.STARTED, task_id=ORDER, tag="t1", since=at(2))], "running"),
        ([published(0), claimed(1), ended(20, 1, state="REVOKED")], "revoked"),
        ([published(0), claimed(1), ended(20, 1, Kind.FAILED, state="FAILURE")], "failed"),
        ([published(0), claimed(1), ended(20, 1, Kind.REPEATED)], "repeated"),
        ([published(0), step(5, Kind.DROPPED, task_id=ORDER, tag="t1", reason="purged")], "dropped"),
    ],
)  # fmt: skip
def test_its_state_is_what_its_last_step_says(records: list[Record], state: str) -> None:
    trace = made(records)

    assert state == trace.state == only(trace).state
    assert (state in ("waiting", "due", "claimed", "running")) != trace.ended


def test_progress_is_that_of_the_attempt_that_runs() -> None:
    told = step(400, Kind.PROGRESS, task_id=ORDER, tag="t1", who=WORKER, progress=0.4, note="resized 4 of 10")

    (attempt,) = only(made([published(0), claimed(1), told])).attempts

    assert ("running", 0.4, "resized 4 of 10") == (attempt.state, attempt.progress, attempt.note)


def part(number: int, end_ms: float | None, **facts: str) -> list[Record]:
    task_id, tag = f"part-{number}", f"p{number}"
    first = [published(number, task_id, tag, group_id="g", root_id=task_id, **facts), claimed(10 + number, tag)]
    return first if end_ms is None else [*first, ended(end_ms, 5, task_id=task_id, tag=tag)]


def test_three_of_five_parts_of_a_group_are_done() -> None:
    records = [one for n in range(5) for one in part(n, 100 + n if n < 3 else None)]

    (group,) = made(records).spans

    assert ("group", "5 parts", 3, "running") == (group.kind, group.name, group.done, group.state)
    assert 5 == len(group.children)


def test_the_body_of_a_chord_stands_behind_its_parts_though_the_last_part_published_it() -> None:
    body = published(120, "body", "b", parent_id="part-1", root_id="part-1")
    records = [
        *part(0, 100, chord="body"),
        *part(1, 120, chord="body"),
        body,
        claimed(121, "b"),
        ended(130, 5, task_id="body", tag="b"),
    ]

    (chord,) = made(records).spans

    assert ("chord", "2 parts", 2, "succeeded") == (chord.kind, chord.name, chord.done, chord.state)
    assert ["part-0", "part-1", "body"] == [one.task_id for one in chord.children]
    assert ["part-0", "part-1"] == [one.task_id for one in chord.parts]


def test_of_a_plain_chord_the_group_of_the_body_tells_where_it_belongs() -> None:
    body = ended(130, 5, task_id="body", tag="b", parent_id="part-1", group_id="g")
    records = [*part(0, 100), *part(1, 120), claimed(121, "b"), body]

    (chord,) = made(records).spans

    assert ("chord", 2, ["part-0", "part-1", "body"]) == (
        chord.kind,
        chord.done,
        [one.task_id for one in chord.children],
    )


def test_a_retry_of_a_plain_task_has_itself_as_parent_and_is_no_child() -> None:
    first = ended(18, 12, Kind.RETRIED, error=AWAY, state="RETRY", due_at=at(518))
    again = published(18, tag="t2", who=WORKER, parent_id=ORDER, due_at=at(518), attempt=1)

    trace = made([claimed(1), first, again, claimed(521, "t2"), ended(535, 12, tag="t2", parent_id=ORDER)])

    assert ["retried", "succeeded"] == states(only(trace))
    assert (1, 521) == tuple(ms(one.claimed) for one in only(trace).attempts)
    assert "not recorded who published it" in trace.gaps[0]


def test_a_part_of_a_group_that_is_tried_again_is_no_body_of_a_chord() -> None:
    def fails(number: int) -> list[Record]:
        facts = {"task_id": f"part-{number}", "parent_id": f"part-{number}", "group_id": "g"}
        return [
            ended(20, 5, Kind.RETRIED, tag=f"p{number}", state="RETRY", **facts),
            ended(90, 5, tag=f"again-{number}", **facts),
        ]

    (group,) = made([*fails(0), *fails(1)]).spans

    assert ("group", 2) == (group.kind, group.done)


def test_a_chain_goes_down_one_link_at_a_time_however_long_it_is() -> None:
    records = [
        published(n, f"link-{n}", f"l{n}", parent_id=f"link-{n - 1}" if n else "", root_id="link-0")
        for n in range(2_000)
    ]

    trace = made(records)

    span, depth = trace.spans[0], 1
    while span.children:
        (span,), depth = span.children, depth + 1
    assert 2_000 == depth == len(trace.tasks)


def test_ids_that_go_round_in_a_circle_are_all_shown() -> None:
    trace = made(
        [
            published(0, "a", "1", parent_id="b"),
            published(1, "b", "2", parent_id="a"),
            published(2, "c", "3", parent_id="c", chord="c", group_id="g"),
        ]
    )

    assert ["a", "b", "c"] == sorted(one.task_id for one in trace.tasks)


def test_what_is_not_recorded_is_named() -> None:
    stock = made([claimed(5), ended(20, 12)])
    of_claim = made([published(0), ended(20, 12)])

    assert ["process_order 0190b3c2: not recorded who published it, and when: a stock client, or a process that"] == [
        one.removesuffix(" writes no records") for one in stock.gaps
    ]
    assert ["process_order 0190b3c2: not recorded who claimed it, and when"] == list(of_claim.gaps)


def test_the_same_gap_of_many_tasks_is_named_once() -> None:
    trace = made([ended(n, 1, task_id=f"part-{n}", tag=f"p{n}") for n in range(5)])

    assert ["process_order part-0 and 4 more"] == [one.partition(":")[0] for one in trace.gaps]


def test_all_shares_of_the_time_add_up_to_all_of_it() -> None:
    trace = made(story())

    shares = trace.shares

    parts = [getattr(shares, one.name) for one in fields(shares)]
    assert pytest.approx(trace.end - trace.begin) == sum(parts)
    assert pytest.approx([0.046, 0.5, 2.0, 0.004], abs=1e-5) == [shares.ran, shares.due, shares.dead, shares.request]


def test_a_body_never_begins_before_its_claim_whatever_rounding_makes_of_it() -> None:
    early = ended(20, 17)  # Redis tells milliseconds, the worker microseconds

    (attempt,) = only(made([published(4), claimed(5), early])).attempts

    assert (5, 19) == (ms(attempt.began), ms(attempt.ended))


def test_records_may_come_in_any_order_of_tasks() -> None:
    def shape(span: Span) -> tuple[str, list[object]]:
        return span.task_id or span.name, [shape(one) for one in span.children]

    mail = [one for one in story() if MAIL in (one.task_id, *(["n1"] if one.tag == "n1" else []))]
    rest = [one for one in story() if one not in mail]

    assert [shape(one) for one in made(story()).spans] == [shape(one) for one in made([*mail, *rest]).spans]
