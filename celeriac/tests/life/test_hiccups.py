"""A broker that refuses, or is away, for a moment: no message is blamed for it, and no worker ends of it."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import redis
from celeriac.tests.conftest import RunningWorker, start_worker
from celeriac.tests.life.spoiled import protocol_2, upper, written
from celeriac.tests.life.world import dead, done, full, holding, message
from redis.exceptions import BusyLoadingError, OutOfMemoryError, ReadOnlyError, ResponseError

from celeriac.broker import keys
from celeriac.claim.claims import CLAIM
from celeriac.errors import NotPublished
from celeriac.lease.leases import START
from celeriac.lease.starts import Starts
from celeriac.outcome.committer import OUTCOME
from celeriac.publish.attempts import Patience
from celeriac.publish.outgoing import Outgoing
from celeriac.publish.publisher import Publisher
from celeriac.run.delivery import Delivery
from celeriac.run.ends import Ends
from celeriac.run.refusals import Refusals
from celeriac.run.threads import Job

pytestmark = pytest.mark.integration

SERVICE = Path(__file__).parents[1] / "misbehaving.py"
BUSY = ResponseError("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.")


class Busy:
    """A Redis that answers -BUSY to everybody, as one whose script runs for too long; while it is a context."""

    def __init__(self, port: int) -> None:
        self._client = redis.Redis(port=port, socket_timeout=60)
        self._client.config_set("lua-time-limit", 1)

    def __enter__(self) -> None:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        time.sleep(0.05)

    def _run(self) -> None:
        with pytest.raises(ResponseError, match="killed"):
            self._client.eval("while true do end", 0)

    def __exit__(self, *_: object) -> None:
        self._client.script_kill()
        self._thread.join()


@pytest.fixture
def worker(redis_to_break: Any, tmp_path: Path) -> Iterator[Callable[..., RunningWorker]]:
    started: list[RunningWorker] = []

    def start(port: int = redis_to_break.port) -> RunningWorker:
        url = f"redis://127.0.0.1:{port}/0"
        some = {"WORKER_CONCURRENCY": "2", "CELERY_LEASE_SECONDS": "2", "LOG_LEVEL": "info"}
        worker = start_worker([str(SERVICE)], url, tmp_path, **some)
        started.append(worker)
        return worker

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()


def push(client: redis.Redis, task: str = "test.upper", *, came_back: bool = False) -> str:
    task_id, tag = str(uuid.uuid4()), str(uuid.uuid4())
    args = [upper(task_id)] if task == "test.upper" else ["a"]
    raw = written(protocol_2(task, args, task_id, tag), ())
    while True:
        pipe = client.pipeline(transaction=True)  # or it is claimed before it is known to have come back
        if came_back:
            pipe.hset(keys.STARTS, tag, 0)
        pipe.lpush("test", raw)
        try:
            pipe.execute()
        except ResponseError:
            time.sleep(0.05)  # busy, by now
        else:
            return task_id


def wait_for(client: redis.Redis, ids: list[str], seconds: float = 20.0) -> None:
    """A claim whose answer was lost is back after its lease, and some seconds."""
    deadline = time.monotonic() + seconds
    while missing := [one for one in ids if client.get(f"celery-task-meta-{one}") is None]:
        assert time.monotonic() < deadline, f"{len(missing)} of {len(ids)} are not done"
        time.sleep(0.02)
    states = {json.loads(client.get(f"celery-task-meta-{one}"))["status"] for one in ids}  # type: ignore[arg-type]
    assert {"SUCCESS"} == states
    assert [] == dead(client, "test")


@pytest.mark.parametrize(
    "word",
    ["PING", "SADD", "SUBSCRIBE", "EVALSHA", "SCRIPT", "TRACKING", "EXISTS", CLAIM.sha, START.sha, OUTCOME.sha],
    ids=lambda word: {CLAIM.sha: "claim", START.sha: "start", OUTCOME.sha: "outcome"}.get(word, word),
)
def test_a_worker_waits_for_a_redis_that_is_busy_when_it_sends_this_for_the_first_time(
    word: str, redis_to_break: Any, worker: Callable[..., RunningWorker], line: Any
) -> None:
    line = type(line)(redis_to_break.port)
    ends: list[threading.Timer] = []
    first = threading.Lock()

    def requests(piece: bytes) -> bytes:
        if word.encode() in piece and first.acquire(blocking=False):
            busy = Busy(redis_to_break.port)
            busy.__enter__()
            timer = threading.Timer(0.6, busy.__exit__)
            timer.start()
            ends.append(timer)
        return piece

    line.requests = requests
    with redis.Redis(port=redis_to_break.port) as client:
        started = worker(line.port)
        started.wait_until_ready()
        if ends:
            ends[0].join()
        ids = [push(client, task, came_back=True) for task in ("test.celerys", "test.plain", "test.upper")]
        deadline = time.monotonic() + 10
        while not ends:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        ends[0].join()
        wait_for(client, [*ids, push(client)])
        assert started.process.poll() is None, started.output()
        assert 2 == started.output().count('"event": "task.started"')  # of the two contracts: an outcome is kept
    line.close()


def test_a_worker_waits_for_a_redis_that_is_full_as_it_starts(redis_to_break: Any, worker: Any) -> None:
    with redis.Redis.from_url(redis_to_break.url) as client:
        full(client)
        started = worker()
        time.sleep(3.0)
        assert started.process.poll() is None, started.output()
        client.config_set("maxmemory", 0)
        started.wait_until_ready()
        wait_for(client, [push(client)])


@pytest.mark.parametrize("error", [BUSY, redis.ConnectionError("refused"), redis.InvalidResponse("no protocol")])
def test_an_outcome_is_kept_while_redis_refuses_a_new_connection(
    error: Exception, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis 6.2 says -BUSY to the SELECT of who connects."""
    with redis.Redis.from_url(redis_url) as client:
        committer, tags = holding(client, message())
        with monkeypatch.context() as refusing:
            refusing.setattr(client.connection_pool, "get_connection", Mock(side_effect=error))
            committer.submit(done(tags[0]))
            committer.flush()
        assert committer.commit_all(5.0)
        assert b'"fine"' == client.get("celery-task-meta-a")
        assert [] == dead(client)


