"""Finds the records of a whole trace by any id of it, or the beginning of one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from devctl.errors import DevctlError, UsageError

if TYPE_CHECKING:
    from celeriac.life.record import Record
    from devctl.broker.port import Broker

SHORTEST = 4
"""Characters of an id: below that its beginning names too many."""
MOST_TASKS = 500
"""Of a trace: more than that nobody reads, and to find them takes long."""
_SHOWN_CANDIDATES = 5
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")
_LETTER = re.compile(r".+/[0-9]+-[0-9]+")


class Search:
    """What belongs to one id, as far as it is found. New records may be added as they come."""

    def __init__(self, asked: str) -> None:
        self.asked = asked
        self.records: list[Record] = []
        self._links: set[str] = set()
        """Ids that whatever carries them belongs to: of a request, a trace, a task, a group."""
        self._tags: set[str] = set()
        self._tasks: set[str] = set()
        self._known: set[Record] = set()

    @property
    def full(self) -> bool:
        """There are more tasks than are looked for."""
        return len(self._tasks) >= MOST_TASKS

    def add(self, records: Iterable[Record]) -> bool:
        """Take those that belong to it, with all that belongs to these; whether there was a new one."""
        left, before = [one for one in records if one not in self._known], len(self.records)
        while mine := [one for one in left if self._is_mine(one)]:
            for one in mine:
                self._take(one)
            taken = set(mine)
            left = [one for one in left if one not in taken]
        self.records.sort(key=lambda one: one.at)
        return len(self.records) > before

    def link(self, identity: str) -> None:
        """Whatever carries this id belongs to it."""
        self._links.add(identity)
        self._tags.add(identity)

    def _is_mine(self, record: Record) -> bool:
        return record.tag in self._tags or not self._links.isdisjoint(ids_of(record))

    def _take(self, record: Record) -> None:
        if self.full and record.task_id and record.task_id not in self._tasks:
            return
        self.records.append(record)
        self._known.add(record)
        self._links.update(ids_of(record))
        if record.tag:
            self._tags.add(record.tag)
        if record.task_id:
            self._tasks.add(record.task_id)

    def complete(self, broker: Broker) -> None:
        """Look for what else belongs to it, until nothing new comes. Each time for all of it: only a whole answer has
        the records of one millisecond in their order."""
        asked = set[str]()
        while new := (self._links | self._tags) - asked:
            asked |= new
            found = broker.life.find(sorted(asked), self._since(new))
            self.records, self._known, self._tasks = [], set(), set()
            self.add(found)

    def _since(self, new: set[str]) -> float:
        """The time before which nothing can belong to it. A task has nothing before its publishing; what a request, a
        group or a parent is known for may be older."""
        first: dict[str, Record] = {}
        for one in self.records:
            if one.task_id:
                first.setdefault(one.task_id, one)
        whole = {task_id for task_id, one in first.items() if one.kind == "published"}
        whole |= {one.tag for one in self.records if one.task_id in whole}
        return min((one.at for one in self.records), default=0.0) if new <= whole else 0.0


def find(broker: Broker, given: str) -> Search:
    """All records of the trace that this id belongs to; none where nothing is recorded. UsageError where it is too
    short, or the beginning of several."""
    asked = wanted(given)
    if _LETTER.fullmatch(asked):
        asked = _of_letter(broker, asked)
    search = Search(asked)
    found = broker.life.find([asked])
    matches = {one for record in found for one in {*ids_of(record), record.tag} if one.startswith(asked)}
    if asked in matches:
        matches = {asked}
    if not matches:
        return search
    if len(matches) > 1:
        matches = _one_trace(found, matches, given)
    for one in matches:
        search.link(one)
    search.add(found)
    search.complete(broker)
    return search


def wanted(given: str) -> str:
    """The id in what somebody pasted."""
    text = given.strip().rstrip("….")
    if parent := _TRACEPARENT.fullmatch(text.lower()):
        return parent.group(1)
    if len(text) < SHORTEST:
        raise UsageError(f"{given!r} is too short for an id", hint=f"give {SHORTEST} characters of it, or more")
    return text


def ids_of(record: Record) -> set[str]:
    """What ties a record to others."""
    ids = {
        record.task_id,
        record.root_id,
        record.parent_id,
        record.correlation_id,
        record.group_id,
        record.chord,
        record.traceparent[3:35],
    }
    return ids - {""}


def _one_trace(found: list[Record], matches: set[str], given: str) -> set[str]:
    """Several ids begin so. That is no question if all of them belong together."""
    first = min(matches)
    search = Search(first)
    search.link(first)
    search.add(found)
    if all(any(one in {*ids_of(record), record.tag} for record in search.records) for one in matches):
        return {first}
    shown = sorted(matches)
    more = [f"and {len(shown) - _SHOWN_CANDIDATES} more"] if len(shown) > _SHOWN_CANDIDATES else []
    raise UsageError(
        f"{given} is the beginning of {len(shown)} ids",
        hint="give more of it",
        details=[*shown[:_SHOWN_CANDIDATES], *more],
    )


def _of_letter(broker: Broker, letter_id: str) -> str:
    letter = broker.letter(letter_id)
    if letter is None:
        raise DevctlError(
            f"there is no dead letter {letter_id}",
            details=["it was replayed or dropped, or was never there"],
            hint="devctl dead-letters list; devctl trace takes the id of its task, too",
        )
    if not letter.task_id:
        raise DevctlError(
            f"nobody could read the task of the dead letter {letter_id}",
            hint=f"devctl dead-letters show {letter_id}     its message, and why",
        )
    return letter.task_id
