"""A trace as the page draws it."""

from __future__ import annotations

import json

import pytest

from devctl.broker.memory import MemoryBroker
from devctl.dash.web.trace import document, read
from devctl.errors import DevctlError
from devctl.trace.model import Attempt, Span, Trace, Where

AT = 1_000.0
RETRIED = Attempt("retried", "a", AT, None, AT + 1, AT + 1, AT + 3, AT + 3, "worker@one", "OSError: refused")
RUNS = Attempt("running", "b", AT + 3, AT + 5, AT + 6, AT + 6, worker="worker@two", progress=0.4, note="4 of 10")
CHILD = Span(
    "task",
    "mail.send",
    task_id="id-2",
    queue="mail",
    begin=AT + 7,
    state="waiting",
    attempts=(Attempt("waiting", "c", AT + 7),),
)
TASK = Span(
    *("task", "images.resize", "worker@two", "id-1", "images", AT, None, "running"),
    attempts=(RETRIED, RUNS),
    children=(CHILD,),
)


def drawn(*spans: Span, now: float = AT + 10, **more: object) -> dict[str, object]:
    answer: dict[str, object] = json.loads(json.dumps(document(Trace("id-1", "c" * 32, spans, now, **more))))  # type: ignore[arg-type]  # fields of it
    return answer


def test_each_attempt_has_a_row_under_its_task_and_children_come_after_them() -> None:
    rows = drawn(TASK)["rows"]
    assert isinstance(rows, list)
    assert [(0, "images.resize"), (1, "attempt 1"), (1, "attempt 2"), (1, "mail.send")] == [
        (one["depth"], one["name"]) for one in rows
    ]
    assert len(rows) == len({one["key"] for one in rows})
    assert ["OSError: refused"] == rows[1]["said"]
    assert ["40% · 4 of 10"] == rows[2]["said"]


def test_one_attempt_is_its_task() -> None:
    rows = drawn(CHILD)["rows"]
    assert isinstance(rows, list)
    assert ["mail.send"] == [one["name"] for one in rows]


def test_bars_are_parts_of_the_whole_in_the_order_of_time() -> None:
    rows = drawn(TASK)["rows"]
    assert isinstance(rows, list)
    assert [["waited", 0, 0.1], ["ran", 0.1, 0.3]] == rows[1]["bars"]
    assert [["due", 0.3, 0.5], ["waited", 0.5, 0.6], ["ran", 0.6, 1.0]] == rows[2]["bars"]
    assert rows[0]["bars"] == rows[1]["bars"] + rows[2]["bars"]


def test_where_a_message_is_stands_beside_its_task() -> None:
    waits = Where("waiting", "mail", 1_200, AT + 7, paused=True)
    assert "waits since 3.0 s behind 1,200 others in mail (paused)" == _said(CHILD, waits)
    assert "runs on worker@two since 3.0 s" == _said(
        TASK, Where("running", "images", since=AT + 7, worker="worker@two")
    )
    assert "is due in 2.0 s" == _said(TASK, Where("due", "images", due=AT + 12))
    assert "its message is not in the broker any more" == _said(TASK, Where("gone"))


def test_an_id_that_nobody_knows_is_explained() -> None:
    with pytest.raises(DevctlError, match="nothing is known of id-unknown"):
        read(MemoryBroker(), "id-unknown")


def _said(span: Span, where: Where) -> object:
    rows = drawn(span, where={span.task_id: where})["rows"]
    assert isinstance(rows, list)
    return rows[0]["where"]
