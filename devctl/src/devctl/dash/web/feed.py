"""Snapshots for everybody who listens: made by one thread, once a second, and only while somebody does."""

from __future__ import annotations

import json
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Literal

from devctl.dash.document import document
from devctl.dash.model import Snapshot
from devctl.errors import DevctlError

BEAT_SECONDS = 5.0  # a listener that is gone is noticed by what cannot be written to it


@dataclass(frozen=True)
class Event:
    """One thing to tell: a snapshot, or why there is none; `data` is JSON."""

    number: int
    kind: Literal["snapshot", "problem"]
    data: str


class Feed:
    """Calls `look` once a second while there is a listener, and hands the same event to each of them."""

    def __init__(self, look: Callable[[], Snapshot], seconds: float = 1.0) -> None:
        self._look = look
        self._seconds = seconds
        self._changed = threading.Condition()
        self._event = Event(0, "problem", "{}")
        self._listeners = 0
        self._collects = False
        self._closed = False

    def listen(self, after: int = 0, beat: float = BEAT_SECONDS) -> Generator[Event | None]:
        """The newest event after that number, whenever there is one; None where none came for so many seconds."""
        with self._changed:
            self._listeners += 1
            if not self._collects:  # what was seen before is old by now
                after = self._event.number
                self._collects = True
                threading.Thread(target=self._collect, daemon=True, name="dash").start()
        try:
            while True:
                with self._changed:
                    if self._event.number == after and not self._closed:
                        self._changed.wait(beat)
                    if self._closed:
                        return
                    event = self._event
                yield event if event.number != after else None
                after = event.number
        finally:
            with self._changed:
                self._listeners -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """End every `listen`, and the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _collect(self) -> None:
        while True:
            begun = time.monotonic()
            kind, data = self._seen()
            with self._changed:
                self._event = Event(self._event.number + 1, kind, data)
                self._changed.notify_all()
                rest = max(self._seconds / 4, begun + self._seconds - time.monotonic())
                if self._changed.wait_for(self._unwanted, rest):
                    self._collects = False
                    return

    def _unwanted(self) -> bool:
        return self._closed or not self._listeners

    def _seen(self) -> tuple[Literal["snapshot", "problem"], str]:
        try:
            return "snapshot", json.dumps(document(self._look()), separators=(",", ":"))
        except DevctlError as exc:
            return "problem", json.dumps({"problem": exc.problem, "hint": exc.hint})
        except Exception as exc:  # the page is to stay open all day, also over a bug of ours
            sys.stderr.write(traceback.format_exc())
            return "problem", json.dumps({"problem": f"a bug in devctl: {type(exc).__name__}: {exc}", "hint": ""})
