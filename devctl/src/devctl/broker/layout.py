"""How kombu lays out a Redis: its transport options name the keys."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import redis

from celeriac.broker.lists import SEPARATOR, STEPS

BINDINGS = "_kombu.binding."
MAILBOX = "celery.pidbox"
REPLIES = "reply.celery.pidbox"  # Celery's name for the answers: a worker answers into a list or queue bound to it
_MOST_KEYS = 200_000  # looked at to find a prefix that nobody told


@dataclass(frozen=True)
class Layout:
    """What `broker_transport_options` say of names."""

    prefix: str = ""
    """`global_keyprefix`: before the name of each key and each channel."""
    separator: str = SEPARATOR
    """`sep`: between a queue and the number of a priority."""
    steps: tuple[int, ...] = STEPS
    """`priority_steps`: each has a list of its own."""
    fanout: str = "/{db}."
    """`fanout_prefix`: before the name of a channel."""

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Layout:
        """From the options of an app; what cannot be meant is left at kombu's default."""
        prefix, separator, steps = (options.get(name) for name in ("global_keyprefix", "sep", "priority_steps"))
        fanout = options.get("fanout_prefix", True)
        numbers = isinstance(steps, list | tuple) and all(isinstance(one, int) for one in steps)
        return cls(
            prefix if isinstance(prefix, str) else "",
            separator if isinstance(separator, str) and separator else SEPARATOR,
            tuple(sorted(steps)) if numbers and steps else STEPS,
            fanout if isinstance(fanout, str) else cls.fanout if fanout else "",
        )

    def key(self, name: str) -> str:
        """The key of this name."""
        return f"{self.prefix}{name}"

    def lists(self, queue: str) -> tuple[str, ...]:
        """The keys of all lists of this queue; workers take from the first one first."""
        return tuple(self.key(f"{queue}{self.separator}{step}" if step else queue) for step in self.steps)

    def topic(self, database: int) -> str:
        """The channel that workers listen to."""
        return self.key(self.fanout.replace("{db}", str(database)) + MAILBOX)

    def pattern(self, pattern: str) -> str:
        """For SCAN: keys whose name matches this pattern."""
        return re.sub(r"([*?\[\]\\])", r"\\\1", self.prefix) + pattern


def seen(client: redis.Redis, told: str | None = None) -> dict[str, str]:
    """The options of those who use this database, by the keys that are there; empty where nobody ever did. `told` is
    the prefix where a file says it.

    A question that is bound with another separator than the workers' own ends the worker that answers it.
    """
    prefix = told
    if told is None:
        prefix = "" if client.exists(f"{BINDINGS}{MAILBOX}") else _most_frequent_prefix(client)
    found = {"global_keyprefix": prefix} if prefix is not None else {}
    members = cast("set[bytes]", client.smembers(f"{prefix or ''}{BINDINGS}{MAILBOX}"))
    for member in members:  # an empty routing key, an empty pattern, the inbox of a worker
        if twice := re.match(r"(\W+?)\1(?=\w)", member.decode(errors="replace")):
            found["sep"] = twice[1]
    return found


def _most_frequent_prefix(client: redis.Redis) -> str | None:
    counts: Counter[str] = Counter()
    cursor, looked_at = 0, 0
    while looked_at < _MOST_KEYS:
        cursor, page = client.scan(cursor, match=f"*{BINDINGS}*", count=5_000)
        looked_at += 5_000
        counts.update(key.decode(errors="replace").partition(BINDINGS)[0] for key in cast("list[bytes]", page))
        if cursor == 0:
            break
    return counts.most_common(1)[0][0] if counts else None
