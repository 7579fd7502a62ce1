"""What claim.lua and outcome.lua write is what dead_letters reads: the message byte for byte, and all that is known."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from celeriac.broker import keys
from celeriac.broker.scripts import Script
from celeriac.dead_letter.description import about
from celeriac.dead_letter.letters import Letter, find, read
from celeriac.dead_letter.replay import replay
from celeriac.message.frame import frame
from celeriac.outcome.commit import Commit, packed

pytestmark = pytest.mark.integration

LEASE_US = 60_000_000


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def claim(client: redis.Redis, bound: int = 100) -> Any:
    names = [keys.UNACKED, keys.LEASES, keys.DUE, keys.STARTS, "orders", keys.dead("orders")]
    return Script("claim/claim")(client, names, [1, LEASE_US, bound, 0, "", 10])


def letters(client: redis.Redis) -> list[Letter]:
    found = [find(client, one.id) for one in read(client)]
    return [one for one in found if one is not None]


def test_what_nobody_can_read_is_kept_byte_for_byte_and_its_neighbour_is_claimed(client: redis.Redis) -> None:
    good, raws = (
        frame("tasks.x", "orders", [], task_id="id-1"),
        [b"", b"\xff\x00\n\r", b"[]", b'{"a": "]"}', b"x" * 70_000],
    )
    client.lpush("orders", raws[0], raws[1], good, *raws[2:])

    taken = claim(client)[2]

    assert [0, [good]] == taken
    assert [(raw, "undecodable", "orders") for raw in raws] == [
        (one.raw, one.reason, one.queue) for one in letters(client)
    ]


def test_a_message_that_died_of_its_outcome_is_kept_byte_for_byte_and_can_be_replayed(client: redis.Redis) -> None:
    raw = frame(
        "tasks.x", "orders", [{"text": 'ä","]'}], task_id="id-1", retries=3, headers={"x_correlation_id": "c-1"}
    )
    client.lpush("orders", raw)
    fence = claim(client)[0].decode()
    commit = Commit(raw[-39:-3].decode())
    headers = {"task": "tasks.x", "id": "id-1", "retries": 3, "x_correlation_id": "c-1", "published_at": 12.5}
    text = about("retries-exhausted", "E", queue="orders", headers=headers, starts=2, worker="w@a")
    commit.bury(keys.dead("orders"), text)
    names = [keys.UNACKED, keys.LEASES, keys.STARTS, keys.DUE]
    assert [[], [], []] == Script("outcome/outcome")(client, names, [packed([1, *commit.arguments(fence)]), 0, ""])

    (letter,) = letters(client)

    expected = ("retries-exhausted", "E", "tasks.x", "id-1", 2, 3, 0, "w@a", 12.5, "c-1")
    assert raw == letter.raw
    assert expected == (
        letter.reason, letter.error, letter.task, letter.task_id, letter.starts, letter.retries, letter.replays,
        letter.worker, letter.published_at, letter.correlation_id,
    )  # fmt: skip
    assert (0, 0) == (client.hlen("unacked"), client.zcard("celery-leases"))
    assert replay(client, letter)
    ((again,),) = claim(client)[2][1::2]
    assert b'"replays": 1' in again


def test_a_queue_at_its_bound_is_claimed_from_again_once_letters_are_gone(client: redis.Redis) -> None:
    client.lpush("orders", b"?")
    claim(client, bound=1)
    client.lpush("orders", frame("tasks.x", "orders", [], task_id="id-1"))

    assert ([], [0]) == tuple(claim(client, bound=1)[number] for number in (2, 4))
    client.xdel(keys.dead("orders"), *(one.id.rpartition("/")[2] for one in read(client)))
    assert 1 == len(claim(client, bound=1)[2][1])
