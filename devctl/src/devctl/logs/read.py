"""From a runtime's lines to entries in order: once, or for as long as they come."""

from __future__ import annotations

import heapq
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from devctl.logs.entry import Entry
from devctl.logs.order import Order
from devctl.logs.parse import parse
from devctl.logs.selection import Selection, Wanted
from devctl.stack import logfiles
from devctl.stack.port import LogLine, Runtime

WINDOW = 0.2  # seconds a line is held back, so that an earlier one of another service can still come before it
_HISTORY_AT_MOST = 2.0  # seconds to wait for a quiet moment after the first burst, which is the past
_TICK = 0.05
_WAITING_AT_MOST = 10_000  # lines; beyond it the reader waits for the writer
_AT_ONCE = 5_000  # lines of a history that are put in order together: more than a replica writes in one breath


class Page(Protocol):
    """Where entries go."""

    def write(self, entry: Entry) -> None:
        """Take one."""

    def flush(self) -> None:
        """Show what was taken."""


def read(
    runtime: Runtime,
    services: Sequence[str],
    wanted: Wanted,
    page: Page,
    *,
    tail: int | None = None,
    beside: logfiles.Source | None = None,
) -> int:
    """Hand out what the services have logged so far, the last `tail` entries of it; returns how many.

    `beside`: logs that are no output of a service: devctl's own, and those that workers write to a file.
    A long history goes through in pieces and is never held as a whole; so an id that leads to others is looked for
    first, in a reading of its own.
    """
    selection = Selection(wanted)

    def lines() -> AbstractContextManager[Iterator[LogLine]]:
        return _history(runtime, services, wanted.since, _tail_of_runtime(wanted, tail), beside or {})

    if wanted.id:
        with lines() as first:
            for line in first:
                if wanted.id in line.text.casefold():
                    selection.learn(parse(line))
    count, last = 0, deque[Entry](maxlen=tail)
    with lines() as all_:
        for entry in _ordered(all_):
            if not selection.wants(entry):
                continue
            if tail is None:
                page.write(entry)
                count += 1
            else:
                last.append(entry)
    _write(page, last)
    page.flush()
    return count + len(last)


def follow(
    runtime: Runtime,
    services: Sequence[str],
    wanted: Wanted,
    page: Page,
    *,
    tail: int | None = None,
    still_wanted: Callable[[], bool] = lambda: True,
    beside: logfiles.Source | None = None,
) -> None:
    """Hand out entries as they come, until the services are gone or nobody wants them any more."""
    order, selection = Order(), Selection(wanted)
    ours = _tail_of_runtime(wanted, tail)
    with (
        runtime.logs(services, follow=True, since=wanted.since, tail=ours) as lines,
        _files(beside or {}, follow=True, since=wanted.since, tail=ours) as files,
    ):
        started = last_arrival = time.monotonic()
        history = True
        for line in _arriving(lines, *([files] if beside else [])):
            now = time.monotonic()
            if line is not None:
                selection.learn(order.add(line, now))
                last_arrival = now
            if history:
                if now - last_arrival < WINDOW and now - started < _HISTORY_AT_MOST:
                    continue
                history = False
                _write(page, _last([entry for entry in order.release() if selection.wants(entry)], tail))
            elif line is None:  # a burst is merged as a whole, then shown
                _write(page, [e for e in order.release(arrived_before=now - WINDOW) if selection.wants(e)])
            if line is None and not still_wanted():
                return
        rest = [entry for entry in order.release() if selection.wants(entry)]
        _write(page, _last(rest, tail) if history else rest)


@contextmanager
def _history(
    runtime: Runtime, services: Sequence[str], since: float | None, tail: int | None, beside: logfiles.Source
) -> Iterator[Iterator[LogLine]]:
    """The lines of the services and of what is beside them, by time."""
    with runtime.logs(services, since=since, tail=tail) as lines, _files(beside, since=since, tail=tail) as files:
        yield _merged(lines, files) if beside else lines


def _files(
    source: logfiles.Source, *, follow: bool = False, since: float | None, tail: int | None
) -> AbstractContextManager[Iterator[LogLine]]:
    return logfiles.read(lambda: source, follow=follow, since=since, tail=tail)


def _merged(*sources: Iterator[LogLine]) -> Iterator[LogLine]:
    def timed(lines: Iterator[LogLine]) -> Iterator[tuple[float, LogLine]]:
        when = float("-inf")
        for line in lines:
            when = line.time or logfiles.time_of(line.text) or when
            yield when, line

    for _, line in heapq.merge(*map(timed, sources), key=lambda one: one[0]):
        yield line


def _ordered(lines: Iterable[LogLine]) -> Iterator[Entry]:
    """The entries of lines that come nearly in order."""
    order = Order()
    for number, line in enumerate(lines, 1):
        order.add(line, number)
        if number % _AT_ONCE == 0:
            yield from order.release(arrived_before=number - _AT_ONCE)
    yield from order.release()


def _write(page: Page, entries: Collection[Entry]) -> None:
    for entry in entries:
        page.write(entry)
    if entries:
        page.flush()


def _tail_of_runtime(wanted: Wanted, tail: int | None) -> int | None:
    # The runtime counts lines of each service; only without a filter do they contain the last ones of all.
    return tail if wanted.everything else None


def _last(entries: list[Entry], tail: int | None) -> list[Entry]:
    return entries if tail is None else entries[len(entries) - min(tail, len(entries)) :]


def _arriving(*sources: Iterator[LogLine]) -> Iterator[LogLine | None]:
    """The lines, and None at least every tick, so that the loop can look around while it waits.

    They end with the first source: the services'.
    """
    waiting: queue.Queue[LogLine | BaseException | None] = queue.Queue(_WAITING_AT_MOST)
    for lines in sources:
        ends = lines is sources[0]
        threading.Thread(target=_pump, args=[lines, waiting.put, ends], daemon=True, name="logs").start()
    next_tick = time.monotonic() + _TICK
    while True:
        try:
            line = waiting.get(timeout=max(0.001, next_tick - time.monotonic()))
        except queue.Empty:
            next_tick = time.monotonic() + _TICK
            yield None
            continue
        if line is None:
            return
        if isinstance(line, BaseException):
            raise line
        yield line
        if time.monotonic() >= next_tick:
            next_tick = time.monotonic() + _TICK
            yield None


def _pump(lines: Iterator[LogLine], put: Callable[[LogLine | BaseException | None], None], ends: bool) -> None:
    """Pass lines on, and where `ends`, None for their end."""
    try:
        for line in lines:
            put(line)
        if ends:
            put(None)
    except BaseException as failure:  # raised again where somebody listens
        put(failure)