@pytest.mark.parametrize(
    "error",
    [
        BUSY,
        redis.ConnectionError("Connection closed by server."),
        redis.TimeoutError("Timeout reading from socket"),
        BusyLoadingError("Redis is loading the dataset in memory"),
        OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
        ReadOnlyError("You can't write against a read only replica."),
        ResponseError("MISCONF Redis is configured to save RDB snapshots"),
        BrokenPipeError(32, "Broken pipe"),
    ],
    ids=lambda error: str(error)[:20],
)
def test_an_error_of_the_broker_while_a_message_is_handed_over_is_not_the_messages(
    error: Exception, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("celeriac.run.delivery.AGAIN_SECONDS", 0.0)
    client = redis.Redis.from_url(redis_url)
    raw = message()
    committer, (tag,) = holding(client, raw)
    delivered: list[Any] = []
    failing = [error]

    def deliver(message: Any, queue: str) -> None:
        if failing:
            raise failing.pop()
        delivered.append(message)

    app: Any = SimpleNamespace(tasks=["tasks.x"], conf=SimpleNamespace(accept_content=["json"]))
    starts = Starts(committer.leases, committer.commit_all, 3)
    ends = Ends(app, "worker", committer.submit, starts.end)
    delivery = Delivery(app, client, committer, committer.leases, starts, ends, Refusals(), in_celerys_pool=False)
    delivery.channel = SimpleNamespace(connection=SimpleNamespace(_deliver=deliver))
    delivery.add(Job(None, json.loads(raw), raw, tag, "orders"))
    delivery.pump()
    assert ([], [tag], {}) == (delivered, list(committer.leases.held), delivery.delivered)
    delivery.pump()
    assert [tag] == [one["properties"]["delivery_tag"] for one in delivered]
    assert [] == dead(client)
    client.close()


def test_a_busy_redis_has_certainly_not_published_and_the_same_again_does(redis_to_break: Any) -> None:
    patience = Patience(attempts=2, first_seconds=0.01)
    outgoing = Outgoing("tasks.x", "a", "orders", "orders", "print", 60_000, message())

    def published() -> bool:
        with redis.Redis(port=redis_to_break.port, retry=None) as client:
            return Publisher(client, 10, patience).publish(outgoing)

    with Busy(redis_to_break.port), pytest.raises(NotPublished, match="BUSY"):
        published()
    assert [True, False] == [published(), published()]
