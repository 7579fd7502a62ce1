"""The one error boundary: every way out of devctl has its message and its exit code here."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from typer.exceptions import Abort, Exit, TyperException

from devctl import errors
from devctl.cli.app import app


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    as_json = "--json" in arguments
    try:
        code = app(arguments, standalone_mode=False, prog_name="devctl")
        sys.stdout.flush()
        return code if isinstance(code, int) else errors.OK
    except Exit as done:
        return done.exit_code
    except TyperException as wrong:
        context = getattr(wrong, "ctx", None)
        hint = f"{context.command_path} --help" if context else "devctl --help"
        return _fail(errors.UsageError(wrong.format_message(), hint=hint), as_json)
    except errors.DevctlError as problem:
        return _fail(problem, as_json)
    except (KeyboardInterrupt, Abort):
        return _fail(errors.Interrupted("interrupted"), as_json)
    except BrokenPipeError:  # `devctl … | head`: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return errors.OK
    except Exception as bug:
        return _bug(bug, as_json)


def _fail(problem: errors.DevctlError, as_json: bool) -> int:
    from devctl.ui.errors import show

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
    """The console script."""
    sys.exit(main())


if __name__ == "__main__":
    run()
