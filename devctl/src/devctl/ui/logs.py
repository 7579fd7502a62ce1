"""How log entries look. Without Rich: a line of a log is written as it comes, and there are many."""

from __future__ import annotations

import json
import re
import select
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from devctl.logs.entry import Entry
from devctl.logs.parse import clean
from devctl.ui.console import forgiving, sign
from devctl.ui.paint import Paint

_SERVICE_COLOURS = (36, 32, 35, 34, 33, 96, 92, 95, 94, 93)  # never red: that is for errors
_LEVEL_COLOURS = {"debug": 2, "warning": 33, "error": 31, "critical": 31}
_LEVEL_WORDS = {"warning": "warn", "critical": "crit"}
_DIM, _BOLD = 2, 1
_LAST = ("task_id", "correlation_id")  # long, and seldom what the eye looks for
_SHOWN_OF_AN_ID = 8
_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}")
_LONGEST_LINE = 4_000  # characters of one line on a terminal; a pipe gets all of it
_NARROWEST = 60  # below that a hanging indent leaves no room


class Page:
    """Writes entries to a stream: service in its colour, fields in columns, long lines with a hanging indent."""

    def __init__(self, services: Sequence[str], stream: TextIO | None = None, *, now: datetime | None = None) -> None:
        self._stream = stream or sys.stdout
        forgiving(self._stream)
        self._terminal = self._stream.isatty()
        self._colours = Paint(self._stream).on
        self._services = list(services)
        self._replicas: dict[str, set[str]] = {}
        self._width = max((len(name) for name in services), default=0)
        self._day = (now or datetime.now(UTC)).astimezone().date()

    def write(self, entry: Entry) -> None:
        """Write one entry and everything that belongs to it."""
        label = self._label(entry)
        clock = self._clock(entry)
        margin = len("00:00:00.000  ") + self._width + 2
        head = f"{self._paint(clock, _DIM)}  {self._paint(label.ljust(self._width), self._colour(entry.service))}  "
        if entry.structured:
            lines = self._fold(self._words(entry), margin)
            lines += [f"{' ' * margin}{self._bar()} {clean(line)}" for line in entry.beneath]
        else:
            first, *more = entry.lines
            painted = self._paint(self._cut(first), _LEVEL_COLOURS.get(entry.level)) if not entry.continues else ""
            lines = [painted] if painted else []
            rest = entry.lines if entry.continues else more
            lines += [f"{' ' * margin}{self._bar()} {self._cut(line)}" for line in rest]
            if entry.continues:
                head = ""
        self._stream.write(head + "\n".join(lines) + "\n")

    def flush(self) -> None:
        """Hand over what was written."""
        self._stream.flush()

    def _words(self, entry: Entry) -> list[tuple[str, str]]:
        """The parts of a structured line, plain and painted; a line is only broken between them."""
        level = _LEVEL_WORDS.get(entry.level, entry.level).ljust(5)
        words = [(level, self._paint(level, _LEVEL_COLOURS.get(entry.level, _DIM)))]
        event = self._cut(clean(entry.event.partition("\n")[0]))
        words.append((event, self._paint(event, _BOLD)))
        fields = [key for key in entry.inline if key not in _LAST]
        fields += [key for key in _LAST if key in entry.fields]
        for key in fields:
            value = self._cut(self._value(entry.fields[key]))
            words.append((f"{clean(key)}={value}", self._paint(f"{clean(key)}=", _DIM) + value))
        return words

    def _fold(self, words: Sequence[tuple[str, str]], margin: int) -> list[str]:
        width = shutil.get_terminal_size().columns if self._terminal else 0
        if width < _NARROWEST:
            return [" ".join(painted for _, painted in words)]
        lines = [""]
        used = 0
        for plain, painted in self._broken(words, width - margin):
            if used and used + 1 + len(plain) > width - margin:
                lines.append(" " * margin)
                used = 0
            gap = 1 if used else 0
            lines[-1] += " " * gap + painted
            used += gap + len(plain)
        return lines

    @staticmethod
    def _broken(words: Sequence[tuple[str, str]], room: int) -> Iterator[tuple[str, str]]:
        for plain, painted in words:
            if len(plain) <= room:
                yield plain, painted
            else:
                yield from ((piece, piece) for piece in textwrap.wrap(plain, room, break_on_hyphens=False))

    def _value(self, value: object) -> str:
        if isinstance(value, float):
            return f"{value:.4g}"
        if isinstance(value, str) and value.isprintable() and not set(value) & set(" \"'="):
            if self._terminal and _UUID.fullmatch(value):
                return value[:_SHOWN_OF_AN_ID] + sign("…", self._stream)
            return value or '""'
        return clean(json.dumps(value, ensure_ascii=False, default=str))

    def _cut(self, text: str) -> str:
        if not self._terminal or len(text) <= _LONGEST_LINE:
            return text
        return f"{text[:_LONGEST_LINE]}{sign('…', self._stream)} ({len(text):,} characters)"

    def _label(self, entry: Entry) -> str:
        """The service; the replica, once a service was seen to have more than one."""
        seen = self._replicas.setdefault(entry.service, set())
        seen.add(entry.replica)
        label = entry.replica if len(seen) > 1 else entry.service
        self._width = max(self._width, len(label))
        return label

    def _clock(self, entry: Entry) -> str:
        if entry.time is None:
            return " " * 12
        moment = datetime.fromtimestamp(entry.time, UTC).astimezone()
        if moment.date() != self._day:  # times repeat; a day says so once
            self._day = moment.date()
            self._stream.write(self._paint(f"{self._day.isoformat()}", _DIM) + "\n")
        return moment.strftime("%H:%M:%S.") + f"{moment.microsecond // 1000:03}"

    def _colour(self, service: str) -> int:
        if service not in self._services:
            self._services.append(service)
        return _SERVICE_COLOURS[self._services.index(service) % len(_SERVICE_COLOURS)]

    def _bar(self) -> str:
        return self._paint(sign("│", self._stream), _DIM)

    def _paint(self, text: str, colour: int | None) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colours and colour is not None and text else text


