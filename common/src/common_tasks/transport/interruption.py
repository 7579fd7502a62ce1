"""A soft time limit interrupts the body of a task, and nothing else in its thread.

Python raises an exception that another thread asks for at some later line, wherever the thread is by then. So a thread
has a window: it is open while the body runs, only then is the exception asked for, and when the window is closed what
was asked for and has not arrived is taken back."""

import ctypes
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded

ONCE = (None,)


class Window:
    """Of one task thread."""

    def __init__(self) -> None:
        self.thread_id = 0
        self._lock = threading.Lock()
        self._running: Any = None  # whose body may be interrupted
        self._held_off = False
        self._due = False  # it was asked for while it was held off

    def call(self, running: Any, body: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call what may be interrupted. Raises what the body raises, or SoftTimeLimitExceeded."""
        self._running = running
        try:
            return body(*args, **kwargs)
        finally:
            self._close()

    def interrupt(self, running: Any) -> bool:
        """Raise SoftTimeLimitExceeded in this body, at its next line of Python; False: it does not run now."""
        with self._lock:
            if running is None or self._running is not running:
                return False
            if self._held_off:
                self._due = True
            else:
                self._running = None  # once
                self._ask_for(SoftTimeLimitExceeded)
            return True

    def hold_off(self) -> bool:
        """Not now: the body has called something of ours that must not be left half done. False: it was so before."""
        try:
            with self._lock:
                was, self._held_off = self._held_off, True
            for _ in ONCE:  # Python looks for what was asked for at the end of a loop: it arrives here, at the latest
                pass
        except SoftTimeLimitExceeded:
            self._held_off = False
            raise
        return not was

    def let_on(self) -> None:
        """Raises SoftTimeLimitExceeded if it was asked for meanwhile."""
        with self._lock:
            self._held_off = False
            due, self._due = self._due, False
            if due:
                self._running = None
        if due:
            raise SoftTimeLimitExceeded

    def _close(self) -> None:
        with self._lock:
            self._running, self._due = None, False
            self._ask_for(None)

    def _ask_for(self, error: type[BaseException] | None) -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self.thread_id), None if error is None else ctypes.py_object(error)
        )


class _Here(threading.local):
    window: Window | None = None  # of this thread, while it runs a task with a soft limit
    running: Any = None


HERE = _Here()


def limited(body: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call the body of this thread's task. Without a soft limit, and inside another body, it is a plain call."""
    window, running = HERE.window, HERE.running
    if window is None or running is None:
        return body(*args, **kwargs)
    HERE.running = None  # a body that calls another one: the first is what is limited
    return window.call(running, body, *args, **kwargs)


def interruptible(run: Callable[..., Any]) -> Callable[..., Any]:
    """A task's `run`, for where Celery's tracer calls it."""

    @wraps(run)
    def called(*args: Any, **kwargs: Any) -> Any:
        return limited(run, *args, **kwargs)

    called.limits = run  # type: ignore[attr-defined]
    return called
