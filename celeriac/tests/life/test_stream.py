"""The records of steps, read again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
import redis

from celeriac.broker import keys
from celeriac.life import stream
from celeriac.life.pack import Publishes, packed
from celeriac.life.record import Kind
from celeriac.life.stream import Life

pytestmark = pytest.mark.integration
BEGIN = 1_764_165_800_000


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def wrote(client: redis.Redis, entries: int, each: int = 3) -> list[str]:
    """Entries of several publishes, one a second; their task ids."""
    ids = [f"task-{number:06}" for number in range(entries * each)]
    pipe = client.pipeline(transaction=False)
    for entry in range(entries):
        mine = ids[entry * each : (entry + 1) * each]
        facts = Publishes("api", "orders", mine, [f"tag-{one}" for one in mine], ["tasks.x"], [f"request-{entry}"])
        pipe.xadd(keys.LIFE, {"p": packed(facts)}, id=f"{BEGIN + entry * 1_000}-0")
    pipe.execute()
    return ids


def test_the_records_of_an_entry_that_holds_the_text_are_found_wherever_it_is(client: redis.Redis) -> None:
    wrote(client, 40)

    for entry in (7, 8, 15, 39):  # pieces are read eight entries at a time
        found = Life(client).find([f"task-{entry * 3:06}"])
        assert [f"task-{entry * 3 + n:06}" for n in range(3)] == [one.task_id for one in found]
    assert [BEGIN / 1_000 + 39] * 3 == [one.at for one in Life(client).find(["task-000118"])]
    assert [] == Life(client).find(["nothing"]) == Life(client).find([]) == Life(client).find([""])


def test_a_search_lets_redis_serve_others_after_each_piece(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = wrote(client, 200)
    whole = [one.task_id for one in Life(client).find(["task-"])]
    monkeypatch.setattr(stream, "PIECE_BYTES", 3_000)
    client.config_resetstat()

    found = [one.task_id for one in Life(client).find(["task-"])]

    assert ids == found == whole
    assert client.info("commandstats")["cmdstat_evalsha"]["calls"] >= 10


def test_many_texts_are_found_as_few_are(client: redis.Redis) -> None:
    ids = wrote(client, 60)

    few = [one for text in ids[::9] for one in Life(client).find([text])]
    many = Life(client).find(ids[::9])

    assert len(ids[::9]) > stream.MOST_TEXTS
    assert few == many


def test_ids_are_found_among_many_wherever_they_stand_in_an_entry(client: redis.Redis) -> None:
    ids = [str(uuid4()), "0" + uuid4().hex[1:], str(uuid4()), uuid4().hex, "my-own-id", "no-such-id"]
    standing = ["a{}a", "00-{}-0123456789abcdef-01", "{}", "ab{}", "x{}"]
    for name, form in zip(ids, standing, strict=False):
        client.xadd(
            keys.LIFE, {"p": packed(Publishes("api", "orders", [form.format(name)], ["tag"], ["tasks.x"], [""]))}
        )
    client.xadd(keys.LIFE, {"p": packed(Publishes("api", "orders", [str(uuid4())], ["tag"], ["tasks.x"], [""]))})

    found = Life(client).find([*ids, *(str(uuid4()) for _ in range(stream.MOST_TEXTS))])

    assert [form.format(name) for name, form in zip(ids, standing, strict=False)] == [one.task_id for one in found]


def test_only_entries_of_a_time_and_later_are_searched(client: redis.Redis) -> None:
    wrote(client, 10)

    for texts in (["task-"], ["task-", *map(str, range(20))]):
        found = Life(client).find(texts, since=BEGIN / 1_000 + 7)
        assert [7.0, 8.0, 9.0] == sorted({one.at - BEGIN / 1_000 for one in found})


def test_what_is_new_is_followed_and_waited_for(client: redis.Redis) -> None:
    life = Life(client)
    assert ("0", []) == life.follow("0")
    wrote(client, 2)

    last, found = life.follow("0")
    began = time.monotonic()
    again = life.follow(last, wait_seconds=0.05)

    assert (life.newest(), 6) == (last, len(found))
    assert {Kind.PUBLISHED} == {one.kind for one in found}
    assert (last, []) == again
    assert 0.04 <= time.monotonic() - began


def test_it_says_how_far_the_records_go_back(client: redis.Redis) -> None:
    life = Life(client)
    assert (None, None, 0, 0, "0") == (*_of(life), life.newest())
    wrote(client, 5)

    oldest, newest, entries, size = _of(life)

    assert (BEGIN / 1_000, BEGIN / 1_000 + 4, 5) == (oldest, newest, entries)
    assert size > 500
    assert abs(time.time() - life.now()) < 5


def _of(life: Life) -> tuple[float | None, float | None, int, int]:
    extent = life.span()
    return extent.oldest, extent.newest, extent.entries, extent.bytes


def test_an_entry_that_nobody_can_read_gives_no_records_and_hides_no_other(client: redis.Redis) -> None:
    client.xadd(keys.LIFE, {"p": b"task-000001 of a newer version"}, id=f"{BEGIN - 1}-0")
    client.xadd(keys.LIFE, {"zz": b"task-000001"}, id=f"{BEGIN - 1}-1")
    wrote(client, 1)

    assert ["task-000000", "task-000001", "task-000002"] == [one.task_id for one in Life(client).find(["task-000001"])]
