"""What `celeriac check` finds in a broker, and how the commands read their arguments."""

import json
from collections.abc import Iterator
from typing import Any

import click
import pytest
import redis
from celery.bin.worker import worker as command
from celery.concurrency import get_implementation
from click.core import ParameterSource

from celeriac.app.installation import POOL
from celeriac.broker import keys
from celeriac.cli import main, ordered
from celeriac.leftovers import look
from celeriac.worker.program import _pool


@pytest.fixture
def client(redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def test_an_empty_broker_has_nothing_left(client: "redis.Redis") -> None:
    found = look(client, ["celery"])
    assert (True, {"celery": 0}) == (found.empty, found.waiting)


def test_all_that_stock_celery_does_not_know_is_counted_by_queue(client: "redis.Redis") -> None:
    seconds, _ = client.time()  # type: ignore[misc]  # not awaitable here
    now = seconds * 1_000_000
    client.lpush("orders", "1", "2")
    client.lpush("orders\x06\x163", "3")
    client.zadd(keys.DUE, {"orders\x06\x163\nmessage": now + 90_000_000, "mails\nmessage": now + 5_000_000})
    client.zadd(keys.LEASES, {"alive": now + 60_000_000, "over": now - 1_000_000, "lost": now})
    client.hset(keys.UNACKED, "alive", json.dumps([{}, "", "orders"]))
    client.hset(keys.UNACKED, "over", json.dumps([{}, "", "mails\x06\x169"]))
    client.hset(keys.STARTS, "over", 2)
    client.xadd(keys.dead("mails"), {"raw": "x", "about": "{}"})
    client.set(keys.once("x"), "done:1")
    client.set("orders-of-somebody-else", "1")
    found = look(client, ["quiet"])
    assert {"mails": 0, "orders": 3, "quiet": 0} == found.waiting
    assert {"orders": 1, "mails": 1} == found.due
    assert 85 < (found.due_in_seconds or 0) <= 90
    assert {"orders": 1, "mails": 1, "?": 1} == found.claimed
    assert ({"mails": 1}, 1, 1) == (found.dead, found.came_back, found.harmless)
    assert found.over >= 1
    assert not found.empty


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ({"due": 1}, "due later, the last one in"),
        ({"claimed": 1}, "stop the workers"),
        ({"dead": 1}, "1 dead letters:  celeriac dead-letters --broker URL"),
        ({"starts": 1}, "came back from workers that died"),
    ],
)
def test_each_kind_alone_keeps_the_line_and_names_the_next_step(
    left: dict[str, int], said: str, client: "redis.Redis", redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "due" in left:
        client.zadd(keys.DUE, {"q\nm": 10**17})
    if "claimed" in left:
        client.zadd(keys.LEASES, {"t": 10**17})
    if "dead" in left:
        client.xadd(keys.dead("q"), {"raw": "x", "about": "{}"})
    if "starts" in left:
        client.hset(keys.STARTS, "t", 1)
    assert 1 == main(["check", "--broker", redis_url])
    assert said in capsys.readouterr().out
    client.flushdb()
    client.lpush("celery", "waits")
    assert 0 == main(["check", "--broker", redis_url])
    assert "can be deleted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("worker -A proj -c 2", (["-A", "proj"], "worker", ["-c", "2"])),
        ("-A proj worker -c 2", (["-A", "proj"], "worker", ["-c", "2"])),
        ("worker --app=proj -B", (["--app=proj"], "worker", ["-B"])),
        ("worker -Aproj -P prefork", (["-Aproj"], "worker", ["-P", "prefork"])),
        ("worker -l info --workdir /x -A proj", (["--workdir", "/x", "-A", "proj"], "worker", ["-l", "info"])),
        ("-q worker -b redis://h -A p -- x=1", (["-q", "-b", "redis://h", "-A", "p"], "worker", ["--", "x=1"])),
        ("worker -A", (["-A"], "worker", [])),
    ],
)  # fmt: skip
def test_celerys_options_may_stand_before_or_after_the_command(given: str, expected: Any) -> None:
    assert expected == ordered(given.split())


@pytest.mark.parametrize(
    ("chosen", "usual", "source", "expected"),
    [
        (POOL, POOL, ParameterSource.DEFAULT, POOL),
        (POOL, POOL, ParameterSource.COMMANDLINE, "prefork"),  # Celery gives the usual pool for `-P prefork`
        (POOL, POOL, ParameterSource.ENVIRONMENT, "prefork"),
        (POOL, POOL, None, POOL),  # no command
        ("threads", POOL, ParameterSource.COMMANDLINE, POOL),
        ("threads", "threads", ParameterSource.DEFAULT, POOL),
        ("solo", POOL, ParameterSource.COMMANDLINE, "solo"),
        ("prefork", "prefork", ParameterSource.DEFAULT, "prefork"),
    ],
)
def test_the_pool_is_the_one_that_was_asked_for(
    chosen: str, usual: str, source: ParameterSource | None, expected: str
) -> None:
    if source is None:
        found = _pool(chosen, usual)
    else:
        with click.Context(command) as context:
            context.set_parameter_source("pool", source)
            found = _pool(chosen, usual)
    assert get_implementation(expected) is get_implementation(found)
