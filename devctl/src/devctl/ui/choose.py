"""A list to choose from, on a terminal: arrow keys and Enter, or a number."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Sequence

from devctl.ui.console import sign
from devctl.ui.paint import Paint

_UP, _DOWN, _ENTER = ("\x1b[A", "\x1bOA", "k"), ("\x1b[B", "\x1bOB", "j"), ("\r", "\n")
_BURST_SECONDS = 0.05
_LEAVE = ("\x03", "\x04", "q", "\x1b")


def choose(question: str, entries: Sequence[tuple[str, str]]) -> str:
    """The name that was chosen; KeyboardInterrupt where somebody leaves. Call it on a terminal only."""
    chosen = 0
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    paint = Paint(sys.stderr)
    sys.stderr.write(f"{question}  {paint('arrow keys and Enter, or a number; q to leave', 'dim')}\n")
    _draw(entries, chosen)
    try:
        tty.setcbreak(descriptor)
        while True:
            key = _key(descriptor)
            if key in _ENTER:
                break
            if key in _LEAVE or not key:
                raise KeyboardInterrupt
            if key in _UP or key in _DOWN:
                chosen = (chosen + (1 if key in _DOWN else -1)) % len(entries)
            elif key.isdecimal() and 1 <= int(key) <= len(entries):
                chosen = int(key) - 1
                _redraw(entries, chosen)
                break
            _redraw(entries, chosen)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
    return entries[chosen][0]


def _key(descriptor: int) -> str:
    """One key; keys typed ahead stay where they are."""
    key = os.read(descriptor, 1)
    # An arrow key is Escape and two more bytes in one burst; Escape alone is followed by nothing.
    while key[:1] == b"\x1b" and len(key) < 3 and select.select([descriptor], [], [], _BURST_SECONDS)[0]:
        key += os.read(descriptor, 1)
    return key.decode(errors="replace")


def _redraw(entries: Sequence[tuple[str, str]], chosen: int) -> None:
    sys.stderr.write(f"\x1b[{len(entries)}A")
    _draw(entries, chosen)


def _draw(entries: Sequence[tuple[str, str]], chosen: int) -> None:
    paint = Paint(sys.stderr)
    width = max(len(name) for name, _ in entries)
    for number, (name, what) in enumerate(entries):
        mark = paint(sign("→", sys.stderr), "cyan") if number == chosen else " " * len(sign("→", sys.stderr))
        label = name.ljust(width)
        label = paint(label, "bold") if number == chosen else label
        sys.stderr.write(f"\r\x1b[K{mark} {number + 1}  {label}  {paint(what, 'dim')}\n")
    sys.stderr.flush()
