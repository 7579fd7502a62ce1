"""What is behind the page: one collector for all tabs, the actions, traces and logs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from devctl.broker.port import Broker
from devctl.dash.actions import Actions
from devctl.dash.collect import Collector
from devctl.dash.model import Snapshot
from devctl.dash.sources import Sources
from devctl.dash.web import trace
from devctl.errors import DevctlError
from devctl.logs import read as reading
from devctl.logs.selection import wanted
from devctl.stack import logfiles

LOG_ENTRIES = 300
"""Of the past, when logs are opened."""


@dataclass(frozen=True)
class Site:
    """The functions behind the routes. Any thread calls any of them, but `look`, which only one at a time does."""

    look: Callable[[], Snapshot]
    soon: Callable[[], None]
    """Something was done: the next look is at everything."""
    actions: Actions
    trace: Callable[[str], Any]
    """An id -> what JSON can hold; DevctlError where nothing is known of it."""
    logs: Callable[[str, str, reading.Page, Callable[[], bool]], None]
    """Follows the logs of a service ("": of all), of an id ("": any), while somebody wants them."""


def site(sources: Sources, beside: Callable[[Collection[str]], logfiles.Source]) -> Site:
    """Of this stack. `beside`: the logs that are no output of these services, or of none in particular."""
    collector = Collector(sources)

    def logs(service: str, id_: str, page: reading.Page, somebody: Callable[[], bool]) -> None:
        services = sources.stack.resolve([service]) if service else []
        reading.follow(
            sources.runtime,
            services or [*sources.stack.services],
            wanted(since=None, level=None, grep=None, identity=id_ or None),
            page,
            tail=LOG_ENTRIES,
            still_wanted=somebody,
            beside=beside(services),
        )

    return Site(collector.look, collector.soon, Actions(sources), Traces(sources), logs)


class Traces:
    """Reads traces over a connection of its own, kept as long as it works."""

    def __init__(self, sources: Sources) -> None:
        """Connects to nothing yet."""
        self._sources = sources
        self._alone = threading.Lock()
        self._port: Broker | None = None

    def __call__(self, asked: str) -> trace.Row:
        """The trace of this id."""
        with self._alone:
            try:
                self._port = self._port or self._sources.connect()
                return trace.read(self._port, asked, self._sources.option)
            except DevctlError:
                self._port = None
                raise
