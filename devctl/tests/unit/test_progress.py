"""What a start looks like: in a pipe, on a terminal of 80 columns, without colour, without UTF-8."""

from __future__ import annotations

import io
import os
import re
import sys
from pathlib import Path

import pexpect
import pyte
import pytest

from devctl.stack.fake import Behaviour, FakeRuntime
from devctl.stack.model import Build, HealthCheck, Service, Stack
from devctl.stack.start import start
from devctl.ui.progress import Progress
from devctl.ui.services import show_start, show_table
from devctl.ui.units import age, duration, size

CHECK = HealthCheck(("CMD", "true"))
STACK = Stack(
    "shop",
    {
        "redis": Service("redis", healthcheck=CHECK),
        "service1": Service(
            "service1", build=Build(Path()), healthcheck=CHECK, depends_on={"redis": "service_healthy"}
        ),
    },
    "redis",
    (),
    {},
    "",
)
SLOW = "GET /ready: 503 " + "the broker refused " * 8
STORY = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_progress import *
from devctl.clock import SystemClock
import devctl.stack.start

devctl.stack.start._USUAL_START_SECONDS = 0.0  # to see at once what a health check says
runtime = FakeRuntime(STACK, {{"service1": Behaviour(1.5, health_output=SLOW, image_missing=True)}}, SystemClock())
with Progress(["redis", "service1"]) as emit:
    report = start(runtime, [], emit=emit)
show_start(report, {{"service1": ["http://127.0.0.1:8001/docs"]}})
sys.stdout.write("the end\\n")
"""


def pipe(runtime: FakeRuntime, encoding: str = "utf-8") -> list[str]:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    with Progress(["redis", "service1"], clock=runtime.clock, stream=stream) as emit:
        report = start(runtime, [], emit=emit, clock=runtime.clock)
    show_start(report, {}, stream)
    stream.flush()
    return raw.getvalue().decode(encoding).splitlines()


def test_a_pipe_gets_the_build_in_two_lines_and_each_service_once() -> None:
    runtime = FakeRuntime(STACK, {"service1": Behaviour(image_missing=True, health_output="503")})

    lines = [re.sub(r" \d\.\ds", " 0.0s", line) for line in pipe(runtime)]

    assert [
        "● building service1",
        "✔ built    service1 in 0.0s",
        "✔ redis      0.0s  ready",
        "✔ service1   0.0s  ready",
        "  waited for redis 0.0s, then its own start 0.0s",
    ] == lines


def test_a_stream_without_these_characters_gets_words() -> None:
    lines = pipe(FakeRuntime(STACK), encoding="ascii")

    assert any(line.startswith("ok service1") for line in lines)


class Terminal:
    """A terminal of 80 columns that remembers all it was sent."""

    def __init__(self, **environment: str) -> None:
        clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "LINES")}
        env = {**clean, "TERM": "xterm-256color", **environment}
        self.screen = pyte.Screen(80, 24)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.child = pexpect.spawn(sys.executable, ["-c", STORY], env=env, dimensions=(24, 80), timeout=20)

    def until(self, pattern: str) -> list[str]:
        self.child.expect(pattern)
        sent = self.child.before + (self.child.after if isinstance(self.child.after, bytes) else b"")
        self.raw += sent
        self.stream.feed(sent)
        return self.lines

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display if line.strip()]


def test_a_terminal_is_redrawn_in_place_and_keeps_only_the_result() -> None:
    terminal = Terminal()

    during = terminal.until(r"broker refused[^\r\n]*\.\.")
    after = terminal.until("the end")
    terminal.child.close()

    working = next(line for line in during if line.startswith("● service1"))
    assert len(working) < 80, "cut, not wrapped"
    assert working.endswith("..")
    assert [re.sub(r" \d\.\ds", " 0.0s", line) for line in after] == [
        "✔ redis      0.0s  ready",
        "✔ service1   0.0s  ready  http://127.0.0.1:8001/docs",
        "  waited for redis 0.0s, then its own start 0.0s",
        "the end",
    ]
    assert b"\x1b[32m" in terminal.raw


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colour_can_be_refused(environment: dict[str, str]) -> None:
    terminal = Terminal(**environment)

    terminal.until("the end")
    terminal.child.close()

    assert not re.search(rb"\x1b\[[\d;]*m", terminal.raw.replace(b"\x1b[0m", b"").replace(b"\x1b[m", b""))


def test_a_terminal_without_utf8_gets_words() -> None:
    terminal = Terminal(PYTHONIOENCODING="ascii")

    after = terminal.until("the end")
    terminal.child.close()

    assert after[0].startswith("ok redis")
    assert terminal.raw.isascii()


def test_an_empty_table_has_its_heads() -> None:
    stream = io.StringIO()

    show_table([], stream)

    assert "SERVICE  STATE  HEALTH  UP  CPU  MEM  PORTS\n" == stream.getvalue()


def test_times_and_sizes_have_three_digits_at_most() -> None:
    assert ["0.0s", "0.8s", "59.9s", "1m00s", "2m03s"] == [duration(s) for s in (0, 0.84, 59.94, 59.96, 123)]
    assert ["0s", "59s", "1m", "12m", "3h", "5d"] == [age(s) for s in (0, 59.9, 60, 720, 3 * 3600 + 5, 5 * 86400)]
    assert ["0 B", "999 B", "1 kB", "168 MB", "1.2 GB", "24 GB"] == [
        size(n) for n in (0, 999, 1000, 168_000_000, 1_234_000_000, 24_000_000_000)
    ]
