"""What workers without a health check say, in their logs or files of their own; who says nothing is asked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from devctl.clock import Clock
from devctl.errors import DevctlError
from devctl.stack import logfiles
from devctl.stack.port import Replica, Runtime
from devctl.stack.readiness import QUIET_SECONDS, RAN_BEFORE, Heard
from devctl.stack.words import Listener, here, logfile

_LISTEN_SECONDS = 0.5  # between two looks into the log of a worker, which cost a process each
_ASK_SECONDS = 2.0  # a worker that says nothing is asked over its broker after that, and again
_EARLY_SECONDS = 0.5  # an engine notes when a container began a moment after it has begun
_ENOUGH = 5  # lines to know a place in a file again: a log has its times in them
_FAR_BACK = 400  # lines of a file: more than a worker writes while it starts

Ask = Callable[[], Collection[str]]
"""The names of the nodes that answer; DevctlError where their broker cannot be reached."""


class Hearing:
    """What is heard during one start."""

    def __init__(self, runtime: Runtime, clock: Clock, ask: Ask | None) -> None:
        self._runtime, self._clock, self._ask = runtime, clock, ask
        self.heard: dict[str, Heard] = {}
        """Replica -> what is known of it."""
        self._listeners: dict[tuple[str, float | None], Listener] = {}
        self._listened: dict[str, float] = {}
        self._asked = clock.now()
        self._old: dict[str, tuple[str, ...]] = {}
        """Service -> the last lines of its own file before this start: what comes after them is new."""

    def begin(self, services: Iterable[str], replicas: Sequence[Replica]) -> None:
        """Note what is in the files of these already."""
        for name in services:
            mine = [r for r in replicas if r.service == name] or [Replica(name, f"{name}-1", "created")]
            for replica in mine:
                if lines := self._lines_of(replica, _ENOUGH):
                    self._old[name] = lines

    def listen(self, service: str, replicas: Sequence[Replica], ran_before: Collection[str]) -> None:
        """Look into the log of a service, once in a while."""
        now = self._clock.now()
        for replica in replicas:
            up = now - replica.started_at if replica.started_at is not None else 0.0
            if replica.name in ran_before and up >= QUIET_SECONDS:
                self.heard[replica.name] = Heard(RAN_BEFORE)
        waited_for = [r for r in replicas if r.state == "running" and not self._knows(r)]
        if not waited_for or now - self._listened.get(service, float("-inf")) < _LISTEN_SECONDS:
            return
        self._listened[service] = now
        said = self._said(service, waited_for)
        for replica in waited_for:
            listener = self._listeners.setdefault((replica.name, replica.started_at), Listener())
            listener.listen(said[replica.name], now)
            self.heard[replica.name] = listener.heard
        if now - self._asked >= _ASK_SECONDS and (silent := [r for r in waited_for if not self._knows(r)]):
            self._ask_over_broker(silent)

    def own_file(self, service: str, replicas: Sequence[Replica], lines: int) -> tuple[str, tuple[str, ...]]:
        """The file that its worker writes its log to instead, and its last lines since the start; empty without."""
        pattern = self._runtime.stack.logfiles.get(service, "")
        for replica in replicas if pattern else ():
            if found := self._new_lines(replica)[-lines:]:
                return _path(pattern, replica), found
        return pattern, ()

    def _said(self, service: str, replicas: Sequence[Replica]) -> dict[str, list[str]]:
        """Replica -> what it has said in this life."""
        said: dict[str, list[str]] = {replica.name: [] for replica in replicas}
        begins = [replica.started_at - _EARLY_SECONDS for replica in replicas if replica.started_at is not None]
        with self._runtime.logs([service], since=min(begins, default=None)) as lines:
            for line in lines:
                if line.replica in said:
                    said[line.replica].append(line.text)
        for replica in replicas:
            said[replica.name] += self._new_lines(replica)
        return said

    def _new_lines(self, replica: Replica) -> tuple[str, ...]:
        lines, old = self._lines_of(replica, _FAR_BACK), self._old.get(replica.service, ())
        ends = range(len(lines), len(old) - 1, -1) if old else ()
        return lines[next((end for end in ends if lines[end - len(old) : end] == old), 0) :]

    def _lines_of(self, replica: Replica, count: int) -> tuple[str, ...]:
        """The last lines of its own file, from this machine's side where that is one of its folders."""
        if not (pattern := self._runtime.stack.logfiles.get(replica.service)):
            return ()
        path = _path(pattern, replica)
        place = here(self._runtime.stack.services[replica.service], path)
        return (logfiles.tail(Path(place), count) if place else ()) or self._runtime.tail(replica.name, path, count)

    def _knows(self, replica: Replica) -> bool:
        return bool(self.heard.get(replica.name, Heard()).ready)

    def _ask_over_broker(self, replicas: Sequence[Replica]) -> None:
        if self._ask is None:
            return
        try:
            nodes = [node.partition("@") for node in self._ask()]
        except DevctlError:  # from here it cannot be reached: what they say has to do
            self._ask = None
            return
        self._asked = self._clock.now()
        for replica in replicas:
            if any(name == replica.name or host == replica.hostname for name, _, host in nodes):
                self.heard[replica.name] = Heard("answers")


def _path(pattern: str, replica: Replica) -> str:
    return logfile(pattern, f"celery@{replica.hostname}")
