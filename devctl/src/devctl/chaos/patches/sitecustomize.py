"""Loaded by every Python process that has this folder on its path: those whose clock libfaketime moves.

From 3.11 on Python sleeps until a moment of the monotonic clock. libfaketime moves that moment too, although it was
told to leave this clock alone, and the call fails. A wait for nothing needs no clock.
"""

import select
import time


def sleep(seconds: float) -> None:
    """As time.sleep."""
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], seconds)


time.sleep = sleep  # type: ignore[assignment]  # of whole numbers too