class JsonLines:
    """Writes entries as devctl.logs/1, one document a line."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._utf8 = (getattr(self._stream, "encoding", "") or "").lower().replace("-", "") == "utf8"

    def write(self, entry: Entry) -> None:
        """Write one entry."""
        document = json.dumps(document_of(entry), ensure_ascii=not self._utf8, default=str)
        try:
            document.encode()
        except UnicodeEncodeError:  # half of a surrogate pair, from an escape in the service's own JSON
            document = json.dumps(document_of(entry), default=str)
        self._stream.write(document + "\n")

    def flush(self) -> None:
        """Hand over what was written."""
        self._stream.flush()


def elsewhere(files: Mapping[str, tuple[str, str]], root: Path) -> None:
    """Say on stderr which services log into a file of their own: its name in the container, and on this machine."""
    for service, (path, here) in files.items():
        where = f"{here.replace(f'{root}/', './', 1)} here" if here else "in its container"
        sys.stderr.write(f"· {service} logs to {path}, {where}\n")


def nothing(*, filtered: bool) -> None:
    """Say on stderr that there is nothing to show, and what may bring something."""
    arrow = sign("→", sys.stderr)
    if filtered:
        sys.stderr.write(f"no line of the logs matches\n{arrow} devctl logs     all of them\n")
    else:
        sys.stderr.write(f"nothing was logged yet\n{arrow} devctl up     start the services\n")


def document_of(entry: Entry) -> dict[str, object]:
    """An entry as devctl.logs/1."""
    moment = None if entry.time is None else datetime.fromtimestamp(entry.time, UTC)
    return {
        "schema": "devctl.logs/1",
        "time": moment and moment.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "service": entry.service,
        "replica": entry.replica,
        "level": entry.level or None,
        "event": entry.event or None,
        "fields": dict(entry.fields),
        "text": "\n".join(entry.lines),
    }


def reader_is_there(stream: TextIO | None = None) -> bool:
    """Whether somebody still reads our output: a closed pipe shows before the next write."""
    poll = select.poll()
    try:
        poll.register((stream or sys.stdout).fileno(), 0)
    except (OSError, ValueError):  # no real file: a test's, or closed by ourselves
        return True
    return not any(events & (select.POLLERR | select.POLLNVAL) for _, events in poll.poll(0))
