"""A whole terminal: keys in, lines out. It is as it was before when the block ends, however it ends."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType, TracebackType

_OPEN = "\x1b[?1049h\x1b[?25l\x1b[?7l"  # another screen, no cursor, what is too long is cut
_CLOSE = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_ESCAPE_SECONDS = 0.05  # what follows an escape within this belongs to it
_KEYS = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1bOA": "up",
    "\x1bOB": "down",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\x1b[H": "home",
    "\x1b[F": "end",
    "\x1b[1~": "home",
    "\x1b[4~": "end",
    "\x1b[Z": "back tab",
    "\x1b": "escape",
    "\t": "tab",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
}


class Screen:
    """The terminal of this process, as a context manager. `wake` may be called from any thread."""

    def __init__(self) -> None:
        self._in, self._out = sys.stdin.fileno(), sys.stdout.fileno()
        self._encoding = sys.stdout.encoding or "ascii"
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)
        self._typed = ""
        self._shown: list[str] = []
        self._before: list[object] = []

    def __enter__(self) -> Screen:
        self._before = termios.tcgetattr(self._in)
        self._handlers = {
            signal.SIGWINCH: signal.signal(signal.SIGWINCH, lambda *_: self._afresh()),
            signal.SIGTSTP: signal.signal(signal.SIGTSTP, self._suspend),
        }
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._close()

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        found = os.get_terminal_size(self._out)
        return max(20, found.columns or 80), max(5, found.lines or 24)

    def wake(self) -> None:
        """Let `key` return."""
        with suppress(BlockingIOError):  # full: it is awake
            os.write(self._waker, b".")

    def key(self, seconds: float) -> str:
        """The next key by its name, or what was typed; "" after so long, or when somebody has woken it."""
        if not self._typed:
            self._read(seconds)
        if self._typed == "\x1b":
            self._read(_ESCAPE_SECONDS)
        if not self._typed:
            return ""
        if self._typed[0] == "\x1b":
            for code, name in _KEYS.items():
                if code != "\x1b" and self._typed.startswith(code):
                    self._typed = self._typed[len(code) :]
                    return name
            known = self._typed == "\x1b"
            self._typed = ""  # some sequence that nobody knows
            return "escape" if known else ""
        one, self._typed = self._typed[0], self._typed[1:]
        return _KEYS.get(one, one)

    def draw(self, lines: Sequence[str]) -> None:
        """Fill the screen with these lines; only those that changed are written."""
        parts = [] if self._shown else ["\x1b[2J"]
        for number, line in enumerate(lines):
            if number >= len(self._shown) or self._shown[number] != line:
                parts.append(f"\x1b[{number + 1};1H\x1b[2K{line}\x1b[0m")
        self._shown = list(lines)
        if parts:
            self._write("".join(parts))

    def _afresh(self) -> None:
        self._shown = []
        self.wake()

    def _open(self) -> None:
        tty.setcbreak(self._in, termios.TCSANOW)
        self._shown = []
        self._write(_OPEN)

    def _close(self) -> None:
        self._write(_CLOSE)
        termios.tcsetattr(self._in, termios.TCSAFLUSH, self._before)  # type: ignore[arg-type]  # as it was read

    def _suspend(self, number: int, frame: FrameType | None) -> None:
        self._close()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._open()  # it goes on
        self.wake()

    def _read(self, seconds: float) -> None:
        ready, _, _ = select.select([self._in, self._woken], [], [], seconds)
        if self._woken in ready:
            os.read(self._woken, 4_096)
        if self._in in ready:
            data = os.read(self._in, 1_024)
            if not data:
                raise EOFError  # the terminal is gone
            self._typed += data.decode(errors="ignore")

    def _write(self, text: str) -> None:
        data = text.encode(self._encoding, errors="devctl.plain")
        while data:
            data = data[os.write(self._out, data) :]
