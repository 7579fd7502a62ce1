"""Celery's signals: ours sends those of a stock worker, from the same sender, with the same arguments."""

import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest
import redis
from celeriac.tests import signalling
from celeriac.tests.conftest import RunningWorker, start_worker
from celery import Celery

from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings
from celeriac.errors import PermanentError, TransientError
from celeriac.message.frame import frame
from celeriac.publish.of_app import publisher_of

pytestmark = pytest.mark.integration

SCRIPT = str(Path(__file__).parent / "signalling.py")
HOWS = ["returns", "fails", "retries", "is ignored", "is rejected", "publishes", "publishes later"]
HOWS += ["returns what cannot be written"]
CASES = [*HOWS, "is revoked", "is unknown", "is undecodable", "is expired"]
WITHOUT_RECEIVED = [name for name in signalling.OF_TASKS if name != "task_received"]


@contextmanager
def running(url: str, folder: Path, **environment: str) -> Iterator[RunningWorker]:
    folder.mkdir(exist_ok=True)
    worker = start_worker([SCRIPT], url, folder, LOG_LEVEL="info", **environment)
    try:
        worker.wait_until_ready()
        yield worker
    finally:
        worker.process.kill()
        worker.process.wait()


def publish(url: str) -> None:
    """One message for each case, under the name of the case, by a stock producer."""
    with (
        Celery("producer", broker=url, backend=url, set_as_current=False) as stock,
        redis.Redis.from_url(url) as client,
    ):
        deadline = time.monotonic() + 20
        while not stock.control.revoke("is revoked", reply=True, limit=1, timeout=1):  # it may not listen yet
            assert time.monotonic() < deadline
        for case in CASES:
            how = case if case in HOWS else "returns"
            options: dict[str, Any] = {"task_id": case, "queue": signalling.QUEUE, "ignore_result": False}
            if case == "is expired":
                options["expires"] = datetime.now(UTC) - timedelta(hours=1)
            if case == "is undecodable":
                raw = json.loads(frame("signalling.plain", signalling.QUEUE, [], task_id=case))
                raw["body"] = b64encode(b"[[], {}").decode()
                client.lpush(signalling.QUEUE, json.dumps(raw))
            else:
                name = "signalling.nobody" if case == "is unknown" else "signalling.plain"
                stock.send_task(name, (), {"how": how}, **options)
        stock.send_task("signalling.plain", (), {"how": "returns"}, queue=signalling.QUEUE).get(timeout=20)
    time.sleep(0.7)  # what comes back, or is due, ends in this time


def heard(url: str) -> list[tuple[str, str, str, dict[str, Any]]]:
    with redis.Redis.from_url(url) as client:
        return [tuple(json.loads(one)) for one in client.lrange(signalling.HEARD, 0, -1)]  # type: ignore[misc]


def by_case(url: str, cases: list[str]) -> dict[str, list[Any]]:
    """What was heard of each case, and of its child."""
    found: dict[str, list[Any]] = {case: [] for case in cases}
    for task_id, *rest in heard(url):
        case = str(task_id).removesuffix(", its child")
        if case in found:
            found[case].append(rest)
    return found


@pytest.fixture(scope="session")
def urls(redis_server: Any) -> list[str]:
    return [f"redis://127.0.0.1:{redis_server.port}/{number}" for number in range(8, 16)]


