"""A journey is read from nothing but log records."""

from __future__ import annotations

from typing import Any

from devctl.demo.journey import Journey, read

ZERO = 1_795_449_600.0  # 2026-11-23T16:00:00Z


def record(milliseconds: float, service: str, event: str, **fields: Any) -> dict[str, Any]:
    return {
        "timestamp": f"2026-11-23T16:00:00.{int(milliseconds * 1000):06d}Z",
        "service": service,
        "event": event,
        "correlation_id": "c-1",
    } | fields


ORDER = [
    record(1, "service1", "task.published", task="tasks.process_order", task_id="a"),
    record(2, "worker", "task.started", task="tasks.process_order", task_id="a"),
    record(12, "worker", "task.published", task="tasks.send_notification", task_id="b"),
    record(13, "worker", "task.succeeded", task="tasks.process_order", task_id="a"),
    record(14, "service2", "task.started", task="tasks.send_notification", task_id="b"),
    record(15, "service2", "notification.delivered", notification_type="EMAIL"),
    record(16, "service2", "task.succeeded", task="tasks.send_notification", task_id="b"),
]


def journey(*records: dict[str, Any]) -> Journey:
    return read(records, "c-1", ZERO)


def test_spans_come_in_the_order_of_their_publication_whatever_the_order_of_the_lines() -> None:
    spans = journey(*reversed(ORDER)).spans
    assert ["tasks.process_order", "tasks.send_notification"] == [span.task for span in spans]
    assert ["worker", "service2"] == [span.service for span in spans]


def test_times_count_from_the_request() -> None:
    order = journey(*ORDER).spans[0]
    assert (0.001, 0.002, 0.013) == tuple(round(t or 0, 6) for t in (order.published, order.started, order.ended))


def test_a_journey_is_complete_when_all_that_was_published_has_ended() -> None:
    assert [False, False, False, False, False, False, False, True] == [
        journey(*ORDER[:n]).complete for n in range(len(ORDER) + 1)
    ]


def test_a_failed_task_ends_the_journey_and_shows() -> None:
    broken = journey(*ORDER[:2], record(13, "worker", "task.failed", task="tasks.process_order", task_id="a"))
    assert (True, True) == (broken.complete, broken.failed)


def test_other_events_of_the_request_are_notes() -> None:
    (note,) = journey(*ORDER).notes
    assert ("service2", "notification.delivered", {"notification_type": "EMAIL"}) == (
        note.service,
        note.event,
        note.fields,
    )


def test_records_of_other_requests_are_left_out() -> None:
    stranger = ORDER[0] | {"correlation_id": "c-2"}
    assert () == journey(stranger).spans
