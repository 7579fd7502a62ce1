"""The logs of the replicas: one file each, read once or followed."""

from __future__ import annotations

import heapq
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from devctl.stack import rotation
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
        for _, line in heapq.merge(*past, key=lambda timed: timed[0]):  # all at once would be too much
            yield line
        while follow and not left.wait(_LOOK_SECONDS):
            for name, there in _named(source()).items():
                if name not in logs:
                    logs[name] = _Log(*there)
                yield from logs[name].new()

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
        self._older = rotation.older(path)
        self._position = self._inode = 0
        self._rotated = _inode(self._older[0])
        self._rest = b""
        self._shrunk = False

    def past(self, since: float | None, tail: int | None, *, whole_lines: bool) -> Iterator[tuple[float, LogLine]]:
        """Yield what is there, each line with its time or that of the line before it."""
        when = float("-inf")
        for line in self._made(self._there(since, whole_lines) if tail is None else self._last(tail, whole_lines)):
            when = max(when, time_of(line.text) or when)
            if since is None or when >= since:
                yield when, line

    def new(self) -> Iterator[LogLine]:
        """Yield what came since."""
        return self._made(self._further())

    def _made(self, raw: Iterable[bytes]) -> Iterator[LogLine]:
        for line in raw:
            yield LogLine(self._service, self._replica, line.decode(errors="replace").rstrip("\r"))

    def _there(self, since: float | None, whole_lines: bool) -> Iterator[bytes]:
        """Yield all lines, those of the numbered files first."""
        self._inode = _inode(self._path)
        with ExitStack() as opened:
            files = []
            for path in reversed(self._older):
                with suppress(FileNotFoundError):
                    files.append(opened.enter_context(path.open("rb")))
            for file in files:
                if since is None or os.fstat(file.fileno()).st_mtime >= since:
                    yield from self._read(file)
        self._position = 0
        yield from self._further()
        while _inode(self._older[0]) != self._rotated:  # meanwhile
            yield from self._further()
        if self._rest and not whole_lines:
            yield self._rest

    def _last(self, count: int, whole_lines: bool) -> Iterator[bytes]:
        """Yield the last lines, without reading large files from their beginning."""
        self._inode = _inode(self._path)
        starts: list[tuple[Path, int]] = []
        seen = 0
        for path in (self._path, *self._older):
            with suppress(FileNotFoundError), path.open("rb") as file:
                start, lines = _start_of_tail(file.fileno(), count - seen)
                starts.append((path, start))
                seen += lines
            if seen > count:
                break
        last: deque[bytes] = deque(maxlen=count)
        for path, start in reversed(starts):
            with suppress(FileNotFoundError), path.open("rb") as file:
                file.seek(start)
                self._position = start
                last.extend(self._read(file))
        if self._rest and not whole_lines:
            last.append(self._rest)
        yield from last

    def _further(self) -> Iterator[bytes]:
        """Yield what came since the last look: the rest of a file that was rotated, then the log itself."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return
        rotated = _inode(self._older[0])
        if status.st_ino != self._inode:  # a new start
            self._inode, self._position, self._rest = status.st_ino, 0, b""
        elif rotated != self._rotated:
            with suppress(FileNotFoundError), self._older[0].open("rb") as file:
                file.seek(self._position)
                yield from self._read(file)
            self._position = 0
        elif status.st_size < self._position:
            if not self._shrunk:  # the moment in the middle of a rotation; if not, it was emptied by hand
                self._shrunk = True
                return
            self._position, self._rest = 0, b""
        elif status.st_size == self._position:
            return
        self._rotated, self._shrunk = rotated, False
        with suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._position)
            yield from self._read(file, until=lambda: _inode(self._older[0]) != rotated)

    def _read(self, file: BinaryIO, until: Callable[[], bool] = lambda: False) -> Iterator[bytes]:
        """Yield the whole lines from here on; the beginning of one more is kept for what comes next.

        A reader may take its time between two lines: `until` says that the file holds something else by now.
        """
        while not until() and (chunk := file.read(_CHUNK)):
            self._position += len(chunk)
            *whole, self._rest = (self._rest + chunk).split(b"\n")
            yield from whole


def _inode(path: Path) -> int:
    """Return which file this is; 0 for none."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def _start_of_tail(descriptor: int, lines: int) -> tuple[int, int]:
    """Return a place from which at least the last `lines` lines follow, if there are as many, and how many follow."""
    start, seen = os.fstat(descriptor).st_size, 0
    while start > 0 and seen <= lines:
        begin = max(0, start - _CHUNK)
        seen += os.pread(descriptor, start - begin, begin).count(b"\n")
        start = begin
    if start == 0:
        return 0, seen
    block = os.pread(descriptor, _CHUNK, start)
    return (start + block.index(b"\n") + 1, seen - 1) if b"\n" in block else (start, seen)


def tail(file: Path, lines: int) -> tuple[str, ...]:
    """The last lines of a file; none where it cannot be read."""
    try:
        with file.open("rb") as opened:
            opened.seek(_start_of_tail(opened.fileno(), lines)[0])
            return tuple(opened.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ()


def time_of(text: str) -> float | None:
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
