"""What a person sees of a chaos run."""

from __future__ import annotations

import dataclasses
import io
from types import SimpleNamespace

import pytest

from devctl.chaos import events
from devctl.chaos.curve import Curve
from devctl.chaos.observation import Soak
from devctl.chaos.report import Report
from devctl.chaos.screen import WIDE, Progress, lines, show, sparkline
from devctl.chaos.verdict import Row
from devctl.ui.paint import Paint

HELD = Row(
    1, "worker-kill", "SIGKILL worker ×50", "held", fired=50, accepted=130_001, done=130_000, recovery_seconds=4.2
)
DEAD = Row(
    13, "bad-messages", "bad messages, fuzz ×10,000", "held", fired=62_400, accepted=112_000, done=99_999, dead=12_001
)
BROKEN = Row(
    8,
    "lost-packets",
    "requests, replies lost 1%",
    "broken",
    why="3 lost; 6 doubled",
    reasons=("3 lost", "6 doubled", "unexpected HTTP answers: " + "1 × 500, " * 12),
    fired=47,
    accepted=752,
    done=749,
    lost=3,
    doubled=6,
    recovery_seconds=123.0,
    answers={"202": 90, "503": 12, "no answer": 3},
    slowest_answer_seconds=1.44,
)
NOT_RUN = Row(16, "disk-full", "disk full", "not run", why="needs root, to mount a small disk")
REPORT = Report("local", False, "full", (HELD, BROKEN, DEAD, NOT_RUN), ("a power cut: " + "word " * 30,), 201.0)


def text(report: Report = REPORT, columns: int = 80, others: dict[str, int] | None = None) -> list[str]:
    return list(lines(report, others or {}, Paint(io.StringIO()), columns))


FLAT, GROWS = (58_000_000,) * 60, tuple(20_000_000 + 500_000 * n for n in range(60))
SOAK = Soak(
    320,
    8,
    3_001_234,
    1_912.4,
    2.31,
    (Curve("all workers", 1.0, FLAT, 0), Curve("worker-2, spared", 1.0, FLAT[:9], 5), Curve("Redis", 1.0, GROWS, 10)),
)
SOAKED = Row(
    22,
    "soak",
    "kill -9 for a long time",
    "broken",
    why="not so: the memory of Redis is flat",
    reasons=("not so: the memory of Redis is flat",),
    fired=328,
    accepted=3_008_000,
    done=3_008_000,
    repeated=1_234,
    refused_publishes=17,
    seconds=1_632.0,
    soak=SOAK,
)
SOAK_REPORT = Report("local", False, "full", (SOAKED,), (), 1_650.0)


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("report", [REPORT, SOAK_REPORT])
def test_it_fits_the_terminal(report: Report, columns: int) -> None:
    found = text(report, columns=columns, others={"held": 7, "broken": 12})
    assert [] == [line for line in found if len(line) > columns]


def test_millions_stand_under_their_headings_too() -> None:
    head, row = text(SOAK_REPORT)[:2]

    assert "✘ kill -9 for a long" in row
    for title, value in {"fired": "328", "accepted": "3,008,000", "doubled": "0"}.items():
        end = head.index(title) + len(title)
        assert row[:end].endswith(value)


@pytest.mark.parametrize("columns", [80, 120])
def test_a_soak_says_how_often_how_fast_and_draws_memory(columns: int) -> None:
    shown = text(SOAK_REPORT, columns)

    assert "320 kills of a worker, 8 of Redis in 27m12s · 1,912 tasks/s" in shown
    assert "3,001,234 runs of a body, 1,234 tasks ran more than once · longest pause 2.3s" in shown
    workers, spared, redis = (next(one for one in shown if name in one) for name in ("all w", "2, spared", " Redis  "))
    assert workers.startswith("✔ all workers          58.0  58.0  58.0     58.0  58.0  58.0 ████")
    assert spared.startswith("– worker-2, spared                    -")
    assert redis.startswith("✘ Redis                25.0  26.0  27.0     47.5  48.5  49.5 ▄")
    assert columns >= len(redis.rstrip()) > columns - 30
    assert "  too short to tell whether memory is flat" in shown


def test_a_curve_is_as_high_as_its_value_is_against_the_highest() -> None:
    assert "▁▂▄▅▇█" == sparkline([0, 10, 30, 40, 60, 80])
    assert "▁▁" == sparkline([0, 0])
    assert "" == sparkline([])


def test_figures_stand_under_their_headings() -> None:
    head, row = text()[:2]

    assert head.startswith("  fault")
    for title, value in {"accepted": "130,001", "fired": "50", "back in": "4.2s"}.items():
        assert head.index(title) + len(title) == row.rindex(value) + len(value)


