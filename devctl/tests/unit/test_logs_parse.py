from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from devctl.logs.entry import level_named
from devctl.logs.parse import clean, parse
from devctl.stack.port import LogLine


def line(text: str, time: float | None = None) -> LogLine:
    return LogLine("worker", "worker-1", text, time)


def unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_a_json_line_gives_time_level_event_and_the_rest_as_fields() -> None:
    entry = parse(
        line(
            '{"timestamp": "2026-11-23T10:15:02.123456Z", "level": "warning", "service": "worker",'
            ' "event": "task.retrying", "task_id": "a1", "retries": 2}',
            time=1.0,
        )
    )
    assert unix("2026-11-23T10:15:02.123456+00:00") == entry.time
    assert ("warning", "task.retrying") == (entry.level, entry.event)
    assert {"task_id": "a1", "retries": 2} == entry.fields


def test_a_json_line_that_says_another_service_keeps_that_field() -> None:
    entry = parse(line('{"event": "x", "service": "other"}'))
    assert {"service": "other"} == entry.fields


@pytest.mark.parametrize(
    "text",
    ["{not json", '{"no": "event"}', '["event"]', '{"event": 3}', "", "hello", "{" * 100_000, '{"event": ' * 5_000],
)
def test_what_is_no_structured_line_passes_as_it_is(text: str) -> None:
    entry = parse(line(text, time=7.0))
    assert not entry.structured
    assert (text,) == entry.lines
    assert 7.0 == entry.time


def test_a_broken_time_in_json_stays_a_field_and_the_runtimes_time_counts() -> None:
    entry = parse(line('{"event": "x", "timestamp": "soon"}', time=7.0))
    assert 7.0 == entry.time
    assert {"timestamp": "soon"} == entry.fields


def test_times_in_milliseconds_and_levels_in_numbers_are_understood() -> None:
    entry = parse(line('{"msg": "x", "time": 1700000000123, "level": 40}'))
    assert (1700000000.123, "error") == (entry.time, entry.level)


def test_redis_lines_have_their_time_and_level() -> None:
    entry = parse(line("1:M 23 Nov 2026 10:15:02.123 # WARNING Memory overcommit must be enabled!"))
    expected = datetime(2026, 11, 23, 10, 15, 2, 123000).astimezone().timestamp()
    assert (expected, "warning") == (entry.time, entry.level)


def test_celery_lines_have_their_time_and_level() -> None:
    entry = parse(line("[2026-11-23 10:15:02,123: ERROR/MainProcess] consumer: Cannot connect"))
    assert "error" == entry.level
    assert entry.time is not None


def test_uvicorn_lines_have_their_level() -> None:
    assert "info" == parse(line("INFO:     Started server process [1]")).level


def test_a_level_in_the_middle_of_prose_is_no_level() -> None:
    assert "" == parse(line("there was no ERROR today")).level


def test_the_runtimes_time_wins_over_a_plain_lines_own() -> None:
    assert 7.0 == parse(line("1:M 23 Nov 2026 10:15:02.123 * Ready", time=7.0)).time


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\x08\x00b\x9bc\x7f", "abc"),
        ("\x1b[2J\x1b[Hgone", "gone"),
        ("\x1bcreset", "creset"),
        ("tab\tstays", "tab\tstays"),
        ("over\rwritten", "overwritten"),
        ("\u202eevil", "evil"),
        ("half \ud800 pair", "half \ufffd pair"),
        ("naïve 工作 ✔", "naïve 工作 ✔"),
    ],
)
def test_nothing_in_a_line_can_steer_the_terminal(written: str, shown: str) -> None:
    assert shown == clean(written)
    assert (shown,) == parse(line(written)).lines


def test_ansi_around_json_does_not_hide_it() -> None:
    assert "x" == parse(line("\x1b[0m" + json.dumps({"event": "x"}))).event


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("WARN", "warning"),
        ("Fatal", "critical"),
        (30, "warning"),
        (5, "debug"),
        (99, "critical"),
        ("loud", ""),
        (True, ""),
    ],
)
def test_levels_by_their_usual_names(name: object, level: str) -> None:
    assert level == level_named(name)


def test_a_naive_time_in_json_is_utc() -> None:
    entry = parse(line('{"event": "x", "timestamp": "2026-11-23T10:00:00"}'))
    assert datetime(2026, 11, 23, 10, tzinfo=UTC).timestamp() == entry.time
