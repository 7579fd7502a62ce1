"""What a person sees of a chaos run."""

from __future__ import annotations

import io

import pytest

from devctl.chaos import events
from devctl.chaos.report import Report
from devctl.chaos.verdict import Row
from devctl.ui.chaos import WIDE, Progress, lines, show
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
    reasons=("3 lost", "6 doubled", "HTTP answers that should not be: " + "1 × 500, " * 12),
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


@pytest.mark.parametrize("columns", [80, 120])
def test_it_fits_the_terminal(columns: int) -> None:
    assert [] == [line for line in text(columns=columns, others={"held": 7, "broken": 12}) if len(line) > columns]


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


def test_a_stream_that_knows_ascii_alone_gets_ascii() -> None:
    class Ascii(io.StringIO):
        encoding = "ascii"

    out = Ascii()
    show(REPORT, {}, out)

    assert out.getvalue().isascii()
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
