"""Messages that are valid but for a few places, among good ones, at a real worker: each good one is done, each bad one
is done or a dead letter byte for byte, nothing stays behind, and the worker lives.

Some hundred messages in every run, always the same ones. Many, and others each time, take minutes:

    MESSAGES=10000 .venv/bin/pytest celeriac/tests/life/test_bad_messages.py -s
"""

import json
import os
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from celeriac.tests.conftest import RunningWorker, start_worker
from celeriac.tests.life.spoiled import QUEUE, SPOILED, Change, Spoiled, marked, protocol_2, upper, written
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from celeriac.broker import keys
from celeriac.broker.lists import lists
from celeriac.message.reading import loads
from celeriac.message.schema import refusal

pytestmark = pytest.mark.integration

MESSAGES = int(os.environ.get("MESSAGES", "0"))
BATCH = 10  # bad messages at most, between good ones
PATIENCE_SECONDS = float(os.environ.get("PATIENCE", "8"))
FAR_SECONDS = 3600.0
COUNTED: Counter[str] = Counter()
SERVICE = Path(__file__).parents[1] / "misbehaving.py"


class Bench:
    """A worker, its Redis, and what became of the messages that were put there."""

    def __init__(self, url: str, folder: Path) -> None:
        self.client = redis.Redis.from_url(url)
        self._url, self._folder = url, folder
        self.worker: RunningWorker | None = None

    def ready(self) -> None:
        if self.worker is None or self.worker.process.poll() is not None:
            self.client.flushdb()
            (self._folder / "health").unlink(missing_ok=True)
            pool = os.environ.get("POOL", "threads")
            self.worker = start_worker(
                [str(SERVICE)], self._url, self._folder, WORKER_CONCURRENCY="2", WORKER_POOL=pool, LOG_LEVEL="info"
            )
            self.worker.wait_until_ready()

    def alive(self) -> bool:
        assert self.worker is not None
        return self.worker.process.poll() is None

    def kill(self) -> None:
        assert self.worker is not None
        self.worker.process.kill()
        self.worker.process.wait()

    def close(self) -> None:
        if self.worker is not None and self.alive():
            self.worker.stop()
        self.client.close()

    def push(self, raws: list[bytes]) -> None:
        pipe = self.client.pipeline(transaction=True)
        for raw in raws:
            pipe.lpush(QUEUE, raw)
        pipe.execute()

    def unfinished(self) -> str:
        """What waits, is held, or is due soon."""
        seconds, _ = self.client.time()
        soon = (seconds + FAR_SECONDS) * 1e6
        pipe = self.client.pipeline(transaction=False)
        for name in lists(QUEUE):
            pipe.llen(name)
        pipe.hlen(keys.UNACKED).zcard(keys.LEASES).zcount(keys.DUE, 0, soon)
        *waiting, held, leases, due = pipe.execute()
        left = f"{sum(waiting)} wait, {held} held, {leases} leases, {due} due"
        return left if any((*waiting, held, leases, due)) else ""

    def settle(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while left := self.unfinished():
            assert self.alive(), "the worker has ended"
            assert time.monotonic() < deadline, left
            time.sleep(0.005)

    def letters(self) -> list[tuple[bytes, dict[str, Any]]]:
        found: list[tuple[bytes, dict[str, Any]]] = []
        for key in self.client.scan_iter(match=f"{keys.DEAD}*", count=1000):
            entries: Any = self.client.xrange(key)
            found += [(one[b"raw"], json.loads(one[b"about"])) for _, one in entries]
        return found

    def due(self) -> set[bytes]:
        members: Any = self.client.zrange(keys.DUE, 0, -1)
        return {member.partition(b"\n")[2] for member in members}

    def waits(self, task_id: str) -> bool:
        """In the list of some other queue, which its routing key names."""
        keys_: Any = self.client.scan_iter(count=1000, _type="list")
        return any(task_id.encode() in raw for key in keys_ for raw in self.client.lrange(key, 0, -1))  # type: ignore[union-attr]

    def stored(self, task_id: str) -> dict[str, Any] | None:
        found: Any = self.client.get(f"celery-task-meta-{task_id}".encode(errors="replace"))
        return None if found is None else dict(json.loads(found))


@pytest.fixture(scope="module")
def bench(redis_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(f"redis://127.0.0.1:{redis_server.port}/9", tmp_path_factory.mktemp("bad"))
    yield bench
    bench.close()


def identifier(raw: bytes, known: str) -> str:
    """The id under which its task, if it was run, has its result."""
    try:
        message = json.loads(raw)
        if "task" in message["headers"]:
            found = message["headers"]["id"]
        else:
            import base64

            found = json.loads(base64.b64decode(message["body"]))["id"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return known
    return found if isinstance(found, str) else known


def ignored(raw: bytes) -> bool:
    try:
        return bool(json.loads(raw)["headers"].get("ignore_result"))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return False


def good() -> tuple[str, bytes]:
    task_id = str(uuid.uuid4())
    return task_id, written(protocol_2("test.upper", [upper(task_id)], task_id, str(uuid.uuid4())), ())


def put(bench: Bench, several: list[Spoiled]) -> None:
    """Good ones before, between and behind the bad ones; then a look at what became of each."""
    bench.ready()
    bench.client.flushdb()
    neighbours, raws, bad = [], [], []
    for one in several:
        for task_id, raw in (good(), good()):
            neighbours.append(task_id)
            raws.append(raw)
        task_id = str(uuid.uuid4())
        raw = one.raw(task_id, str(uuid.uuid4()))
        raws.append(raw)
        bad.append((one, task_id, raw))
    task_id, raw = good()
    neighbours.append(task_id)
    bench.push([*raws, raw])
    bench.settle()
    assert bench.alive()
    for task_id in neighbours:
        assert "SUCCESS" == (bench.stored(task_id) or {}).get("status"), "a good neighbour is not done"
    letters, due = bench.letters(), bench.due()
    by_bytes = dict(letters)
    by_id = {about["task_id"]: about for _, about in letters if about.get("task_id")}
    for one, task_id, raw in bad:
        id_ = identifier(raw, task_id)
        again = one.kind == "contract that is retried" or "protocol 1" in one.kind  # another message by now, perhaps
        about = by_bytes.get(raw) or (by_id.get(id_) if again else None)
        stored = bench.stored(id_)
        if about is not None:
            COUNTED[about["reason"]] += 1
        elif raw in due or (again and any(id_.encode() in one for one in due)):
            COUNTED["due later"] += 1
        else:
            assert stored is not None or ignored(raw), f"vanished: {one}"
            if stored is not None and stored["status"] == "RETRY":
                assert bench.waits(id_), f"its retry vanished: {one}"
            COUNTED[(stored or {}).get("status", "ignored")] += 1
        COUNTED["messages"] += 1


@pytest.mark.timeout(0 if MESSAGES else 120)
def test_a_bad_message_harms_nobody_but_itself(bench: Bench) -> None:
    COUNTED.clear()

    @given(st.lists(SPOILED, min_size=1, max_size=BATCH))
    @settings(
        max_examples=MESSAGES // 5 or 60,
        derandomize=not MESSAGES,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    def run(several: list[Spoiled]) -> None:
        try:
            put(bench, several)
        except AssertionError as exc:
            print("->", exc)
            bench.kill()  # whatever is wrong with it is not to be found again in the next one
            print(*several, sep="\n")
            raise

    run()
    print("; ".join(f"{number:,} {what}" for what, number in COUNTED.items()))


def one_change(kind: str, path: tuple[str | int, ...], fragment: str) -> Spoiled:
    return Spoiled(kind, (Change(path, fragment),))


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (one_change("contract", ("body", 0, 0), marked("decimal", '"abc"')), "InvalidOperation"),
        (one_change("contract", ("body", 0, 0, "text"), marked("uuid", '{"no": 1}')), "unexpected keyword"),
        (one_change("contract", ("body", 1), "[" * 5_000 + "]" * 5_000), "recursion"),
        (one_change("on Celery's own way", ("body", 0, 0), marked("bytes", "5")), "no attribute 'encode'"),
        (one_change("plain", ("body", 2, "callbacks"), '[{"a": 1}]'), "missing required field `task`"),
        (one_change("plain", ("headers", "retries"), "1" + "0" * 30), "$.headers.retries"),
        (one_change("plain", ("headers", "timelimit"), "[-5, null]"), "$.headers.timelimit"),
        (one_change("plain", ("headers", "get"), "1"), "$.headers.get"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_read_is_a_dead_letter_and_its_caller_is_told(one: Spoiled, text: str, bench: Bench) -> None:
    put(bench, [one])
    ((raw, about),) = bench.letters()
    assert ("undecodable", True) == (about["reason"], text in about["error"]), about["error"]
    stored = bench.stored(about["task_id"])
    assert stored is not None
    assert ("FAILURE", "InvalidTaskError") == (stored["status"], stored["result"]["exc_type"])
    assert json.loads(raw)["headers"]["id"] == about["task_id"]


@pytest.mark.parametrize(
    "one",
    [
        one_change("contract", ("headers", "id"), marked("bytes", "5")),
        one_change("contract", ("headers", "abc"), marked("bytes", "5")),
        one_change("plain", ("properties", "delivery_info"), marked("decimal", "[]")),
        one_change("protocol 1", ("body", "kwargs"), "7"),
        one_change("plain", ("headers", "x_correlation_id"), "[" * 900 + "]" * 900),
    ],
    ids=str,
)
def test_a_header_that_cannot_be_read_ends_no_worker(one: Spoiled, bench: Bench) -> None:
    put(bench, [one])


def test_an_errback_that_cannot_be_called_is_a_failure_with_a_letter_and_no_loop(bench: Bench) -> None:
    """Its arguments do not fit: Celery finds that after the body, in the middle of telling that it failed."""
    for kind in ("plain that fails", "on Celery's own way, that fails"):
        errback = json.dumps(
            [{"task": "test.plain", "args": [1, 2, 3], "kwargs": {}, "options": {}, "immutable": True}]
        )
        put(bench, [one_change(kind, ("body", 2, "errbacks"), errback)])
        ((_, about),) = bench.letters()
        assert "permanent" == about["reason"]
        assert "FAILURE" == (bench.stored(about["task_id"]) or {}).get("status")


@pytest.mark.parametrize("place", [("headers", "abc"), ("body", 0, 0), ("properties", "abc")], ids=str)
def test_what_a_pool_of_processes_cannot_pickle_is_undecodable(place: tuple[str | int, ...]) -> None:
    """Celery finds that in the consumer's event loop, and ends the worker."""

    def refused(depth: int) -> tuple[str, str] | None:
        one = one_change("plain", place, "[" * depth + "]" * depth)
        return refusal(loads(one.raw("id", "tag")), ["test.plain"], ["json"], pickled=True)

    assert refused(100) is None
    assert "undecodable" == (refused(850) or ("", ""))[0]


def test_a_countdown_of_protocol_1_waits_in_redis(bench: Bench) -> None:
    put(bench, [one_change("protocol 1", ("body", "eta"), '"2099-01-01T00:00:00"')])
    ((member, score),) = bench.client.zrange(keys.DUE, 0, -1, withscores=True)  # type: ignore[misc]
    assert 4070908800 * 1e6 == score
    assert b"test.plain" not in member.partition(b"\n")[2]  # it is what it was: all is in its body
    soon = (datetime.now(UTC) + timedelta(seconds=1.5)).isoformat()
    put(bench, [one_change("protocol 1", ("body", "eta"), json.dumps(soon))])
    assert datetime.now(UTC).isoformat() >= soon
    assert ([], 0) == (bench.letters(), bench.client.zcard(keys.DUE))


def test_a_retry_goes_where_its_message_came_from_whatever_that_says(bench: Bench) -> None:
    for path, fragment in [(("exchange",), '"x"'), (("routing_key",), '"nowhere"'), (("routing_key",), '"\\ud800"')]:
        one = one_change("contract that is retried", ("properties", "delivery_info", *path), fragment)
        put(bench, [one])
        assert [] == bench.letters()
        assert not bench.client.exists("nowhere", "x")
