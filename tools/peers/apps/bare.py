"""No framework, two ways: what the same Redis and the same Python do at most.

`bare` reads messages in Celery's format, registers each claimed one by itself, so that it could be given back alone,
and acknowledges the batch: what a transport must do at the least. `lean` has a format of its own and one list of
claimed messages for each process: what someone would write who needs no Celery. Both are at least once; neither has
leases, retries or a stop.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
import uuid
from typing import Any

import redis

from apps.settings import PORT, QUEUE, RESULT_SECONDS, RESULTS
from tally import tally

BATCH = 100
DATE = "2026-11-26T00:00:00.000000+00:00"

# KEYS: queue, claimed (hash: number -> message), deadlines (zset), counter. ARGV: how many, a deadline.
# Returns number, message, number, message, …
CLAIM = """
local raw = redis.call('RPOP', KEYS[1], ARGV[1])
if not raw then return {} end
local last = redis.call('INCRBY', KEYS[4], #raw)
local claimed, deadlines, got = {}, {}, {}
for i = 1, #raw do
    local number = last - #raw + i
    claimed[2 * i - 1], claimed[2 * i] = number, raw[i]
    deadlines[2 * i - 1], deadlines[2 * i] = ARGV[2], number
end
redis.call('HSET', KEYS[2], unpack(claimed))
redis.call('ZADD', KEYS[3], unpack(deadlines))
return claimed
"""

# KEYS: queue, this process's list. ARGV: how many. Returns the messages.
TAKE = """
local raw = redis.call('RPOP', KEYS[1], ARGV[1])
if not raw then return {} end
redis.call('LPUSH', KEYS[2], unpack(raw))
return raw
"""


def message(number: int) -> str:
    """One in Celery's protocol 2, as kombu writes it."""
    task_id = str(uuid.uuid4())
    headers = {
        "lang": "py", "task": "noop", "id": task_id, "shadow": None, "eta": None, "expires": None, "group": None,
        "group_index": None, "retries": 0, "timelimit": [None, None], "root_id": task_id, "parent_id": None,
        "argsrepr": f"({number},)", "kwargsrepr": "{}", "origin": "gen1@peers", "ignore_result": not RESULTS,
        "replaced_task_nesting": 0, "stamped_headers": None, "stamps": {},
    }  # fmt: skip
    properties = {
        "correlation_id": task_id,
        "reply_to": str(uuid.uuid4()),
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": QUEUE},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": str(uuid.uuid4()),
    }
    embedded = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    body = base64.b64encode(json.dumps([[number], {}, embedded]).encode()).decode()
    whole = {"body": body, "content-encoding": "utf-8", "content-type": "application/json"}
    return json.dumps(whole | {"headers": headers, "properties": properties})


def noop(number: int) -> int:
    tally.done(number)
    return number


def bare(client: redis.Redis, pipe: Any) -> bool:
    """One batch; whether there was one."""
    claim = client.register_script(CLAIM)
    got = claim(keys=[QUEUE, "claimed", "deadlines", "counter"], args=[BATCH, time.time() + 60])
    for raw in got[1::2]:
        one = json.loads(raw)
        args, kwargs, _ = json.loads(base64.b64decode(one["body"]))
        result = noop(*args, **kwargs)
        if RESULTS:
            task_id = one["headers"]["id"]
            meta = {
                "status": "SUCCESS", "result": result, "traceback": None, "children": [], "date_done": DATE,
                "task_id": task_id,
            }  # fmt: skip
            pipe.set(f"celery-task-meta-{task_id}", json.dumps(meta), ex=RESULT_SECONDS)
    if got:
        pipe.hdel("claimed", *got[::2])
        pipe.zrem("deadlines", *got[::2])
        pipe.execute()
    return bool(got)


def lean(client: redis.Redis, pipe: Any) -> bool:
    """The same for messages of the form {"id", "args"}."""
    take, mine = client.register_script(TAKE), f"claimed-{os.getpid()}"
    got = take(keys=[QUEUE, mine], args=[BATCH])
    for raw in got:
        one = json.loads(raw)
        result = noop(*one["args"])
        if RESULTS:
            pipe.set(f"result-{one['id']}", json.dumps(result), ex=RESULT_SECONDS)
    if got:
        pipe.delete(mine)
        pipe.execute()
    return bool(got)


class Sender:
    """`PEERS_LEAN=1` for the lean format."""

    def __init__(self) -> None:
        self._client = redis.Redis(port=PORT)
        self._lean = os.environ.get("PEERS_LEAN") == "1"

    def _message(self, number: int) -> str:
        return json.dumps({"id": str(uuid.uuid4()), "args": [number]}) if self._lean else message(number)

    async def send(self, _: str, argument: int, __: float) -> None:
        self._client.lpush(QUEUE, self._message(argument))

    async def many(self, _: str, arguments: list[int]) -> None:
        self._client.lpush(QUEUE, *map(self._message, arguments))

    async def close(self) -> None:
        self._client.close()


def main(kind: str) -> None:
    """Run until killed."""
    client = redis.Redis(port=PORT)
    pipe, batch = client.pipeline(transaction=False), {"bare": bare, "lean": lean}[kind]
    while True:
        if not batch(client, pipe):
            time.sleep(0.005)


if __name__ == "__main__":
    main(*sys.argv[1:])
