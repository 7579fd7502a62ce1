"""Entries by time: tracebacks folded into one entry, lines without a time beside their predecessor."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from devctl.logs.entry import Entry
from devctl.logs.parse import belongs_to_traceback, is_traceback, links_errors, parse, starts_a_record
from devctl.stack.port import LogLine

_SAME_BREATH = 0.1  # seconds; an error's message of several lines is written at once


@dataclass
class _Held:
    """An entry that still may grow, and where it stands: by time, then beside what it follows, then by arrival."""

    entry: Entry
    time: float
    group: int
    number: int
    arrived: float
    more: list[str] = field(default_factory=list)

    def key(self) -> tuple[float, int, int]:
        return self.time, self.group, self.number

    def close(self) -> Entry:
        while self.more and not self.more[-1].strip():
            self.more.pop()
        return replace(self.entry, lines=(*self.entry.lines, *self.more)) if self.more else self.entry


@dataclass
class _Tail:
    """What a replica wrote last."""

    last: _Held
    in_traceback: bool
    seen: float | None
    """When the runtime saw the last line, where it says so."""
    linked: bool = False
    """The last line announced another traceback of the same error."""
    released: bool = False


class Order:
    """Takes lines as they arrive and hands them out by time; the caller decides how long to hold them back."""

    def __init__(self) -> None:
        self._held: list[_Held] = []
        self._tails: dict[str, _Tail] = {}
        self._leading: dict[str, list[_Held]] = {}
        self._number = 0

    def add(self, line: LogLine, arrived: float = 0.0) -> Entry:
        """Take one line; returns its entry as known so far."""
        self._number += 1
        entry = parse(line)
        tail = self._tails.get(line.replica)
        if tail and self._continues(tail, entry, line):
            return self._extend(tail, entry, line, arrived)
        held = self._place(entry, tail, line.replica, arrived)
        self._tails[line.replica] = _Tail(held, is_traceback(entry), line.time)
        return held.entry

    def release(self, *, arrived_before: float | None = None) -> list[Entry]:
        """Hand out, by time, everything that waited long enough, and what is older than that; None: everything."""
        for leading in self._leading.values():
            self._held += leading  # no time came after them: they stay in front
        self._leading.clear()
        if arrived_before is None:
            due = self._held
        else:
            last = max((h.key() for h in self._held if h.arrived <= arrived_before), default=None)
            due = [h for h in self._held if last is not None and h.key() <= last]
        due.sort(key=_Held.key)
        gone = {id(held) for held in due}
        self._held = [held for held in self._held if id(held) not in gone]
        for tail in self._tails.values():
            tail.released = tail.released or id(tail.last) in gone
        return [held.close() for held in due]

    @staticmethod
    def _continues(tail: _Tail, entry: Entry, line: LogLine) -> bool:
        if starts_a_record(entry):
            return False
        at_once = line.time is None or tail.seen is None or line.time - tail.seen < _SAME_BREATH
        if is_traceback(entry):  # of a logged error, or the next link of one; a crash stands for itself
            last = tail.last.entry
            logged = last.level in ("error", "critical") and at_once if last.structured else bool(last.level)
            return tail.linked if tail.in_traceback else logged
        if belongs_to_traceback(entry.lines[0]):
            return tail.in_traceback or not tail.last.entry.structured
        return tail.in_traceback and at_once

    def _extend(self, tail: _Tail, entry: Entry, line: LogLine, arrived: float) -> Entry:
        tail.in_traceback = tail.in_traceback or is_traceback(entry)
        tail.seen = line.time
        tail.linked = links_errors(entry.lines[0]) or (tail.linked and not entry.lines[0].strip())
        if not tail.released:
            tail.last.more.append(entry.lines[0])
            tail.last.arrived = arrived
            return tail.last.entry
        head = tail.last.entry.continues or tail.last.entry
        late = replace(entry, time=head.time, level=head.level, continues=head)
        tail.last = _Held(late, tail.last.time, tail.last.group, self._number, arrived)
        tail.released = False
        self._held.append(tail.last)
        return late

    def _place(self, entry: Entry, tail: _Tail | None, replica: str, arrived: float) -> _Held:
        number = self._number
        if entry.time is not None:
            held = _Held(entry, entry.time, number, number, arrived)
            for early in self._leading.pop(replica, []):
                early.entry, early.time = replace(early.entry, time=entry.time), entry.time
                self._held.append(early)
        elif tail and replica not in self._leading:
            entry = replace(entry, time=tail.last.entry.time)
            held = _Held(entry, tail.last.time, tail.last.group, number, arrived)
        else:
            held = _Held(entry, float("-inf"), number, number, arrived)
            self._leading.setdefault(replica, []).append(held)
            return held
        self._held.append(held)
        return held
