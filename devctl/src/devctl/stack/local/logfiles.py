"""The logs of the replicas: one file each, read once or followed."""

from __future__ import annotations

import heapq
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from devctl.stack.port import LogLine

_LOOK_SECONDS = 0.1  # between two looks at the files of a follow; a look is one stat a file
_CHUNK = 1 << 16
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?")
_REDIS = re.compile(r"\d+:\w (\d\d \w{3} \d{4} \d\d:\d\d:\d\d)\.(\d{3})")
_LOOK_FOR_TIME = 400  # characters; in a JSON line the timestamp need not come first

Source = Mapping[str, tuple[str, Path]]
"""Replica -> its service and its log."""


@contextmanager
def read(
    source: Callable[[], Source], *, follow: bool = False, since: float | None = None, tail: int | None = None
) -> Iterator[Iterator[LogLine]]:
    """The lines of all logs, by time; leaving the context ends a follow."""
    left = threading.Event()

    def lines() -> Iterator[LogLine]:
        logs = {name: _Log(*there) for name, there in _named(source()).items()}
        past = [log.past(since, tail, whole_lines=follow) for log in logs.values()]
        for _, line in heapq.merge(*past, key=lambda timed: timed[0]):
            yield line
        while follow and not left.wait(_LOOK_SECONDS):
            for name, there in _named(source()).items():
                yield from logs.setdefault(name, _Log(*there)).new()

    try:
        yield lines()
    finally:
        left.set()


def _named(source: Source) -> dict[str, tuple[str, str, Path]]:
    return {replica: (service, replica, path) for replica, (service, path) in source.items()}


class _Log:
    """One file and how far it was read. Opened for each look: a file that is removed is not held on to."""

    def __init__(self, service: str, replica: str, path: Path) -> None:
        self._service, self._replica, self._path = service, replica, path
        self._position = self._inode = 0
        self._rest = b""

    def past(self, since: float | None, tail: int | None, *, whole_lines: bool) -> Iterator[tuple[float, LogLine]]:
        """Return what is there, each line with its time or that of the line before it."""
        raw = list(self._lines(tail))
        if self._rest and not whole_lines:
            raw.append(self._rest)
        if tail is not None:
            raw = raw[len(raw) - min(tail, len(raw)) :]
        when = float("-inf")
        for line in self._made(raw):
            when = max(when, _time(line.text) or when)
            if since is None or when >= since:
                yield when, line

    def new(self) -> Iterator[LogLine]:
        """Return what came since."""
        return self._made(self._lines(None))

    def _made(self, raw: Iterator[bytes] | list[bytes]) -> Iterator[LogLine]:
        for line in raw:
            yield LogLine(self._service, self._replica, line.decode(errors="replace").rstrip("\r"))

    def _lines(self, tail: int | None) -> Iterator[bytes]:
        try:
            status = self._path.stat()
            if (status.st_ino, status.st_size) == (self._inode, self._position):
                return
            with self._path.open("rb") as file:
                if status.st_ino != self._inode or status.st_size < self._position:  # new, or truncated
                    self._inode, self._position, self._rest = status.st_ino, 0, b""
                    if tail is not None:
                        self._position = _start_of_tail(file.fileno(), status.st_size, tail)
                file.seek(self._position)
                while chunk := file.read(_CHUNK):
                    self._position += len(chunk)
                    *whole, self._rest = (self._rest + chunk).split(b"\n")
                    yield from whole
        except FileNotFoundError:
            return


def _start_of_tail(descriptor: int, size: int, lines: int) -> int:
    """Return a place from which at least the last `lines` lines follow, without reading a large file."""
    start, seen = size, 0
    while start > 0 and seen <= lines:
        begin = max(0, start - _CHUNK)
        seen += os.pread(descriptor, start - begin, begin).count(b"\n")
        start = begin
    if start == 0:
        return 0
    block = os.pread(descriptor, _CHUNK, start)
    return start + block.index(b"\n") + 1 if b"\n" in block else start


def _time(text: str) -> float | None:
    """Return when a line says it was written."""
    head = text[:_LOOK_FOR_TIME]
    try:
        if found := _ISO.search(head):
            return datetime.fromisoformat(found[0].replace(",", ".")).timestamp()
        if found := _REDIS.match(head):  # Redis writes the machine's local time, like the services' zone here
            return time.mktime(time.strptime(found[1], "%d %b %Y %H:%M:%S")) + int(found[2]) / 1000
    except ValueError:
        return None
    return None
