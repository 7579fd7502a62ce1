"""Which entries to show: by time, level, pattern, and by the one piece of work they belong to."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from celeriac.trace_context import Trace
from devctl.errors import UsageError
from devctl.logs.entry import LEVELS, Entry, level_named
from devctl.logs.parse import clean

# One request's tasks, children and retries share these; every other id names one thing only.
_THREADS = ("correlation_id", "trace_id", "request_id")
_SHORTEST_PREFIX = 6  # below that an id's beginning names too many
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")
_UNITS = (86400, 3600, 60, 1)


@dataclass(frozen=True)
class Wanted:
    """What the command line asked for."""

    since: float | None = None
    level: str = ""
    pattern: re.Pattern[str] | None = None
    id: str = ""

    @property
    def everything(self) -> bool:
        """Whether nothing but the time decides."""
        return not (self.level or self.pattern or self.id)


class Selection:
    """Decides entry by entry, and learns on the way which correlation ids the wanted id stands for."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._threads: set[str] = set()

    def learn(self, entry: Entry) -> None:
        """Look at an entry before it is judged: a task's id leads to everything its request caused."""
        if self._wanted.id and entry.structured and self._names_it(entry):
            self._threads |= {str(entry.fields[key]) for key in _THREADS if entry.fields.get(key)}

    def wants(self, entry: Entry) -> bool:
        """Whether to show it."""
        if entry.continues:
            return self.wants(entry.continues)
        if not any(line.strip() for line in entry.lines):
            return False
        wanted = self._wanted
        if wanted.since is not None and entry.time is not None and entry.time < wanted.since:
            return False
        if wanted.level and LEVELS.index(entry.level or "info") < LEVELS.index(wanted.level):
            return False  # a line that does not say counts as info
        if wanted.pattern and not any(wanted.pattern.search(text) for text in searched(entry)):
            return False
        return not wanted.id or self._belongs(entry)

    def _belongs(self, entry: Entry) -> bool:
        if not entry.structured:
            return any(self._written(line) for line in entry.lines)
        if self._names_it(entry) or self._written(entry.event) or any(map(self._written, entry.lines[1:])):
            return True
        return any(str(entry.fields.get(key)) in self._threads for key in _THREADS)

    def _names_it(self, entry: Entry) -> bool:
        wanted = self._wanted.id
        values = (value.casefold() for value in _texts(entry.fields))
        if len(wanted) < _SHORTEST_PREFIX:
            return wanted in values
        return any(value.startswith(wanted) for value in values)

    def _written(self, text: str) -> bool:
        """Whether a text has the id as a word, or a word that begins so."""
        wanted, text = self._wanted.id, text.casefold()
        at = text.find(wanted)
        while at >= 0:
            end = at + len(wanted)
            begins = at == 0 or not text[at - 1].isalnum()
            ends = end == len(text) or not text[end].isalnum()
            if begins and (ends or len(wanted) >= _SHORTEST_PREFIX):
                return True
            at = text.find(wanted, at + 1)
        return False


def _texts(value: object) -> Iterator[str]:
    """All texts in a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def searched(entry: Entry) -> list[str]:
    """The texts a pattern is looked for in: as shown, and as written."""
    shown = " ".join([entry.event, *(f"{key}={value}" for key, value in entry.fields.items())])
    return [shown, *entry.lines] if entry.structured else list(entry.lines)


def wanted(
    *, since: str | None, level: str | None, grep: str | None, identity: str | None, now: float | None = None
) -> Wanted:
    """Read the options; UsageError names the wrong one."""
    return Wanted(
        since=_moment(since, time.time() if now is None else now) if since else None,
        level=_level(level) if level else "",
        pattern=_pattern(grep) if grep else None,
        id=_id(identity) if identity else "",
    )


def _id(text: str) -> str:
    """As shown, shortened, will do; of a whole `traceparent`, the trace's."""
    text = text.strip().rstrip("….").casefold()
    trace = Trace.read(text)
    return trace.id if trace else text


def duration_seconds(text: str) -> float | None:
    """`90s`, `5m`, `1h30m`, `2d`; None for anything else."""
    parts = _DURATION.fullmatch(text.strip())
    if not parts or not any(parts.groups()):
        return None
    return sum(float(n) * unit for n, unit in zip(parts.groups(), _UNITS, strict=True) if n)


def _moment(text: str, now: float) -> float:
    if (seconds := duration_seconds(text)) is not None:
        return now - seconds
    try:
        return datetime.fromisoformat(text.strip()).astimezone().timestamp()  # naive is this machine's time
    except ValueError:
        raise UsageError(
            f"--since {clean(text)!r} is neither a duration nor a time",
            hint="a duration: 90s, 5m, 1h30m, 2d; a time: 2026-11-23T10:15:00Z",
        ) from None


def _level(text: str) -> str:
    level = level_named(text)
    if not level:
        raise UsageError(f"--level {clean(text)!r} is not a level", hint="one of: " + ", ".join(LEVELS))
    return level


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as wrong:
        raise UsageError(
            f"--grep {clean(text)!r} is not a regular expression: {wrong}",
            hint="a character that is meant literally needs a backslash: \\( \\[ \\*",
        ) from None
