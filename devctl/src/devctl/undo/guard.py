"""Whatever ends devctl, what it started for a run is put back: by devctl itself, or by a guard that outlives it.

The guard is a small detached process at the other end of a pipe. It is told each step before the thing to be undone
is done. The pipe's end without the word "done" means that devctl died, also by kill -9, and the guard does the rest.

    with guarding(settings, undo) as guard:
        guard.add(Stop(("worker",)))       # then start the worker
        …                                  # leaving the block puts everything back, the last first
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any

from devctl.errors import DevctlError, Interrupted
from devctl.settings import Settings
from devctl.undo.steps import Step, backwards, to_json

_ENDINGS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
_FAREWELL_SECONDS = 5.0


class Guard:
    """The list of what has to be put back."""

    def __init__(
        self, perform: Callable[[Step], None], tell: Callable[[dict[str, Any]], None] = lambda _: None
    ) -> None:
        self._perform, self._tell = perform, tell
        self._steps: dict[int, Step] = {}
        self._next = 0
        self.failures: list[str] = []
        """What could not be put back."""

    def add(self, step: Step) -> int:
        """Remember a step, before the thing is done that it undoes; returns its number."""
        self._next += 1
        self._steps[self._next] = step
        self._tell({"add": self._next, "step": to_json(step)})
        return self._next

    def undo(self, number: int) -> None:
        """Do one step now, and strike it off the list."""
        self._perform(self._steps[number])
        self.drop(number)

    def drop(self, number: int) -> None:
        """Strike a step off the list: there is nothing left to put back."""
        del self._steps[number]
        self._tell({"drop": number})

    def undo_all(self) -> None:
        """Do all that is left, the last first; what does not work stays on the list, and is in `failures`."""
        backwards(dict(self._steps), self._perform, self._note)

    def _note(self, number: int, problem: str) -> None:
        if problem:
            self.failures.append(f"{json.dumps(to_json(self._steps[number]))}: {problem}")
        else:
            self.drop(number)


@contextmanager
def guarding(
    settings: Settings, runtime: str, perform: Callable[[Step], None], holds: Sequence[int] = ()
) -> Iterator[Guard]:
    """A guard for a block; `runtime` is the name of the one that was chosen.

    The guard process keeps the descriptors `holds` open until it has ended: a lock among them lasts as long.

    SIGTERM and SIGHUP end the block as Ctrl-C does. A second Ctrl-C, while things are being put back, leaves the rest
    to the guard process.
    """
    with _endings_interrupt() as quiet:
        process = _spawn(settings, runtime, holds)
        try:
            guard = Guard(perform, _teller(process))
            try:
                yield guard
            finally:
                quiet()
                _put_back(guard, settings.state / "guard")
                _dismiss(process)
        finally:
            with suppress(OSError):
                _pipe(process).close()
            # Not dismissed, after a failure or a second Ctrl-C, it goes on by itself, and nobody waits for it.
            process.returncode = process.returncode if process.returncode is not None else 0


def _put_back(guard: Guard, logs: Path) -> None:
    """Undo everything, or say that the guard process now does; an error that was on its way is not forgotten."""
    ended = sys.exception()
    try:
        guard.undo_all()
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted while putting things back: that goes on in the background",
            hint=f"what came of it: {logs}\nwhat runs: devctl ps",
        ) from None
    if guard.failures:
        raise _unfinished(ended, guard.failures, logs) from ended


def _unfinished(ended: BaseException | None, failures: Sequence[str], logs: Path) -> DevctlError:
    """The error that was on its way, if there was one, and what could not be put back."""
    left = "some things could not be undone; a background process goes on trying"
    hint = f"what came of it: {logs}\nwhat runs: devctl ps"
    if isinstance(ended, KeyboardInterrupt):
        return Interrupted(f"interrupted, and {left}", details=failures, hint=hint)
    if not isinstance(ended, DevctlError):
        return DevctlError(left, details=failures, hint=hint)
    both = DevctlError(ended.problem, details=[*ended.details, left, *failures], hint=f"{ended.hint}\n{hint}".strip())
    both.exit_code = ended.exit_code
    return both


def _spawn(settings: Settings, runtime: str, holds: Sequence[int]) -> subprocess.Popen[bytes]:
    folder = settings.state / "guard"
    folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "devctl.guard", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=settings.root,
        pass_fds=holds,
        start_new_session=True,  # no Ctrl-C and no hang-up of the terminal reaches it
    )
    who = {
        "root": str(settings.root),
        "compose_file": str(settings.compose_file),
        "overrides": [str(file) for file in settings.overrides],
        "env_files": [str(file) for file in settings.env_files],
        "runtime": runtime,
        "stack": settings.stack,
        "environment": dict(settings.environment),  # over the pipe: arguments and files can be read by others
    }
    _teller(process)(who)
    return process


def _teller(process: subprocess.Popen[bytes]) -> Callable[[dict[str, Any]], None]:
    def tell(document: dict[str, Any]) -> None:
        with suppress(OSError):  # a guard that died guards nothing, but the work can go on
            _pipe(process).write(json.dumps(document).encode() + b"\n")
            _pipe(process).flush()

    return tell


def _dismiss(process: subprocess.Popen[bytes]) -> None:
    _teller(process)({"done": True})
    with suppress(OSError):
        _pipe(process).close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_FAREWELL_SECONDS)


def _pipe(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdin is not None
    return process.stdin


@contextmanager
def _endings_interrupt() -> Iterator[Callable[[], None]]:
    """SIGTERM and SIGHUP become KeyboardInterrupt; calling what this yields makes them be ignored from then on."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's business
        yield lambda: None
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in _ENDINGS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # under nohup a hang-up means nothing
            signal.signal(number, interrupt)

    def quiet() -> None:
        for number in _ENDINGS:
            signal.signal(number, signal.SIG_IGN)

    try:
        yield quiet
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
