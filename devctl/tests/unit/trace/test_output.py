"""What each attempt of a task has logged."""

from __future__ import annotations

from devctl.logs.entry import Entry
from devctl.trace.model import Attempt, Span, Trace
from devctl.trace.output import with_output

TASK, OTHER = "0190b3c2-0000-4000-8000-000000000001", "0190b3c2-0000-4000-8000-000000000002"
TRACE = Trace(
    TASK,
    "",
    (
        Span(
            "task",
            "resize",
            task_id=TASK,
            attempts=(Attempt("retried", began=10.0, ended=10.5), Attempt("dead", claimed=20.0)),
        ),
    ),
    now=30.0,
)


def said(event: str, time: float | None, *lines: str, task_id: str = TASK, **fields: object) -> Entry:
    known = {"task_id": task_id, "task": "resize", "correlation_id": "c"} if event else {}
    return Entry("images", "images-1", lines or (event,), time, str(fields.pop("level", "info")), event, known | fields)


def output(*entries: Entry) -> dict[tuple[str, int], tuple[str, ...]]:
    return dict(with_output(TRACE, entries).output)


def test_a_line_belongs_to_the_attempt_that_had_begun_last() -> None:
    lines = [said("first", 9.998), said("between", 15.0), said("second", 20.0)]
    assert {(TASK, 0): ("first", "between"), (TASK, 1): ("second",)} == output(*lines)


def test_what_was_logged_before_it_began_and_what_another_task_says_belongs_to_none() -> None:
    entries = (
        said("early", 9.9),
        said("other", 12.0, task_id=OTHER),
        said("task.published", 12.0),
        said("when?", None),
    )
    assert {} == output(*entries)


def test_a_line_shows_its_level_its_fields_and_its_traceback_but_no_ids() -> None:
    entry = said("resize.failed", 11.0, level="error", width=3, exception="Traceback\n  ValueError")
    assert ("error resize.failed width=3", "Traceback", "  ValueError") == output(entry)[TASK, 0]


def test_a_line_of_text_belongs_to_the_task_whose_id_stands_in_it_with_its_traceback() -> None:
    entry = said("", 11.0, f"[ERROR] Task resize[{TASK}] raised", "Traceback", task_id="")
    late = Entry("images", "images-1", ("ValueError",), 11.0, continues=entry)
    assert (f"[ERROR] Task resize[{TASK}] raised", "Traceback", "ValueError") == output(entry, late)[TASK, 0]
