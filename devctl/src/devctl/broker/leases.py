"""Claims whose lease is over: their worker died. Others of ours give them back; where only stock workers are left, who
know nothing of leases, nobody does."""

from __future__ import annotations

import redis

from celeriac.broker.keys import LEASES, STARTS, UNACKED
from celeriac.broker.lists import SEPARATOR, STEPS
from celeriac.broker.scripts import Script

# Our workers look every few seconds. What is over for longer than this, none of them has seen.
GRACE_SECONDS = 10
_BATCH = 500  # in one step: a script blocks everyone else

_RESTORE = Script("lease/restore")


def give_back(client: redis.Redis) -> int:
    """Return such claims to their queues; how many went back."""
    total = 0
    while over := _over(client):
        restored = _RESTORE(
            client,
            [UNACKED, LEASES, STARTS],
            [min(over, _BATCH), GRACE_SECONDS * 1_000_000, SEPARATOR, *STEPS],
        )
        total += int(restored)
        if over <= _BATCH:
            break
    return total


def _over(client: redis.Redis) -> int:
    seconds, micros = client.time()
    deadline = (seconds - GRACE_SECONDS) * 1_000_000 + micros
    return int(client.zcount(LEASES, "-inf", f"({deadline}"))
