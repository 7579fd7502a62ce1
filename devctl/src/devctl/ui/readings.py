"""What the dashboard reads when somebody asks for it: logs and traces, as lines of the terminal's width."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from devctl.dash.sources import Sources
from devctl.stack.logfiles import Source

MOST_LINES = 300


class Readings:
    """Of one stack. `beside`: the logs that are no output of a service."""

    def __init__(self, sources: Sources, beside: Callable[[Sequence[str]], Source]) -> None:
        self._sources, self._beside = sources, beside

    def trace(self, task_id: str) -> Sequence[str]:
        """The way of a task."""
        return self.logs((), task_id)

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