def test_a_row_says_what_held_what_broke_and_what_was_not_run() -> None:
    shown = "\n".join(text())

    assert "✔ SIGKILL worker ×50" in shown
    assert "✘ requests, replies lost 1%" in shown
    assert "    3 lost\n    6 doubled" in shown
    assert "– disk full                  needs root, to mount a small disk" in shown
    assert "2 held · 1 broken · 1 not run · 3m21s" in shown


def test_what_users_saw_is_beside_the_row_where_there_is_room_and_below_where_not() -> None:
    assert "what users of the API saw" in text()
    assert "  requests, replies lost 1%  503 ×12, no answer ×3, slowest 1.4s" in text()
    wide = text(columns=WIDE)
    assert "what users of the API saw" not in wide
    assert wide[2].endswith("503 ×12, no answer ×3, slowest 1.4s")


def test_how_the_others_fared_is_said_where_it_is_known() -> None:
    assert "stock Celery on the same rows: 7 held · 12 broken" in "\n".join(text(others={"held": 7, "broken": 12}))
    assert "stock Celery on" not in "\n".join(text())
    stock = Report("local", True, "full", (HELD,), (), 1.0)
    shown = "\n".join(text(stock, others={"held": 1}))
    assert "stock Celery: 1 held · 0 broken · 0 not run" in shown
    assert "ours on the same rows: 1 held · 0 broken" in shown


def test_the_next_step_is_the_broken_row_else_more_of_it() -> None:
    assert "→ devctl chaos lost-packets   that row alone" == text()[-1]
    held = Report("local", False, "quick", (HELD,), (), 1.0)
    assert "→ devctl chaos all   every row, with longer faults" == text(held)[-1]
    interrupted = dataclasses.replace(SOAKED, verdict="not run", interrupted=True)
    assert "→" not in text(Report("local", False, "full", (interrupted,), (), 1.0))[-1]


def test_a_stream_that_knows_ascii_alone_gets_ascii() -> None:
    class Ascii(io.StringIO):
        encoding = "ascii"

    out = Ascii()
    show(REPORT, {}, out)
    show(SOAK_REPORT, {}, out)

    assert out.getvalue().isascii()
    assert "26.0  27.0     47.5  48.5  49.5 -" in out.getvalue()
    assert "ok SIGKILL worker x50" in out.getvalue()


def test_in_a_pipe_each_row_is_a_line() -> None:
    out = io.StringIO()
    with Progress(out) as emit:
        emit(events.Playing(1, 2, HELD.title))
        emit(events.Doing("SIGKILL 1 of 50"))
        emit(events.Tick(10, 5))
        emit(events.RowDone(HELD))
        emit(events.Playing(2, 2, BROKEN.title))
        emit(events.RowDone(BROKEN))

    first, second = out.getvalue().splitlines()
    assert "1/2  SIGKILL worker" in first
    assert "lost 1%  0.0s  3 lost; 6 doubled" in second


def test_in_a_pipe_a_soak_says_once_a_minute_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("devctl.chaos.screen.time", SimpleNamespace(monotonic=lambda: now))
    out = io.StringIO()
    with Progress(out) as emit:
        emit(events.Playing(1, 1, SOAKED.title))
        for kills in range(100):
            now += 2.0
            emit(events.Soaking(kills, 320, 9_400 * kills, 3_008_000, 1_912.4, 1_580.0))
        emit(events.RowDone(SOAKED))

    first, _, _, last = out.getvalue().splitlines()
    assert ".. 29 of 320 kills  272,600 of 3,008,000 done  1,912/s  26m20s left" == first
    assert last.startswith("FAIL 1/1  kill -9 for a long time  27m12s")


@pytest.mark.parametrize("columns", [80, 120])
def test_on_a_terminal_a_soak_is_one_line(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    with Progress(out) as emit:
        emit(events.Playing(1, 1, SOAKED.title))
        emit(events.Soaking(120, 320, 1_203_000, 3_008_000, 1_912.4, 1_000.0))
        emit(events.Doing("draining"))

    drawn = out.getvalue().split("\r\x1b[K")
    assert "120 of 320 kills  1,203,000 of 3,008,000 done  1,912/s  16m40s left" == drawn[2]
    assert "1/1  kill -9 for a long time  draining" == drawn[3]


def test_on_a_terminal_one_line_is_drawn_again_and_is_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    with Progress(out) as emit:
        emit(events.Playing(1, 2, HELD.title))
        emit(events.Doing("SIGKILL 1 of 50"))
        emit(events.Tick(1_000, 512))

    drawn = out.getvalue().split("\r\x1b[K")
    assert "1/2  SIGKILL worker ×50  SIGKILL 1 of 50  1,000 accepted, 512 done"[:59] == drawn[-2]
    assert "" == drawn[-1]
    assert "\n" not in out.getvalue()
