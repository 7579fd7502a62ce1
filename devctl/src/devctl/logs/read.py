"""From a runtime's lines to entries in order: once, or for as long as they come."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from devctl.logs.entry import Entry
from devctl.logs.order import Order
from devctl.logs.selection import Selection, Wanted
from devctl.stack.port import LogLine, Runtime

WINDOW = 0.2  # seconds a line is held back, so that an earlier one of another service can still come before it
_HISTORY_AT_MOST = 2.0  # seconds to wait for a quiet moment after the first burst, which is the past
_TICK = 0.05
_WAITING_AT_MOST = 10_000  # lines; beyond it the reader waits for the writer


class Page(Protocol):
    """Where entries go."""

    def write(self, entry: Entry) -> None:
        """Take one."""

    def flush(self) -> None:
        """Show what was taken."""


def read(runtime: Runtime, services: Sequence[str], wanted: Wanted, page: Page, *, tail: int | None = None) -> int:
    """Hand out what the services have logged so far, the last `tail` entries of it; returns how many."""
    order, selection = Order(), Selection(wanted)
    with runtime.logs(services, since=wanted.since, tail=_tail_of_runtime(wanted, tail)) as lines:
        for line in lines:
            selection.learn(order.add(line))
    chosen = _last([entry for entry in order.release() if selection.wants(entry)], tail)
    _write(page, chosen)
    return len(chosen)


def follow(
    runtime: Runtime,
    services: Sequence[str],
    wanted: Wanted,
    page: Page,
    *,
    tail: int | None = None,
    still_wanted: Callable[[], bool] = lambda: True,
) -> None:
    """Hand out entries as they come, until the services are gone or nobody wants them any more."""
    order, selection = Order(), Selection(wanted)
    with runtime.logs(services, follow=True, since=wanted.since, tail=_tail_of_runtime(wanted, tail)) as lines:
        started = last_arrival = time.monotonic()
        history = True
        for line in _arriving(lines):
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


def _write(page: Page, entries: Sequence[Entry]) -> None:
    for entry in entries:
        page.write(entry)
    if entries:
        page.flush()


def _tail_of_runtime(wanted: Wanted, tail: int | None) -> int | None:
    # The runtime counts lines of each service; only without a filter do they contain the last ones of all.
    return tail if wanted.everything else None


def _last(entries: list[Entry], tail: int | None) -> list[Entry]:
    return entries if tail is None else entries[len(entries) - min(tail, len(entries)) :]


def _arriving(lines: Iterator[LogLine]) -> Iterator[LogLine | None]:
    """The lines, and None at least every tick, so that the loop can look around while it waits."""
    waiting: queue.Queue[LogLine | BaseException | None] = queue.Queue(_WAITING_AT_MOST)

    def pump() -> None:
        try:
            for line in lines:
                waiting.put(line)
            waiting.put(None)
        except BaseException as failure:  # raised again where somebody listens
            waiting.put(failure)

    threading.Thread(target=pump, daemon=True, name="logs").start()
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
