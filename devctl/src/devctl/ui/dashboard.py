"""The dashboard in a terminal: looks once a second beside the keys, until somebody ends it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

from devctl import errors
from devctl.dash.actions import Actions
from devctl.dash.collect import Collector
from devctl.dash.model import Snapshot
from devctl.ui.console import sign
from devctl.ui.dash import Brush
from devctl.ui.desk import Desk, Views
from devctl.ui.paint import Paint
from devctl.ui.screen import Screen

EVERY_SECONDS = 1.0
_READ_AGAIN_SECONDS = 2.0  # logs and traces that are open


class _Looks:
    """A thread that looks, so that keys never wait for a broker."""

    def __init__(self, collector: Collector, wake: Callable[[], None]) -> None:
        self._collector, self._wake = collector, wake
        self._now = threading.Event()
        self.newest: Snapshot | None = None
        self.failed: BaseException | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def soon(self) -> None:
        self._now.set()

    def _run(self) -> None:
        try:
            self.newest = self._collector.first()
            self._wake()
            while True:
                begun = time.monotonic()
                self.newest = self._collector.look()
                self._wake()
                self._now.wait(max(0.05, EVERY_SECONDS - (time.monotonic() - begun)))
                self._now.clear()
        except BaseException as bug:  # raised where it is seen: in the thread of the keys
            self.failed = bug
            self._wake()


def run(collector: Collector, actions: Actions, views: Views) -> None:
    """Show it until q or Ctrl-C, which ends devctl with its usual exit code, 130."""
    paint = Paint(sys.stdout)
    brush = Brush(
        paint,
        lambda symbol: sign(symbol, sys.stdout),
        (lambda text: f"\x1b[7m{text}\x1b[0m") if paint.on else (lambda text: text),
    )
    try:
        with Screen() as screen:
            looks = _Looks(collector, screen.wake)

            def again() -> None:
                collector.soon()
                looks.soon()

            desk = Desk(actions, views, brush, screen.wake, again)
            _until_ended(screen, looks, desk)
    except (KeyboardInterrupt, EOFError):
        raise SystemExit(errors.INTERRUPTED) from None


def _until_ended(screen: Screen, looks: _Looks, desk: Desk) -> None:
    read = time.monotonic()
    while not desk.ended:
        if looks.failed:
            raise looks.failed
        if looks.newest is not None and looks.newest is not desk.snapshot:
            desk.show(looks.newest)
        screen.draw(desk.lines(*screen.size))
        desk.key(screen.key(EVERY_SECONDS))
        if time.monotonic() - read > _READ_AGAIN_SECONDS:
            read = time.monotonic()
            desk.refresh()
