"""`breakpoint()` in a task or an endpoint: a prompt of pdb in a terminal, one line in the log where there is none.

In a service nobody answers a prompt: the task would wait for ever, or fail when its input ends. And while somebody
looks at a task, no time limit may end it."""

import logging
import os
import sys
import threading
from typing import Any

from celeriac.events import emit

HINT = "there is no terminal here. Run the service in one (with devctl: devctl run SERVICE)"

_turn = threading.RLock()  # of several threads that stand at a breakpoint, one has the terminal
_stopped: set[int] = set()  # threads with an open prompt


def somebody_looks() -> bool:
    """Whether a prompt is open in this process, or an editor is connected through debugpy."""
    if _stopped:
        return True
    debugpy: Any = sys.modules.get("debugpy")
    return debugpy is not None and bool(debugpy.is_client_connected())


def goes_on(thread: threading.Thread) -> threading.Thread:
    """Have debugpy, which stops all threads at a breakpoint, leave this one alone. To be called before its start."""
    thread.pydev_do_not_trace = True  # type: ignore[attr-defined]  # what debugpy asks a thread for
    return thread


def install() -> None:
    """Make `breakpoint()` do what it says above, unless PYTHONBREAKPOINT or a debugger has said what it does."""
    if "PYTHONBREAKPOINT" not in os.environ and sys.breakpointhook is sys.__breakpointhook__:
        sys.breakpointhook = _stop_here


def _stop_here(*_: Any, **__: Any) -> None:
    import inspect  # here alone: most processes never need it

    here = inspect.currentframe()
    frame = here and here.f_back
    assert frame is not None, "this is CPython, and somebody called"
    if sys.stdin is None or not sys.stdin.isatty():
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        emit("breakpoint.passed", level=logging.WARNING, where=where, hint=HINT)
        return
    _prompt().set_trace(frame)


def _prompt() -> Any:
    from pdb import Pdb  # its modules are 3 MB, and most processes never need them

    class Prompt(Pdb):
        def interaction(self, *args: Any, **kwargs: Any) -> None:
            _stopped.add(threading.get_ident())
            try:
                with _turn:
                    super().interaction(*args, **kwargs)
            finally:
                _stopped.discard(threading.get_ident())

        def do_quit(self, arg: str) -> Any:
            """Go on without stops. (An error in the body would make a dead letter of the message.)"""
            self.message("the task goes on; Ctrl-C ends the service")
            return self.do_continue(arg)

        do_q = do_exit = do_EOF = do_quit

    redirected = sys.stdout is not sys.__stdout__  # into the log, as Celery's worker does
    return Prompt(nosigint=True, stdout=sys.__stdout__ if redirected else None)
