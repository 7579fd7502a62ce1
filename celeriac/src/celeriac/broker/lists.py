"""The Redis lists of a queue, as kombu names them: one for each step of priority."""

from bisect import bisect
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from kombu.utils.encoding import bytes_to_str

STEPS = (0, 3, 6, 9)  # kombu's default: 0 is first; the others have a list of their own
SEPARATOR = "\x06\x16"


class _Names:
    """How the lists of this process's broker are named. Set once, before anything is read or written."""

    separator = SEPARATOR
    steps: tuple[int, ...] = STEPS


NAMES = _Names()


def named_by(options: Mapping[str, Any]) -> None:
    """Take `sep` and `priority_steps` from an app's broker_transport_options: the app of a worker, or of a command."""
    NAMES.separator = options.get("sep") or SEPARATOR
    NAMES.steps = tuple(sorted(options.get("priority_steps") or STEPS))
    lists.cache_clear()


@lru_cache(maxsize=1_000)
def lists(queue: str) -> tuple[str, ...]:
    """All lists of this queue; workers take from the first one first."""
    return tuple(f"{queue}{NAMES.separator}{step}" if step else queue for step in NAMES.steps)


def queue_of(list_key: Any) -> str:
    """The queue that a priority list belongs to."""
    key = str(bytes_to_str(list_key))
    queue, separator, step = key.rpartition(NAMES.separator)
    return queue if separator and step.isdecimal() else key


def list_of(queue: str, priority: int) -> str:
    """The list for messages of this priority, 0 to 9; a number outside counts as the nearest one."""
    return lists(queue)[bisect(NAMES.steps, max(0, min(priority, 9))) - 1]
