"""Claims whose lease is over: their worker died. Others of ours give them back; where only stock workers are left, who
know nothing of leases, nobody does."""

from __future__ import annotations

import redis

from celeriac.broker.keys import LEASES
from celeriac.broker.lists import SEPARATOR, STEPS
from celeriac.lease.restore import restore

# Our workers look every few seconds. What is over for longer than this, none of them has seen.
GRACE_SECONDS = 10


def expired(client: redis.Redis) -> int:
    """Count such claims."""
    seconds, micros = client.time()
    deadline = (seconds - GRACE_SECONDS) * 1_000_000 + micros
    return int(client.zcount(LEASES, "-inf", f"({deadline}"))


def give_back(client: redis.Redis) -> int:
    """Return such claims to their queues; how many went back."""
    return restore(client, SEPARATOR, STEPS, GRACE_SECONDS)
