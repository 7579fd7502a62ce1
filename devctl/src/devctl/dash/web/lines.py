"""Log entries as the page gets them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from devctl.logs.entry import Entry
from devctl.logs.parse import clean

_LONGEST = 4_000  # characters of one line; more of it nobody reads here


class Lines:
    """A page of logs (devctl.logs.read.Page) that sends what it took as one JSON list."""

    def __init__(self, send: Callable[[str], None]) -> None:
        self._send = send
        self._taken: list[dict[str, Any]] = []

    def write(self, entry: Entry) -> None:
        """Take one."""
        self._taken.append(document(entry))

    def flush(self) -> None:
        """Send them."""
        if self._taken:
            self._send(json.dumps(self._taken, default=str))
            self._taken = []


def document(entry: Entry) -> dict[str, Any]:
    """Its first line, and under it what belongs to it."""
    head, more = (entry.event, []) if entry.structured else ("", list(entry.lines))
    if entry.structured:
        more = entry.beneath
        fields = (f"{key}={_value(value)}" for key, value in entry.inline.items())
        head = " ".join([entry.event.partition("\n")[0], *fields])
    elif not entry.continues:
        head, *more = more
    return {
        "at": entry.time,
        "who": entry.replica or entry.service,
        "level": entry.level,
        "text": _cut(head),
        "more": [_cut(line) for line in more],
    }


def _value(value: object) -> str:
    if isinstance(value, str) and value and value.isprintable() and not set(value) & set(" \"'="):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _cut(text: str) -> str:
    text = clean(text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)"
