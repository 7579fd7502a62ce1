from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from devctl.errors import DevctlError
from devctl.logs import own
from devctl.logs import read as reading
from devctl.logs.entry import Entry
from devctl.logs.read import follow, read
from devctl.logs.selection import Wanted, wanted
from devctl.settings import Settings
from devctl.stack.port import LogLine


class Page:
    def __init__(self) -> None:
        self.texts: list[str] = []

    def write(self, entry: Entry) -> None:
        self.texts.append("\n".join(entry.lines))

    def flush(self) -> None:
        self.flushed = len(self.texts)


class LoggingRuntime:
    """Says the given lines; a threading.Event between them is waited for, as a service that says nothing yet."""

    def __init__(self, *script: LogLine | threading.Event | Exception) -> None:
        self.script = script
        self.asked: dict[str, Any] = {}
        self.left = self.ended = False

    @contextmanager
    def logs(self, services: Sequence[str], **options: Any) -> Iterator[Iterator[LogLine]]:
        self.asked = {"services": list(services), **options}
        try:
            yield self._lines()
        finally:
            self.left = True

    def _lines(self) -> Iterator[LogLine]:
        for step in self.script:
            if isinstance(step, threading.Event):
                step.wait(5)
            elif isinstance(step, Exception):
                raise step
            else:
                yield step
        self.ended = True


def at(time: float, text: str, replica: str = "a-1") -> LogLine:
    return LogLine(replica[0], replica, text, time)


def test_what_was_logged_comes_by_time_and_is_counted() -> None:
    runtime, page = LoggingRuntime(at(2, "two"), at(1, "one", "b-1")), Page()
    assert 2 == read(runtime, ["a", "b"], Wanted(), page)  # type: ignore[arg-type]
    assert ["one", "two"] == page.texts
    assert runtime.left


def test_the_tail_counts_what_is_shown_of_all_services() -> None:
    page = Page()
    lines = [at(n, f"{'ERROR' if n % 2 else 'INFO'} {n}", f"{'ab'[n % 3 % 2]}-1") for n in range(10)]
    asked = wanted(since=None, level="error", grep=None, identity=None)
    runtime = LoggingRuntime(*lines)
    assert 2 == read(runtime, ["a", "b"], asked, page, tail=2)  # type: ignore[arg-type]
    assert ["ERROR 7", "ERROR 9"] == page.texts
    assert None is runtime.asked["tail"], "the runtime would count lines that are not shown"


def test_a_long_history_goes_through_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_AT_ONCE", 10)
    page, far_ahead = Page(), 0

    def lines() -> Iterator[LogLine]:
        nonlocal far_ahead
        for number in range(1_000):
            far_ahead = max(far_ahead, number - len(page.texts))
            yield at(number ^ 1, f"INFO {number ^ 1}")  # each pair the wrong way round

    runtime = LoggingRuntime()
    monkeypatch.setattr(runtime, "_lines", lines)
    assert 1_000 == read(runtime, ["a"], Wanted(), page)  # type: ignore[arg-type]  # it has what read asks for
    assert [f"INFO {number}" for number in range(1_000)] == page.texts
    assert far_ahead <= 20


def test_an_id_leads_to_lines_far_before_the_one_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_AT_ONCE", 10)
    page = Page()
    request = '{"event": "http.request", "correlation_id": "c-1"}'
    started = '{"event": "task.started", "correlation_id": "c-1", "task_id": "wanted-1"}'
    lines = [at(1, request), *(at(2 + n, f"INFO {n}") for n in range(100)), at(200, started, "b-1")]
    asked = wanted(since=None, level=None, grep=None, identity="wanted-1")
    assert 2 == read(LoggingRuntime(*lines), ["a", "b"], asked, page)  # type: ignore[arg-type]  # the same
    assert [request, started] == page.texts


def test_following_shows_what_devctl_does_meanwhile(tmp_path: Path) -> None:
    settings = Settings(tmp_path, tmp_path / "docker-compose.yml", "auto", "", {})
    silence, page = threading.Event(), Page()
    own.note(settings, "before", [{}])

    def still_wanted() -> bool:
        if len(page.texts) == 1:
            own.note(settings, "meanwhile", [{}])
        return len(page.texts) < 2

    runtime = LoggingRuntime(silence)
    follow(runtime, ["a"], Wanted(), page, still_wanted=still_wanted, beside=own.source(settings))  # type: ignore[arg-type]  # it has what follow asks for
    assert ["before", "meanwhile"] == [json.loads(text)["event"] for text in page.texts[:2]]
    silence.set()


def test_without_a_filter_the_runtime_is_asked_for_the_tail_only() -> None:
    runtime = LoggingRuntime(at(1, "one"))
    read(runtime, ["a"], Wanted(since=0.5), Page(), tail=3)  # type: ignore[arg-type]
    assert {"services": ["a"], "since": 0.5, "tail": 3} == runtime.asked


def test_following_shows_the_past_by_time_then_each_line_as_it_comes() -> None:
    later = threading.Event()
    page, now = Page(), [at(3, "three"), at(1, "one", "b-1"), at(2, "two")]
    runtime = LoggingRuntime(*now, later, at(5, "five"), at(4, "four", "b-1"))

    def still_wanted() -> bool:
        if len(page.texts) == 3:
            later.set()
        return True

    follow(runtime, ["a", "b"], Wanted(), page, still_wanted=still_wanted)  # type: ignore[arg-type]
    assert ["one", "two", "three", "four", "five"] == page.texts
    assert 5 == page.flushed
    assert {"services": ["a", "b"], "follow": True, "since": None, "tail": None} == runtime.asked


def test_following_a_tail_of_none_shows_only_what_is_new() -> None:
    later = threading.Event()
    page = Page()
    ticks = iter(range(1_000))

    def still_wanted() -> bool:
        if next(ticks) == 2:
            later.set()
        return True

    runtime = LoggingRuntime(at(1, "past"), later, at(2, "new"))
    follow(runtime, ["a"], Wanted(), page, tail=0, still_wanted=still_wanted)  # type: ignore[arg-type]
    assert ["new"] == page.texts


def test_following_ends_when_nobody_wants_it_any_more_although_the_services_are_silent() -> None:
    silence = threading.Event()
    page = Page()
    runtime = LoggingRuntime(at(1, "one"), silence)
    follow(runtime, ["a"], Wanted(), page, still_wanted=lambda: not page.texts)  # type: ignore[arg-type]
    assert ["one"] == page.texts
    assert (True, False) == (runtime.left, runtime.ended)
    silence.set()


def test_a_runtime_that_fails_while_it_is_followed_is_told() -> None:
    with pytest.raises(DevctlError, match="engine is gone"):
        follow(LoggingRuntime(at(1, "one"), DevctlError("the engine is gone")), ["a"], Wanted(), Page())  # type: ignore[arg-type]


def test_a_traceback_in_the_tail_of_services_that_ended_is_whole() -> None:
    page = Page()
    crash = ["Traceback (most recent call last):", "  File 'x'", "ValueError: bad"]
    follow(LoggingRuntime(at(1, "start"), *(at(1.001, text) for text in crash)), ["a"], Wanted(), page, tail=1)  # type: ignore[arg-type]
    assert ["\n".join(crash)] == page.texts
