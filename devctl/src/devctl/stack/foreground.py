"""A service's command in this terminal: it has the keyboard, and its Ctrl-C is its own."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from devctl.errors import DevctlError

INTERRUPTED = 130
_OF_THE_TERMINAL = ("TERM", "COLORTERM", "NO_COLOR", "COLUMNS", "LINES")
_TO_DEBUG = {"WORKER_POOL": "threads"}  # a child process of prefork has no terminal
_READABLE = {"LOG_FORMAT": "auto"}  # columns for a terminal, where the Compose file says JSON


def of_the_terminal(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what a service needs to work in this terminal, and what it needs to stop at a breakpoint."""
    passed = {key: environment[key] for key in _OF_THE_TERMINAL if key in environment}
    return {**passed, **_READABLE, **_TO_DEBUG}


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Leave a Ctrl-C to the command that has the terminal; what is yielded notes it."""
    came: list[int] = []
    ours = signal.signal(signal.SIGINT, lambda number, _: came.append(number))  # SIG_IGN would be inherited
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, ours)


@contextmanager
def same_terminal() -> Iterator[None]:
    """Leave the terminal as it was: what is killed while it reads keys one by one leaves no echo and no line ends."""
    try:
        before = termios.tcgetattr(sys.stdin)
    except (OSError, ValueError, termios.error):  # no terminal
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError, termios.error):
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def run(command: Sequence[str], environment: Mapping[str, str], folder: str, begun: Callable[[int], None]) -> int:
    """Run a command to its end and return its exit code, 128 + N for a signal, as a shell says it; 130 after a Ctrl-C.

    `begun` is called with its pid.
    """
    try:
        with (
            same_terminal(),
            interruptible() as interrupts,
            subprocess.Popen(list(command), env=dict(environment), cwd=folder) as process,
        ):
            try:
                begun(process.pid)
                code = process.wait()
            except BaseException:  # devctl is to end: so does the command
                process.terminate()
                raise
    except OSError as failed:
        raise DevctlError(f"{command[0]} cannot be started: {failed.strerror}", hint="devctl doctor") from failed
    if interrupts:
        return INTERRUPTED
    return code if code >= 0 else 128 - code


def with_debugpy(service: str, command: Sequence[str], port: int, environment: Mapping[str, str]) -> list[str]:
    """Return a command of Python that waits for an editor on this port before it begins."""
    python, *words = _of_python(service, command, environment)
    return [python, "-m", "debugpy", "--listen", f"127.0.0.1:{port}", "--wait-for-client", *words]


def check_debugpy(service: str, command: Sequence[str], environment: Mapping[str, str], folder: str) -> None:
    """DevctlError where this command cannot run under debugpy."""
    python, *_ = _of_python(service, command, environment)
    asked = subprocess.run(
        [python, "-c", "import debugpy"], env=dict(environment), cwd=folder, capture_output=True, check=False
    )
    if asked.returncode:
        raise DevctlError(
            f"the environment of {service} has no debugpy",
            hint=f"install debugpy for {python}, and run this once more",
        )


def _of_python(service: str, command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    program, *words = command
    python = program
    if not Path(program).name.startswith("python"):
        if not _is_python_script(program):
            raise DevctlError(
                f"{service} runs {Path(program).name}, which is not Python: debugpy cannot run it",
                hint=f"without it: devctl run {service}",
            )
        python, words = shutil.which("python", path=environment.get("PATH")) or sys.executable, [program, *words]
    return [python, *words]


def _is_python_script(program: str) -> bool:
    try:
        with open(program, "rb") as file:  # noqa: PTH123  # a few bytes
            first = file.readline(200)
    except OSError:
        return False
    return first.startswith(b"#!") and b"python" in first
