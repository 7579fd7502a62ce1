"""A view that is drawn again every second: in place on a terminal, one after the other in a pipe."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from time import sleep
from typing import IO

from devctl import errors
from devctl.ui.console import out, sign

EVERY_SECONDS = 1.0


class Sheet(io.StringIO):
    """Collects what is written for a terminal, with its colours."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def again(draw: Callable[[IO[str]], None], every_seconds: float = EVERY_SECONDS) -> None:
    """Draw until Ctrl-C, which ends devctl with its usual exit code, 130.

    What cannot be drawn at first is an error; later it is shown, and tried again: a broker may come back.
    """
    try:
        if sys.stdout.isatty():
            _in_place(draw, every_seconds)
        else:
            draw(sys.stdout)
            while True:
                sys.stdout.flush()
                sleep(every_seconds)
                _draw_or_say(draw, sys.stdout, sys.stderr)
    except KeyboardInterrupt:
        raise SystemExit(errors.INTERRUPTED) from None


def _in_place(draw: Callable[[IO[str]], None], every_seconds: float) -> None:
    from rich.live import Live
    from rich.text import Text

    def frame(draw: Callable[[IO[str]], None]) -> Text:
        page = Sheet()
        draw(page)
        return Text.from_ansi(page.getvalue())

    with Live(frame(draw), console=out(), auto_refresh=False) as live:
        while True:
            sleep(every_seconds)
            live.update(frame(lambda page: _draw_or_say(draw, page, page)), refresh=True)


def _draw_or_say(draw: Callable[[IO[str]], None], stream: IO[str], talk: IO[str]) -> None:
    try:
        draw(stream)
    except errors.DevctlError as problem:
        talk.write(f"{sign('✘', talk)} {problem.problem}\n")
