"""Gives back the messages of workers that died or stall."""

import logging
from typing import Any

import redis

from celeriac.broker import keys
from celeriac.broker.scripts import Script
from celeriac.events import emit

RESTORE = Script("lease/restore")
OVER = "the lease of their worker was over"
AT_ONCE = 100  # messages in one call of the script: Redis serves nobody else meanwhile


def restore(client: redis.Redis, separator: str, steps: Any, over_seconds: float = 0.0) -> int:
    """Give back messages whose lease is over for longer than this. Returns how many. `separator` and `steps` are
    kombu's, of the lists for priorities."""
    back = 0
    while True:
        arguments = [AT_ONCE, int(over_seconds * 1e6), separator, *steps]
        got = int(RESTORE(client, [keys.UNACKED, keys.LEASES, keys.STARTS], arguments))
        back += got
        if got < AT_ONCE:
            break
    if back:
        emit("messages.returned", level=logging.WARNING, messages=back, why=OVER)
    return back
