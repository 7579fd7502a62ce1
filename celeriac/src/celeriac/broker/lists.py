"""The Redis lists of a queue, as kombu names them: one for each step of priority."""

from bisect import bisect
from functools import lru_cache
from typing import Any

from kombu.utils.encoding import bytes_to_str

STEPS = (0, 3, 6, 9)  # kombu's default: 0 is first; the others have a list of their own
SEPARATOR = "\x06\x16"


@lru_cache(maxsize=1_000)
def lists(queue: str) -> tuple[str, ...]:
    """All lists of this queue; workers take from the first one first."""
    return (queue, *(f"{queue}{SEPARATOR}{step}" for step in STEPS[1:]))


def queue_of(list_key: Any) -> str:
    """The queue that a priority list belongs to."""
    return str(bytes_to_str(list_key)).partition(SEPARATOR)[0]


def list_of(queue: str, priority: int) -> str:
    """The list for messages of this priority, 0 to 9; a number outside counts as the nearest one."""
    return lists(queue)[bisect(STEPS, max(0, min(priority, 9))) - 1]
