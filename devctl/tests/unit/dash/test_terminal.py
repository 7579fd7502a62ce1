"""The dashboard on a real terminal: what is on it at two sizes, and that it leaves it as it was."""

from __future__ import annotations

import sys
import termios
import time
from collections.abc import Callable, Iterator

import pexpect
import pyte
import pytest

PROGRAM = """
import sys
from devctl.broker.port import Running
from devctl.dash.actions import Actions
from devctl.dash.collect import Collector
from devctl.dash.fake import QUEUE, TASK, FakeStack
from devctl.ui.dashboard import run
from celeriac.life.record import Kind, Record

class Views:
    def trace(self, task_id):
        return [f"the way of {task_id}"]
    def logs(self, services, task_id):
        return ["a line"]

shop = FakeStack()
shop.send(1, 2, 3)
for n in range(40):
    shop.broker.life.records.append(Record(shop.clock.now(), Kind.PUBLISHED, f"id-{n}", task=TASK, queue=QUEUE))
started = {"task_id": "0190b3c2-aaaa", "task": TASK, "who": "worker@one"}
shop.broker.life.records.append(Record(shop.clock.now() - 3, Kind.STARTED, since=shop.clock.now() - 12.4, **started))
said = {"progress": 0.4, "note": "resized 4 of 10"}
shop.broker.life.records.append(Record(shop.clock.now(), Kind.PROGRESS, **said, **started))
shop.broker.workers[0].running = [Running(TASK, "0190b3c2-aaaa", shop.clock.now() - 12.4)]
shop.bury("0190b3c2-bbbb", error="ValueError: no such image \\x1b[31m and then some more of what it says")
shop.clock.sleep(2.0)
collector = Collector(shop.sources)
print("before")
run(collector, Actions(shop.sources), Views())
print("after")
"""


class Terminal:
    def __init__(self, columns: int, lines: int, environment: dict[str, str]) -> None:
        self.child = pexpect.spawn(
            sys.executable,
            ["-c", PROGRAM],
            dimensions=(lines, columns),
            env={"PATH": "/usr/bin:/bin", "TERM": "xterm-256color", "TZ": "UTC", "LANG": "C.UTF-8", **environment},
            timeout=20,
        )
        self.screen = pyte.Screen(columns, lines)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""

    def until(self, seen: Callable[[list[str]], bool]) -> list[str]:
        patience = time.monotonic() + 20
        while not seen(self.lines):
            assert time.monotonic() < patience, "\n".join(self.lines)
            try:
                data = self.child.read_nonblocking(65_536, timeout=0.1)
            except pexpect.TIMEOUT:
                continue
            self.raw += data
            self.stream.feed(data)
        return self.lines

    @property
    def lines(self) -> list[str]:
        return [one.rstrip() for one in self.screen.display]


@pytest.fixture
def terminal(request: pytest.FixtureRequest) -> Iterator[Terminal]:
    columns, lines, environment = getattr(request, "param", (80, 24, {}))
    found = Terminal(columns, lines, environment)
    yield found
    found.child.close(force=True)


def shown(lines: list[str]) -> bool:
    """All of a frame: what the workers say, and the last line."""
    return any("0190b3c2" in one for one in lines) and lines[-1].endswith("q: end")


SMALL = """\
shop  fake  redis://127.0.0.1:6379/0                                    22:13:22

  SERVICE   STATE    HEALTH   REPLICAS  ROLE    PORTS
▸ redis     running  healthy         1  redis   127.0.0.1:6379
  worker    running  healthy         2  worker
  web       running  healthy         1  web     127.0.0.1:8001

  QUEUE     WAITING  CLAIMED  DUE  DEAD   IN/s  OUT/s  OLDEST  2 MINUTES
  images          3        0    0     1    4.0    0.0    2.0s                  █

  WORKER      SERVICE  BUSY  RUNS      TASK         FOR  PROGRESS
  worker@one  worker    1/1  resize    0190b3c2   14.4s   40% resized 4 of 10
  worker@two  worker    0/1  -

  FAILED           TASK      ID        QUEUE   REASON     ERROR
  2s ago  dead     resize    0190b3c2  images  permanent  ValueError: no such i…


l: logs  s: scale  r: restart  tab: next  ?: help  q: end"""
ERROR = "ValueError: no such image  [31m and then some more of what it says"
LARGE = {
    "  images          3        0    0     1    4.0    0.0    2.0s" + " " * 138 + "█",
    "  worker@one  worker    1/1  resize    0190b3c2   14.4s   40% resized 4 of 10",
    f"  2s ago  dead     resize    0190b3c2  images  permanent  {ERROR}",
}


def curve_of_one_look(lines: list[str]) -> list[str]:
    """The clock of the fake stands still, but each second adds a look."""
    return [one.rstrip("█").rstrip() if "images  " in one and "OLDEST" not in one else one for one in lines]


@pytest.mark.parametrize("terminal", [(80, 24, {"NO_COLOR": "1"})], indirect=True)
def test_80_columns_and_24_lines_hold_all_of_it(terminal: Terminal) -> None:
    lines = terminal.until(shown)

    assert curve_of_one_look(SMALL.splitlines()) == curve_of_one_look([*lines[:18], lines[23]])
    assert b"\x1b[3" not in terminal.raw.replace(b"\x1b[3;1H", b"")  # no colour


@pytest.mark.parametrize("terminal", [(200, 60, {})], indirect=True)
def test_a_large_terminal_is_used(terminal: Terminal) -> None:
    lines = terminal.until(shown)

    assert set(curve_of_one_look([*LARGE])) <= set(curve_of_one_look(lines))
    assert "l: logs  s: scale  r: restart  tab: next  ?: help  q: end" == lines[59]
    assert b"\x1b[32mrunning" in terminal.raw


def test_another_size_is_drawn_at_once(terminal: Terminal) -> None:
    terminal.until(shown)

    terminal.child.setwinsize(12, 60)
    terminal.screen.resize(12, 60)

    lines = terminal.until(lambda lines: shown(lines) and lines[0].startswith("shop  fake"))
    assert 12 == len(lines)


def test_keys_a_question_and_the_end_leave_the_terminal_as_it_was(terminal: Terminal) -> None:
    terminal.until(shown)

    terminal.child.send("\x1b[B")
    terminal.until(lambda lines: any(one.startswith("▸ worker") for one in lines))
    terminal.child.send("r")
    terminal.until(lambda lines: "Restart worker?  y: yes, n: no" == lines[23])
    terminal.child.send("n\x1b[F\r")
    terminal.until(lambda lines: "the way of 0190b3c2-bbbb" == lines[2])
    terminal.child.send("\x1b")
    terminal.until(shown)
    terminal.child.send("q")
    terminal.child.expect("after")
    terminal.child.expect(pexpect.EOF)
    terminal.child.close()
    assert 0 == terminal.child.exitstatus


def test_ctrl_c_leaves_the_screen_as_it_was(terminal: Terminal) -> None:
    before = termios.tcgetattr(terminal.child.child_fd)
    terminal.until(shown)

    terminal.child.send("\x03")
    terminal.child.expect_exact("\x1b[?7h\x1b[?25h\x1b[?1049l")
    terminal.child.expect(pexpect.EOF)
    terminal.child.close()

    assert 130 == terminal.child.exitstatus
    assert before[3] & (termios.ECHO | termios.ICANON)
