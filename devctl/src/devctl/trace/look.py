"""Looks for a trace, once or again and again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from time import sleep
from typing import TYPE_CHECKING

from devctl.trace.build import build
from devctl.trace.explain import Unknown, located, without_records
from devctl.trace.find import MOST_TASKS, Search, find, wanted
from devctl.trace.model import Trace

if TYPE_CHECKING:
    from celeriac.life.record import Record
    from devctl.broker.port import Broker

WAIT_SECONDS = 0.5
"""For something new, before it is drawn again: what runs grows."""


class Looking:
    """One id, and what is known of it."""

    def __init__(self, broker: Broker, asked: str) -> None:
        self._broker = broker
        self._asked = asked
        self._search: Search | None = None
        self._last = ""

    def trace(self) -> Trace | Unknown:
        """Look from anew."""
        self._last = self._broker.life.newest()
        self._search = find(self._broker, self._asked)
        return self._made()

    def follow(self) -> Iterator[tuple[Trace, list[Record]]]:
        """The trace and what is new of it, whenever something came or some time has passed, until all has ended."""
        while True:
            new: list[Record] = []
            if self._search is not None and self._search.records:
                self._last, came = self._broker.life.follow(self._last, WAIT_SECONDS)
                before = set(self._search.records)
                if self._search.add(came):
                    new = [one for one in self._search.records if one not in before]
            else:  # of stock workers, or it is not published yet
                sleep(WAIT_SECONDS)
            found = self._made()
            if isinstance(found, Trace) and found.ended:
                found = self.trace()  # what came before its publishing was known is found now
            if isinstance(found, Unknown):
                return
            yield found, new
            if found.ended:
                return

    def _made(self) -> Trace | Unknown:
        now = self._broker.life.now()
        if self._search is None or not self._search.records:
            return without_records(self._broker, wanted(self._asked), now)
        made = build(self._search.records, self._search.asked, now)
        if self._search.full:
            made = replace(made, gaps=(*made.gaps, f"more tasks belong to it: {MOST_TASKS} of them are shown"))
        return located(made, self._broker)
