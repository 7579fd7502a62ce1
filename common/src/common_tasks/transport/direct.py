"""Where no claim is ours (Celery's prefork pool, kombu's own transport): what a body wants is one step, its result and
its acknowledgement follow. A worker that dies between them runs the body again, and the record makes that harmless."""

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import redis

from common_tasks.errors import PermanentError
from common_tasks.redis_url import redis_py_url
from common_tasks.transport import keys
from common_tasks.transport.commit import Commit
from common_tasks.transport.scripts import Script

if TYPE_CHECKING:
    from celery import Celery

OUTCOME = Script("outcome")
CLAIM_SECONDS = 60  # only the script that follows looks at it


def commit_directly(app: "Celery", commit: Commit, raw: bytes = b"") -> bool:
    """False: its record was there, and nothing happened. Raises PermanentError where it can never be committed. `raw`
    is the message, for a dead letter."""
    if not (commit.record_key or commit.effects or commit.children or commit.dead_key or commit.due):
        return True
    client = _client(app)
    # The script wants a lease. This one is nobody's but ours, for as long as the two steps take.
    commit.tag = f"direct-{uuid4()}"
    seconds, microseconds = client.time()
    fence = seconds * 1_000_000 + microseconds + CLAIM_SECONDS * 1_000_000
    with client.pipeline() as pipe:
        pipe.zadd(keys.LEASES, {commit.tag: fence})
        if raw:
            pipe.hset(keys.UNACKED, commit.tag, b'[%b,"",""]' % raw)
        pipe.execute()
    names = [keys.UNACKED, keys.LEASES, keys.STARTS, keys.DUE]
    _, repeated, left = OUTCOME(client, names, [1, *commit.arguments(fence)])
    if left:
        client.zrem(keys.LEASES, commit.tag)
        commit.record_key = ""  # what stands there is another's: its letter is not kept back by it
        raise PermanentError(left[1].decode())
    return not repeated


def publish_ahead(app: "Celery", commit: Commit) -> None:
    """What a body has sent so far, ahead of its outcome: it is going to wait for what comes of it. As with stock Celery
    it is sent again if the body runs again."""
    ahead = Commit("")
    ahead.children, ahead.due = commit.children, commit.due
    commit_directly(app, ahead)
    commit.children, commit.due, commit.of_the_work = (), (), 0


def _client(app: Any) -> redis.Redis:
    """One for each process: a forked child must not speak on its parent's connection (redis-py sees to that)."""
    client: redis.Redis | None = getattr(app, "direct_client", None)
    if client is None:
        client = app.direct_client = redis.Redis.from_url(
            redis_py_url(app.conf.broker_url), socket_timeout=5.0, socket_connect_timeout=2.0
        )
    return client
