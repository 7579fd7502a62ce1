"""What each attempt of a task has logged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from devctl.logs.entry import Entry
from devctl.logs.parse import clean
from devctl.trace.model import Attempt, Trace

CLOCKS = 0.005
"""Seconds: a log tells the time of its process, a record that of Redis."""
PUBLISHED = "task.published"  # of its publisher, whatever the task does by then
_OF_THE_TASK = ("task", "task_id", "correlation_id", "trace_id", "service", "timestamp", "level", "event", "logger")


class Kept:
    """A page of a log that keeps its entries."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def write(self, entry: Entry) -> None:
        """Keep it."""
        self.entries.append(entry)

    def flush(self) -> None:
        """Nothing is held back."""


def with_output(trace: Trace, entries: Iterable[Entry]) -> Trace:
    """The trace with the entries of each attempt: those of its task, from its begin to the begin of the next one. What
    was logged of the task before it began anywhere belongs to no attempt."""
    attempts = {span.task_id: span.attempts for span in trace.tasks}
    found: dict[tuple[str, int], list[str]] = {}
    for entry in entries:
        if entry.event == PUBLISHED:
            continue
        task_id = _task_of(entry, attempts)
        number = _attempt_at(attempts.get(task_id, ()), entry.time)
        if number is not None:
            found.setdefault((task_id, number), []).extend(_lines(entry))
    return replace(trace, output={key: tuple(lines) for key, lines in found.items()})


def _task_of(entry: Entry, known: Iterable[str]) -> str:
    """By its field; in a line of text, by the id that stands in it."""
    if entry.continues:
        return _task_of(entry.continues, known)
    said = str(entry.fields.get("task_id") or "")
    if said or entry.structured:
        return said
    return next((task_id for task_id in known if any(task_id in line for line in entry.lines)), "")


def _attempt_at(attempts: Sequence[Attempt], time: float | None) -> int | None:
    if time is None:
        return None
    begins = [one.began if one.began is not None else one.claimed for one in attempts]
    before = [number for number, begin in enumerate(begins) if begin is not None and begin - CLOCKS <= time]
    return before[-1] if before else None


def _lines(entry: Entry) -> list[str]:
    if not entry.structured:
        return list(entry.lines)
    level = f"{entry.level} " if entry.level not in ("", "info") else ""
    fields = [f"{clean(key)}={clean(str(value))}" for key, value in entry.inline.items() if key not in _OF_THE_TASK]
    first = clean(entry.event.partition("\n")[0])
    return [f"{level}{first} {' '.join(fields)}".rstrip(), *map(clean, entry.beneath)]
