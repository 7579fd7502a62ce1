"""Watching: look, wait until the writing is over, compile, restart what uses the change, until somebody ends it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devctl.clock import Clock, SystemClock
from devctl.errors import DevctlError
from devctl.stack.port import Runtime
from devctl.stack.report import StartReport, failure
from devctl.stack.start import start
from devctl.watch.changes import Changes, Watcher
from devctl.watch.syntax import Broken, broken

LOOK_SECONDS = 0.1
SETTLE_SECONDS = 0.05  # an editor, a formatter or a checkout writes more than one file


@dataclass(frozen=True)
class Watching:
    """It has begun."""

    services: tuple[str, ...]
    files: int


@dataclass(frozen=True)
class Changed:
    """These files are other ones; their services are restarted."""

    files: tuple[Path, ...]
    services: tuple[str, ...]


@dataclass(frozen=True)
class Kept:
    """What changed cannot be compiled; the code that runs goes on."""

    broken: tuple[Broken, ...]
    services: tuple[str, ...]
    restarting: bool = False
    """Whether they were being restarted for an earlier change: which code runs is not known until that has ended."""


@dataclass(frozen=True)
class Live:
    """The services are ready again, with the new code."""

    report: StartReport
    seconds: float
    """From the moment in which the change was seen."""


@dataclass(frozen=True)
class Failed:
    """They are not, and why."""

    services: tuple[str, ...]
    problem: DevctlError


Event = Watching | Changed | Kept | Live | Failed


def watch(
    runtime: Runtime,
    watcher: Watcher,
    *,
    emit: Callable[[Event], None],
    go_on: Callable[[], bool] = lambda: True,
    timeout: float = 60.0,
    clock: Clock | None = None,
    stack: str = "",
) -> None:
    """Make each change of the code of the watcher's services live, as long as `go_on` says so.

    They run; one that was stopped stays so, and DevctlError where none runs any more. A file that cannot be compiled
    keeps all services as they are until it can be. A start that fails is told, and the next change is a new try.
    `timeout` (seconds) is for one start; `stack` is the name of an isolated stack.
    """
    clock = clock or SystemClock()
    emit(Watching(watcher.services, watcher.files))
    waiting: dict[str, set[Path]] = {}
    """What could not be compiled yet, and what changed with it."""
    superseded = False
    while go_on():
        if not (changes := watcher.look()) and not superseded:
            clock.sleep(LOOK_SECONDS)
            continue
        superseded = False
        seen = clock.now()
        _add(waiting, changes)
        while changes:
            clock.sleep(SETTLE_SECONDS)
            _add(waiting, changes := watcher.look())
        try:
            present = {replica.service for replica in runtime.status()}
        except DevctlError as problem:
            emit(Failed(tuple(waiting), problem))
            continue
        if not present & {*watcher.services}:
            option = f" --stack {stack}" if stack else ""
            raise DevctlError("nothing that is watched runs any more", hint=f"devctl up --watch{option}")
        waiting = {name: paths for name, paths in waiting.items() if name in present}
        if not waiting:
            continue
        names = tuple(name for name in watcher.services if name in waiting)
        files = tuple(sorted({path for paths in waiting.values() for path in paths}))
        if wrong := broken(files):
            emit(Kept(tuple(wrong), names))
            continue
        begun, waiting = waiting, {}
        emit(Changed(files, names))
        try:
            emit(_live(runtime, names, timeout, _Impatient(clock, watcher, waiting, emit), seen, stack))
        except _Superseded:
            _add(waiting, {name: sorted(paths) for name, paths in begun.items()})
            superseded = True


class _Superseded(Exception):  # never leaves this file
    """Something changed while a start waited for its services."""


class _Impatient:
    """A clock for a start: it need not wait any longer for code that is not the newest, if that can be compiled."""

    def __init__(
        self, clock: Clock, watcher: Watcher, waiting: dict[str, set[Path]], emit: Callable[[Event], None]
    ) -> None:
        self._clock, self._watcher, self._waiting, self._emit = clock, watcher, waiting, emit

    def now(self) -> float:
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)
        if changes := self._watcher.look():
            _add(self._waiting, changes)
            if wrong := broken(sorted({path for paths in self._waiting.values() for path in paths})):
                self._emit(Kept(tuple(wrong), tuple(changes), restarting=True))
            else:
                raise _Superseded


def _live(
    runtime: Runtime, names: tuple[str, ...], timeout: float, clock: Clock, seen: float, stack: str
) -> Live | Failed:
    try:
        report = start(runtime, names, timeout=timeout, clock=clock)
    except DevctlError as problem:
        return Failed(names, problem)
    if failed := failure(report, stack):
        return Failed(names, failed)
    return Live(report, clock.now() - seen)


def _add(waiting: dict[str, set[Path]], changes: Changes) -> None:
    for name, paths in changes.items():
        waiting.setdefault(name, set()).update(paths)