@pytest.fixture(scope="module")
def of_stock(urls: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    return signals_of(urls[0], tmp_path_factory.mktemp("stock"), KIND="stock", WORKER_POOL="solo")


def signals_of(url: str, folder: Path, **environment: str) -> dict[str, list[Any]]:
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    with running(url, folder, **{"HEAR": ",".join(signalling.OF_TASKS)} | environment):
        publish(url)
    return by_case(url, CASES)


WORKERS = {
    "short": {"WORKER_POOL": "threads", "HEAR": ",".join(WITHOUT_RECEIVED)},
    "celerys own way": {"WORKER_POOL": "threads"},
    "prefork": {"WORKER_POOL": "prefork"},
}


@pytest.mark.parametrize("worker", WORKERS)
def test_ours_sends_the_signals_of_a_stock_worker(
    worker: str, of_stock: dict[str, list[Any]], urls: list[str], tmp_path: Path
) -> None:
    found = signals_of(urls[1], tmp_path / "ours", KIND="ours", **WORKERS[worker])
    received = [] if worker == "short" else ["task_received"]
    for case, of_theirs in of_stock.items():
        wanted = [one for one in of_theirs if one[0] in [*received, *WITHOUT_RECEIVED]]
        if case == "is undecodable":  # stock says nothing of a body that it cannot read, and its caller waits
            assert [["task_failure", "task signalling.plain"], ["task_rejected", "Consumer"]] == [
                one[:2] for one in found[case] if one[0] != "task_received"
            ]
            continue
        for one, other in zip_longest(in_order(case, wanted), in_order(case, found[case])):
            assert one == other
    assert {*received, *WITHOUT_RECEIVED} - {"task_internal_error"} == said(found)


def in_order(case: str, heard_of: list[Any]) -> list[str]:
    """In a pool with several threads or processes, parent and child, or two runs, have no order; nor have the last
    signals of what is rejected."""
    lines = [json.dumps(one, sort_keys=True) for one in heard_of]
    return sorted(lines) if case in {"is rejected", "publishes", "publishes later"} else lines


def said(found: dict[str, list[Any]]) -> set[str]:
    return {one[0] for heard_of in found.values() for one in heard_of}


# Contracts


@pytest.fixture
def client_of(urls: list[str]) -> Iterator[Callable[[str], Celery]]:
    apps: list[Celery] = []

    def app(url: str) -> Celery:
        apps.append(make_app("test", CelerySettings(broker_url=url)))
        return apps[-1]

    yield app
    for one in apps:
        publisher: Any = publisher_of(one)
        publisher._client.close()
        one.close()


ENDS = {
    "returns": ["task_prerun", "task_success", "task_postrun"],
    "fails": ["task_prerun", "task_failure", "task_postrun"],
    "is ignored": ["task_prerun", "task_postrun"],
    "retries": [
        *3 * ["task_prerun", "before_task_publish", "after_task_publish", "task_retry", "task_postrun"],
        *["task_prerun", "task_failure", "task_postrun"],
    ],
    "publishes": [
        "task_prerun",
        *2 * ["before_task_publish", "after_task_publish"],
        *["task_success", "task_postrun"],
    ],
}


@pytest.mark.parametrize("worker", WORKERS)
def test_a_contract_sends_them_as_a_plain_task_does(
    worker: str, urls: list[str], client_of: Callable[[str], Celery], tmp_path: Path
) -> None:
    url = urls[2]
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    typed = signalling.typed.bind(client_of(url))
    note = signalling.note.bind(typed.app)
    environment = {"HEAR": ",".join(signalling.OF_TASKS)} | WORKERS[worker]
    with running(url, tmp_path / "ours", KIND="ours", **environment):
        ids = {how: typed.delay(signalling.Way(how=how)).id for how in ENDS}
        assert "returns" == typed.pending(ids["returns"]).get(timeout=20).text
        with pytest.raises(TransientError, match="later"):
            typed.pending(ids["retries"]).get(timeout=20)
        children = [str(uuid5(UUID(ids["publishes"]), f"signalling.note:{number}")) for number in range(2)]
        texts = [note.pending(child).get(timeout=20).text for child in children]
        time.sleep(0.3)
    assert [f"{text}, by {ids['publishes']}" for text in ("one", "two")] == texts
    everything = heard(url)
    received = [] if worker == "short" else ["task_received"]
    for how, names in ENDS.items():
        wanted = names
        of_this = [one for one in everything if one[0] == ids[how] and one[1] != "task_received"]
        if how == "publishes":
            of_children = [one for one in everything if one[0] in children and "publish" in one[1]]
            assert 2 * ["before_task_publish", "after_task_publish"] == [one[1] for one in of_children]
            assert [children[0], children[0], children[1], children[1]] == [one[0] for one in of_children]
            for _, _, sender, about in of_children:
                assert ("signalling.note", "", "signalling") == (sender, about["exchange"], about["routing_key"])
                headers = about["headers"]
                assert (ids[how], ids[how]) == (headers["parent_id"], headers["root_id"])
                assert "one" in str(about["body"]) or "two" in str(about["body"])
            wanted = [name for name in wanted if "publish" not in name]
        assert wanted == [one[1] for one in of_this], how
        senders = {one[2] for one in of_this if "publish" not in one[1]}
        assert {"task signalling.typed"} == senders
    [done] = [about for task_id, name, _, about in everything if (task_id, name) == (ids["returns"], "task_postrun")]
    assert ({"text": "returns"}, "SUCCESS") == (done["retval"], done["state"])
    [succeeded] = [one[3] for one in everything if one[:2] == (ids["returns"], "task_success")]
    assert {"text": "returns"} == succeeded["result"]
    retried = [one for one in everything if one[:2] == (ids["retries"], "before_task_publish")]
    assert [1, 2, 3] == [about["headers"]["retries"] for *_, about in retried]
    assert bool(received) == any(one[1] == "task_received" for one in everything)


# Wrappers


WRAPPED = [
    ("threads", "run", "at once"),
    ("threads", "run", "worker_ready"),
    ("threads", "run of the class", "worker_init"),
    ("threads", "__call__", "worker_ready"),
    ("threads", "tracer", "at once"),
    ("prefork", "run", "worker_init"),
    ("prefork", "__call__", "celeryd_init"),
    ("prefork", "tracer", "at once"),
]


@pytest.mark.parametrize(("pool", "where", "when"), WRAPPED, ids=str)
def test_what_a_library_puts_around_a_task_is_run(
    pool: str, where: str, when: str, urls: list[str], client_of: Callable[[str], Celery], tmp_path: Path
) -> None:
    url = urls[3]
    client = redis.Redis.from_url(url, decode_responses=True)
    client.flushdb()
    app = client_of(url)
    typed, note = signalling.typed.bind(app), signalling.note.bind(app)

    def traced(count: int) -> list[list[str]]:
        """What so many wrapped calls have left; the end of one may come behind its result."""
        deadline = time.monotonic() + 10
        while True:
            found = [json.loads(one) for one in client.lrange("traced", 0, -1)]
            if count == [one[0] for one in found].count("end") or time.monotonic() > deadline:
                client.delete("traced")
                return found
            time.sleep(0.02)

    environment = {"KIND": "ours", "WORKER_POOL": pool, "WRAP": where, "WHEN": when}
    with running(url, tmp_path / "ours", **environment):
        assert "returns" == typed.delay(signalling.Way(how="returns")).get(timeout=20).text
        assert ["begin", "end"] == [one[0] for one in traced(1)]
        parent = typed.delay(signalling.Way(how="publishes"))
        parent.get(timeout=20)
        for number in range(2):
            child = str(uuid5(UUID(parent.id), f"signalling.note:{number}"))
            assert f"by {parent.id}" in note.pending(child).get(timeout=20).text
        assert 3 * ["begin", "end"] == [one[0] for one in traced(3)]
        with pytest.raises(PermanentError, match="no"):
            typed.delay(signalling.Way(how="fails")).get(timeout=20)
        raises = [] if where == "tracer" else [["raised", "PermanentError"]]
        assert raises == [one for one in traced(1) if one[0] == "raised"]
        with pytest.raises(TransientError, match="later"):
            typed.delay(signalling.Way(how="retries")).get(timeout=20)
        assert 4 == [one[0] for one in traced(4)].count("begin")
        plain = app.send_task("signalling.plain", (), {"text": "fine"}, queue=signalling.QUEUE)
        assert "fine" == plain.get(timeout=20)
        assert ["begin", "end"] == [one[0] for one in traced(1)]
        with pytest.raises(ValueError, match="no"):
            app.send_task("signalling.plain", (), {"how": "fails"}, queue=signalling.QUEUE).get(timeout=20)
        time.sleep(0.2)
        assert (0, 2) == (client.hlen("unacked"), client.xlen(f"celery-dead-{signalling.QUEUE}"))
    client.close()
