from __future__ import annotations

import json

import pytest

from devctl.errors import UsageError
from devctl.logs.order import Order
from devctl.logs.selection import Selection, wanted
from devctl.stack.port import LogLine

ORDER = "0190b3c2-1111-4222-8333-abcdefabcdef"
CHILD = "7f1e0000-1111-5222-8333-abcdefabcdef"
REQUEST = "req-7"


def chosen(lines: list[str], **options: str | None) -> list[str]:
    asked = wanted(**{"since": None, "level": None, "grep": None, "identity": None, **options})  # type: ignore[arg-type]
    order, selection = Order(), Selection(asked)
    for number, text in enumerate(lines):
        selection.learn(order.add(LogLine("s", "s-1", text, number / 100)))
    return ["\n".join(entry.lines) for entry in order.release() if selection.wants(entry)]


def event(name: str, **fields: object) -> str:
    return json.dumps({"event": name, "level": "info", **fields})


def test_an_order_id_leads_through_all_services_by_its_correlation_id() -> None:
    story = [
        event("http.request", correlation_id=REQUEST),
        event("task.published", task_id=ORDER, correlation_id=REQUEST),
        event("task.started", task_id=ORDER, correlation_id=REQUEST),
        event("task.published", task_id=CHILD, correlation_id=REQUEST),
        event("notification.delivered", notification_id=CHILD, correlation_id=REQUEST),
    ]
    other = [event("task.started", task_id="someone-elses", correlation_id="req-8"), "a plain line"]
    assert story == chosen([*other, *story], identity=ORDER)
    assert story == chosen([*story, *other], identity=REQUEST)
    assert story == chosen([*story, *other], identity=CHILD)


def test_a_trace_leads_through_all_services_by_its_id_or_its_traceparent() -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    story = [
        event("http.request", correlation_id=REQUEST, trace_id=trace),
        event("task.started", task_id=ORDER, correlation_id=REQUEST, trace_id=trace),
        event("said by somebody else", trace_id=trace),
    ]
    for identity in (trace, trace[:8], f"00-{trace}-b7ad6b7169203331-01", ORDER):
        assert story == chosen([*story, event("x", trace_id="1" * 32)], identity=identity)


def test_the_beginning_of_an_id_is_enough_and_too_little_is_not() -> None:
    line = event("x", task_id=ORDER)
    assert [line] == chosen([line], identity="0190b3c2")
    assert [line] == chosen([line], identity="0190b3c2…")
    assert [line] == chosen([line], identity=ORDER.upper())
    assert [] == chosen([line], identity="0190")


def test_an_id_in_a_plain_line_is_found() -> None:
    line = f"Task tasks.process_order[{ORDER}] succeeded"
    assert [line] == chosen([line, "other"], identity=ORDER)


def test_fields_that_are_no_text_do_not_disturb_the_search_for_an_id() -> None:
    lines = [event("x", correlation_id=["a"], task_id=None, items=[{"a": 1}], n=3)]
    assert [] == chosen(lines, identity=ORDER)


def test_a_level_means_this_and_worse_and_a_line_that_does_not_say_is_info() -> None:
    lines = [json.dumps({"event": level, "level": level}) for level in ("debug", "info", "warning", "error")]
    assert lines[2:] == chosen([*lines, "plain"], level="WARN")
    assert [*lines[1:], "plain"] == chosen([*lines, "plain"], level="info")


def test_a_traceback_is_found_by_any_of_its_lines_and_shown_whole() -> None:
    crash = ["Traceback (most recent call last):", '  File "a.py", line 1', "ValueError: bad"]
    assert ["\n".join(crash)] == chosen(["before", *crash], grep="ValueError")
    assert ["\n".join(crash)] == chosen(["before", *crash], level="error")


def test_a_pattern_is_searched_in_the_line_as_shown_and_as_written() -> None:
    line = event("task.started", task="tasks.process_order")
    assert [line] == chosen([line, "other"], grep=r"task\.started .*task=tasks")
    assert [line] == chosen([line, "other"], grep='"task": "tasks')


def test_since_a_duration_or_a_time() -> None:
    assert 940.0 == wanted(since="1m", level=None, grep=None, identity=None, now=1000).since
    assert 1000 - 93784.5 == wanted(since="1d2h3m4.5s", level=None, grep=None, identity=None, now=1000).since
    assert 0.0 == wanted(since="1970-01-01T00:00:00Z", level=None, grep=None, identity=None).since
    assert 3600.0 == wanted(since="1970-01-01T00:00:00-01:00", level=None, grep=None, identity=None).since


def test_lines_before_since_are_left_out() -> None:
    assert ["b", "c"] == chosen(["a", "b", "c"], since="1970-01-01T00:00:00.01Z")


def test_empty_lines_are_left_out() -> None:
    assert ["a", "b"] == chosen(["a", "", '{"event": "x"}', "  ", "b"], grep="^[ab ]*$")


@pytest.mark.parametrize("options", [{"since": "yesterday"}, {"since": "5"}, {"level": "loud"}, {"grep": "("}])
def test_a_wrong_option_is_a_usage_error_with_a_hint(options: dict[str, str]) -> None:
    with pytest.raises(UsageError) as wrong:
        chosen([], **options)
    assert next(iter(options.values())) in wrong.value.problem
    assert wrong.value.hint
