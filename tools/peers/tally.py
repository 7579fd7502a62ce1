"""What the workers have done, told to a database of its own: no framework's own bookkeeping is asked.

A body calls `done` or `started`, which append to a deque; a thread writes what has gathered every 20 ms.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any

import redis

from ticks import Tick

DATABASE = 15
FLUSH_SECONDS = 0.02
QUIET_SECONDS = 0.5
TICKS = "ticks"  # list of packed Ticks
LATE = "late"  # list of seconds between the intended and the real start

PORT = int(os.environ.get("PEERS_PORT", "6379"))


class Tally:
    """One for each process; a forked child starts its own."""

    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._done: deque[int] = deque()
        self._late: deque[float] = deque()
        self._lock = threading.Lock()
        self._writer: threading.Thread | None = None

    def done(self, number: int) -> None:
        """A body has run to its end."""
        self._done.append(number)
        if self._writer is None:
            self._start()

    def started(self, intended: float) -> None:
        """A body has begun that should have begun at this time (unix seconds)."""
        self._late.append(time.time() - intended)
        if self._writer is None:
            self._start()

    def _start(self) -> None:
        with self._lock:
            if self._writer is None:
                self._writer = threading.Thread(target=self._write, args=(time.time(),), daemon=True)
                self._writer.start()

    def _write(self, since: float) -> None:
        """Until there has been nothing for a while: an idle worker's CPU is measured too."""
        pid, last = os.getpid(), since
        with redis.Redis(port=PORT, db=DATABASE) as side:
            while True:
                time.sleep(FLUSH_SECONDS)
                numbers, late, now = _taken(self._done), _taken(self._late), time.time()
                if numbers:
                    side.rpush(TICKS, Tick(pid, since, now, numbers).pack())
                if late:
                    side.rpush(LATE, *late)
                if numbers or late:
                    last = now
                elif now - last > QUIET_SECONDS:
                    self._writer = None
                    if not self._done and not self._late:  # else they came before they could see that nobody writes
                        return
                    self._writer = threading.current_thread()
                since = now


def _taken(waiting: deque[Any]) -> list[Any]:
    taken = []
    with suppress(IndexError):  # for a moment there may be a second writer
        for _ in range(len(waiting)):
            taken.append(waiting.popleft())
    return taken


tally = Tally()
