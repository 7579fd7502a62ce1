from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import pytest

from devctl.logs.order import Order
from devctl.logs.parse import parse
from devctl.stack.port import LogLine
from devctl.ui.logs import JsonLines, Page

DAY = datetime(2026, 11, 23, 12, tzinfo=UTC)
UUID = "0190b3c2-1111-4222-8333-abcdefabcdef"


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")


def shown(*lines: str, stream: io.TextIOBase | None = None, services: tuple[str, ...] = ("redis", "worker")) -> str:
    order = Order()
    for number, text in enumerate(lines):
        order.add(LogLine("worker", "worker-1", text, DAY.timestamp() + number / 1000))
    stream = stream or io.StringIO()
    page = Page(services, stream, now=DAY)  # type: ignore[arg-type]
    for entry in order.release():
        page.write(entry)
    return stream.getvalue()  # type: ignore[attr-defined, no-any-return]


def event(name: str, **fields: object) -> str:
    return json.dumps({"event": name, "level": "info", "service": "worker", **fields})


def test_a_structured_line_reads_as_time_service_level_event_and_fields() -> None:
    line = event("task.succeeded", task_id=UUID, run_seconds=0.0119438171, task="tasks.process_order", note="two words")
    expected = (
        "12:00:00.000  worker  info  task.succeeded run_seconds=0.01194"
        f' task=tasks.process_order note="two words" task_id={UUID}\n'
    )
    assert expected == shown(line)


def test_any_other_line_passes_untouched() -> None:
    assert "12:00:00.000  worker  1:M 23 Nov 2026 12:00:00.000 * Ready  to   accept\n" == shown(
        "1:M 23 Nov 2026 12:00:00.000 * Ready  to   accept"
    )


def test_exceptions_are_indented_under_their_line() -> None:
    trace = 'Traceback (most recent call last):\n  File "a.py", line 1\nValueError: bad'
    expected = (
        "12:00:00.000  worker  info  task.failed\n"
        "                      | Traceback (most recent call last):\n"
        '                      |   File "a.py", line 1\n'
        "                      | ValueError: bad\n"
    )
    assert expected == shown(event("task.failed", exception=trace))
    assert expected.replace("info  task.failed", "ERROR task failed") == shown("ERROR task failed", *trace.splitlines())


def test_a_pipe_gets_no_escape_sequence_and_no_line_break() -> None:
    text = shown(event("task.started", **{f"field_{n}": "x" * 10 for n in range(20)}))
    assert "\x1b" not in text
    assert 1 == text.count("\n")


def test_a_terminal_gets_colours_short_ids_and_a_hanging_indent_within_its_width() -> None:
    text = shown(event("task.started", **{f"field_{n}": "x" * 10 for n in range(6)}, task_id=UUID), stream=Terminal())
    assert "\x1b[" in text
    assert "0190b3c2…" in text
    assert UUID not in text
    import re

    plain = re.sub(r"\x1b\[\d+m", "", text).splitlines()
    assert len(plain) > 1
    assert all(len(line) <= 80 for line in plain)
    assert {22} == {len(line) - len(line.lstrip()) for line in plain[1:]}


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_a_terminal_without_colours_gets_none(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert "\x1b" not in shown(event("x"), stream=Terminal())


def test_control_characters_hidden_in_json_do_not_reach_the_terminal() -> None:
    line = event("a\x1b[2Jb", key="c\x1b[Hd\x9b1me", **{"k\x1b[1m": "v"}, exception="x\x07y\n\x1b[2Jz")
    text = shown(line, stream=Terminal())
    import re

    assert set(re.sub(r"\x1b\[\d+m", "", text)) & set("\x1b\x07\x9b") == set()


def test_a_huge_line_is_cut_on_a_terminal_and_whole_in_a_pipe() -> None:
    huge = "x" * 1_000_000
    on_terminal = shown(huge, stream=Terminal())
    assert len(on_terminal) < 5_000
    assert "… (1,000,000 characters)" in on_terminal
    assert huge in shown(huge)


def test_an_ascii_stream_gets_plain_signs_instead_of_an_error() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    page = Page(("worker",), stream, now=DAY)
    page.write(parse(LogLine("worker", "worker-1", event("fällt", exception="a\nb"), DAY.timestamp())))
    page.flush()
    lines = raw.getvalue().decode("ascii").splitlines()
    assert "12:00:00.000  worker  info  f?llt" == lines[0]
    assert ["| a", "| b"] == [line.strip() for line in lines[1:]]


def test_another_day_is_said_once() -> None:
    stream = io.StringIO()
    page = Page(("worker",), stream, now=datetime(2026, 11, 24, 12, tzinfo=UTC))
    for _ in range(2):
        page.write(parse(LogLine("worker", "worker-1", "x", DAY.timestamp())))
    assert ["2026-11-23", "12:00:00.000  worker  x", "12:00:00.000  worker  x"] == stream.getvalue().splitlines()


def test_the_replica_is_named_once_there_are_several() -> None:
    stream = io.StringIO()
    page = Page(("worker",), stream, now=DAY)
    for replica in ("worker-1", "worker-2", "worker-1"):
        page.write(parse(LogLine("worker", replica, "x", DAY.timestamp())))
    assert ["worker", "worker-2", "worker-1"] == [line.split()[1] for line in stream.getvalue().splitlines()]


def test_json_has_one_document_a_line_with_the_text_as_written() -> None:
    stream = io.StringIO()
    page = JsonLines(stream)
    page.write(parse(LogLine("worker", "worker-1", event("x", n=1), DAY.timestamp())))
    page.write(parse(LogLine("worker", "worker-1", "pläin", None)))
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert {
        "schema": "devctl.logs/1",
        "time": "2026-11-23T12:00:00.000000Z",
        "service": "worker",
        "replica": "worker-1",
        "level": "info",
        "event": "x",
        "fields": {"n": 1},
        "text": event("x", n=1),
    } == first
    assert (None, None, None, "pläin") == (second["time"], second["level"], second["event"], second["text"])


def test_half_a_surrogate_pair_from_a_service_is_still_json() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="utf-8")
    page = JsonLines(stream)
    page.write(parse(LogLine("worker", "worker-1", '{"event": "x", "key": "\\ud800"}', None)))
    page.flush()
    assert "\ud800" == json.loads(raw.getvalue())["fields"]["key"]
