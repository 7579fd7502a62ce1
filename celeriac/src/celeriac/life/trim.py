"""Forgets the oldest records."""

import redis

from celeriac.broker import keys
from celeriac.broker.options import Options
from celeriac.broker.scripts import Script

AT_ONCE = 1_000  # entries in one call of the script: Redis serves nobody else meanwhile
MOST_CALLS = 100  # in one turn

TRIM = Script("life/trim")


def trim(client: redis.Redis, options: Options) -> int:
    """Forget records that are too old, and those for which there is no room. Returns how many entries. (Redis removes
    whole pieces of a stream, so a few more stay.)"""
    removed = 0
    for _ in range(MOST_CALLS):
        arguments = [int(options.life_seconds * 1000), options.life_bytes, AT_ONCE, int(options.life_length == 0)]
        now = int(TRIM(client, [keys.LIFE], arguments))
        removed += now
        if not now:
            break
    return removed
