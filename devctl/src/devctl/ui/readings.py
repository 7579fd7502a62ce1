"""What the dashboard reads when somebody asks for it: logs and traces, as lines of the terminal's width."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from devctl.dash.sources import Sources
from devctl.errors import DevctlError
from devctl.stack.logfiles import Source

if TYPE_CHECKING:
    from devctl.broker.port import Broker

MOST_LINES = 300


class Readings:
    """Of one stack. `beside`: the logs that are no output of a service."""

    def __init__(self, sources: Sources, beside: Callable[[Sequence[str]], Source]) -> None:
        self._sources, self._beside = sources, beside
        self._port: Broker | None = None

    def trace(self, task_id: str) -> Sequence[str]:
        """The way of a task."""
        from devctl.trace.explain import Unknown
        from devctl.trace.look import Looking
        from devctl.ui import trace as tracing

        broker = self._port = self._port or self._sources.connect()
        try:
            found = Looking(broker, task_id).trace()
        except DevctlError:
            self._port = None
            raise
        if isinstance(found, Unknown):
            problem, details = tracing.unknown(task_id, found)
            raise DevctlError(problem, details=details, hint="Esc, then l: what the services say of it")
        return tracing.lines(found, shutil.get_terminal_size().columns, sys.stdout)

    def logs(self, services: Sequence[str], task_id: str) -> Sequence[str]:
        """The last lines of these services, or of all that concern a task."""
        from devctl.logs import read as reading
        from devctl.logs.selection import wanted
        from devctl.ui import logs as log_page
        from devctl.ui.live import Sheet

        names = list(services or self._sources.stack.services)
        asked = wanted(since=None, level=None, grep=None, identity=task_id or None)
        sheet = Sheet()
        page = log_page.Page(names, sheet)
        reading.read(self._sources.runtime, names, asked, page, tail=MOST_LINES, beside=self._beside(services))
        return sheet.getvalue().splitlines() or ["nothing is logged" + (" of this task" if task_id else "")]
