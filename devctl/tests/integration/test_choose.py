"""The list to choose from, on a real terminal."""

from __future__ import annotations

import sys
import termios
from collections.abc import Iterator

import pexpect
import pytest

pytestmark = pytest.mark.integration

PROGRAM = """
import sys
from devctl.ui.choose import choose
try:
    print("CHOSEN", choose("Which task?", [(f"tasks.{x}", f"queue {x}") for x in "abc"]))
except KeyboardInterrupt:
    print("LEFT")
"""
UP, DOWN = "\x1b[A", "\x1b[B"


@pytest.fixture
def terminal() -> Iterator[pexpect.spawn]:
    child = pexpect.spawn(sys.executable, ["-c", PROGRAM], encoding="utf-8", timeout=20, dimensions=(24, 80))
    child.expect("tasks.c")
    yield child
    child.close(force=True)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("\r", "CHOSEN tasks.a"),
        (DOWN + "\r", "CHOSEN tasks.b"),
        (DOWN + DOWN + DOWN + "\r", "CHOSEN tasks.a"),
        (UP + "\r", "CHOSEN tasks.c"),
        ("j" + "k" + "j" + "\r", "CHOSEN tasks.b"),
        ("3", "CHOSEN tasks.c"),
        ("9" + "\r", "CHOSEN tasks.a"),
        ("x" + "\r", "CHOSEN tasks.a"),
        ("q", "LEFT"),
        ("\x1b", "LEFT"),
        ("\x04", "LEFT"),
        ("\x03", "LEFT"),
    ],
    ids=repr,
)
def test_arrows_numbers_and_leaving(terminal: pexpect.spawn, keys: str, expected: str) -> None:
    terminal.send(keys)
    terminal.expect_exact(expected)


def test_the_terminal_is_as_it_was_afterwards(terminal: pexpect.spawn) -> None:
    before = termios.tcgetattr(terminal.child_fd)
    terminal.send("2")
    terminal.expect_exact("CHOSEN tasks.b")
    assert before[3] | termios.ECHO | termios.ICANON == termios.tcgetattr(terminal.child_fd)[3]
