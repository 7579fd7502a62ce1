"""A soft time limit interrupts the body of a task, and nothing else in its thread.

One thread can ask Python to raise an exception in another thread. Python raises it at some later line, wherever that
thread is then. So each task thread has a window. It is open while the body runs; only then the guard asks for the
exception. When the window closes, an exception that has not arrived is cancelled."""

import ctypes
import threading
from collections.abc import Callable
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
        self._due = False  # the guard asked for it while it was held off

    def call(self, running: Any, body: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call the body with the window open. Raises what the body raises, or SoftTimeLimitExceeded."""
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
        """No interruption from here on: the body has called code of ours that must not stop half way. False: it was
        held off before."""
        try:
            with self._lock:
                was, self._held_off = self._held_off, True
            for _ in ONCE:  # Python raises it at the end of a loop: so here, at the latest
                pass
        except SoftTimeLimitExceeded:
            self._held_off = False
            raise
        return not was

    def let_on(self) -> None:
        """Interruptions are allowed again. Raises SoftTimeLimitExceeded if the guard asked for it meanwhile."""
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
    """Call the body of this thread's task, so that a soft limit can interrupt it. A plain call without a soft limit,
    and for a body that another body calls."""
    window = HERE.window
    if window is None or (running := HERE.running) is None:
        return body(*args, **kwargs)
    HERE.running = None  # if this body calls another one, the limit is that of the first
    return window.call(running, body, *args, **kwargs)
