"""The one error boundary: every way out of devctl has its message and its exit code here."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from typer.exceptions import Abort, Exit, TyperException

from devctl import errors
from devctl.cli.app import app
from devctl.ui.console import forgiving

_OF_COMMANDS = {"--runtime": True, "--stack": True, "--json": False}
"""Options of the commands that look like devctl's own -> whether a value follows."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    _make_sure_of_streams()
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    try:
        code = _run(arguments, as_json="--json" in arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # `devctl … | head`: the reader has what it wanted
        for stream in (sys.stdout, sys.stderr):
            _forget(stream)
        return errors.OK
    return code


def _run(arguments: Sequence[str], *, as_json: bool) -> int:
    try:
        code = app(arguments, standalone_mode=False, prog_name="devctl")
    except Exit as done:
        return done.exit_code
    except TyperException as wrong:
        context = getattr(wrong, "ctx", None)
        hint = f"{context.command_path} --help" if context else "devctl --help"
        hint = _options_last(arguments) or hint
        return _fail(errors.UsageError(wrong.format_message(), hint=hint), as_json)
    except errors.DevctlError as problem:
        return _fail(problem, as_json)
    except (KeyboardInterrupt, Abort):
        return _fail(errors.Interrupted("interrupted"), as_json)
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # typer would make it exit code 1
            raise ended.__context__ from None
        raise
    except BrokenPipeError:
        raise
    except Exception as bug:
        return _bug(bug, as_json)
    if code == errors.INTERRUPTED:  # what typer makes of a Ctrl-C that no command explained
        return _fail(errors.Interrupted("interrupted"), as_json)
    return code if isinstance(code, int) else errors.OK


def _options_last(arguments: Sequence[str]) -> str:
    """Say how to write what was given before the command and belongs after it; "" where that is not what is wrong."""
    import shlex

    rest = list(arguments)
    while rest and (name := rest[0].partition("=")[0]) in _OF_COMMANDS:
        del rest[: 2 if _OF_COMMANDS[name] and "=" not in rest[0] else 1]
    moved = arguments[: len(arguments) - len(rest)]
    return f"options come after the command: devctl {shlex.join([*rest, *moved])}" if moved and rest else ""


def _make_sure_of_streams() -> None:
    """Python has none where they were closed before the start (`>&-`); and no symbol of ours may end a command."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115  # for the whole run
        forgiving(getattr(sys, name))


def _forget(stream: TextIO) -> None:
    """Send the rest to nowhere: what is still buffered would fail at the interpreter's end."""
    with suppress(OSError, ValueError):  # no file behind it
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _fail(problem: errors.DevctlError, as_json: bool) -> int:
    from devctl.ui.errors import show

    if not (problem.reported and as_json):
        show(problem, as_json=as_json)
    return problem.exit_code


def _bug(bug: Exception, as_json: bool) -> int:
    import traceback

    traceback.print_exception(bug, file=sys.stderr)
    problem = errors.DevctlError(
        f"this is a bug in devctl: {type(bug).__name__}: {bug}",
        hint="please report it with the traceback above and the output of: devctl doctor --json",
    )
    problem.exit_code = errors.BUG
    return _fail(problem, as_json)


def run() -> None:
    """The console script. A SIGTERM or a hang-up ends it as an error would: what it started is ended with it."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # under nohup a hang-up means nothing
            signal.signal(number, _ended)
    sys.exit(main())


def _ended(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    run()
