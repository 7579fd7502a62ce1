"""A view that is drawn again every second: in place on a terminal, one after the other in a pipe."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from typing import IO

from devctl import errors
from devctl.ui.console import out

EVERY_SECONDS = 1.0


class _Terminal(io.StringIO):
    """Collects what is written for a terminal, with its colours."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def again(draw: Callable[[IO[str]], None], every_seconds: float = EVERY_SECONDS) -> None:
    """Draw until Ctrl-C, which ends devctl with its usual exit code, 130."""
    try:
        if sys.stdout.isatty():
            _in_place(draw, every_seconds)
        else:
            while True:
                draw(sys.stdout)
                sys.stdout.flush()
                time.sleep(every_seconds)
    except KeyboardInterrupt:
        raise SystemExit(errors.INTERRUPTED) from None


def _in_place(draw: Callable[[IO[str]], None], every_seconds: float) -> None:
    from rich.live import Live
    from rich.text import Text

    def frame() -> Text:
        page = _Terminal()
        draw(page)
        return Text.from_ansi(page.getvalue())

    with Live(frame(), console=out(), auto_refresh=False) as live:
        while True:
            time.sleep(every_seconds)
            live.update(frame(), refresh=True)
