import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celeriac.broker.scripts import Script
from celeriac.dead_letter import letters as dead_letters
from celeriac.dead_letter.letters import Letter, Reason, drop, find, queues, read

pytestmark = pytest.mark.integration

ABOUT = {
    "reason": "permanent",
    "error": "PermanentError: no such shelf",
    "task": "tasks.x",
    "task_id": "id-1",
    "starts": 1,
    "retries": 2,
    "replays": 0,
    "worker": "worker@a",
    "published_at": 1764165830.5,
    "correlation_id": "c-1",
}


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


def bury(client: redis.Redis, queue: str, raw: bytes = b"{}", id: str = "*", **about: Any) -> str:  # noqa: A002
    fields: dict[Any, Any] = {"raw": raw, "about": json.dumps(about)}
    return f"{queue}/{client.xadd(f'celery-dead-{queue}', fields, id=id).decode()}"  # type: ignore[union-attr]


def test_a_letter_is_what_its_writer_knew(client: redis.Redis) -> None:
    letter_id = bury(client, "orders", b'{"a": 1}', "1764165837123-4", **ABOUT)

    expected = Letter(
        id="orders/1764165837123-4",
        queue="orders",
        reason=Reason.PERMANENT,
        time=1764165837.123,
        size=8,
        error="PermanentError: no such shelf",
        task="tasks.x",
        task_id="id-1",
        starts=1,
        retries=2,
        replays=0,
        worker="worker@a",
        published_at=1764165830.5,
        correlation_id="c-1",
        raw=b'{"a": 1}',
    )
    assert expected == find(client, letter_id)


@pytest.mark.parametrize(
    "about", ["", "[]", "nonsense", "{}", '{"reason": null, "starts": "many", "published_at": [], "task": ""}']
)
def test_what_is_not_known_is_none_and_the_message_is_there_all_the_same(client: redis.Redis, about: str) -> None:
    stream_id = client.xadd("celery-dead-orders", {"raw": b"\xff\x00", "about": about}).decode()  # type: ignore[union-attr]

    letter = find(client, f"orders/{stream_id}")

    assert letter is not None
    assert ("unknown", None, None, None, b"\xff\x00") == (
        letter.reason, letter.task, letter.starts, letter.published_at, letter.raw,
    )  # fmt: skip


def test_an_entry_without_fields_of_ours_is_a_letter_too(client: redis.Redis) -> None:
    client.xadd("celery-dead-orders", {"other": "x"})

    assert [("unknown", 0)] == [(one.reason, one.size) for one in read(client)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=3_000))
def test_every_message_is_kept_byte_for_byte(redis_server: Any, raw: bytes) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        letter = find(client, bury(client, "kept", raw))

    assert letter is not None
    assert (raw, len(raw)) == (letter.raw, letter.size)


def test_a_letter_that_is_not_there_is_none(client: redis.Redis) -> None:
    bury(client, "orders", id="1-1")

    assert [None, None] == [find(client, "orders/1-2"), find(client, "nowhere/1-1")]


@pytest.mark.parametrize("wrong", ["", "orders", "orders/", "/1-1", "orders/1", "orders/1-", "orders/a-b", "1-1"])
def test_what_is_no_id_is_refused(client: redis.Redis, wrong: str) -> None:
    with pytest.raises(ValueError, match="not the id of a dead letter"):
        find(client, wrong)


def test_a_queue_may_have_a_slash_in_its_name(client: redis.Redis) -> None:
    letter_id = bury(client, "eu/west/orders")

    assert [letter_id] == [one.id for one in read(client)]
    assert find(client, letter_id) is not None
    assert 1 == drop(client, [letter_id])


def test_all_queues_are_read_in_the_order_of_time_either_way(client: redis.Redis) -> None:
    for id_, queue in [("1-0", "a"), ("2-0", "b"), ("2-1", "a"), ("10-0", "b"), ("11-0", "a")]:
        bury(client, queue, id=id_)

    expected = ["a/1-0", "b/2-0", "a/2-1", "b/10-0", "a/11-0"]
    assert expected == [one.id for one in read(client)]
    assert expected[::-1] == [one.id for one in read(client, newest_first=True)]
    assert ["b/2-0", "b/10-0"] == [one.id for one in read(client, queue="b")]


def test_lists_do_not_fetch_the_messages(client: redis.Redis) -> None:
    bury(client, "orders", b"x" * 100)

    assert [(None, 100)] == [(one.raw, one.size) for one in read(client)]


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize(("letters", "bytes_"), [(3, 1_000_000), (200, 1_500), (1, 1)])
def test_pages_come_one_after_the_other(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch, letters: int, bytes_: int, newest_first: bool
) -> None:
    monkeypatch.setattr(dead_letters, "PAGE_LETTERS", letters)
    monkeypatch.setattr(dead_letters, "PAGE_BYTES", bytes_)
    ids = [bury(client, "orders", b"x" * 700, f"{5 + n // 2}-{n % 2}") for n in range(10)]

    found = [one.id for one in read(client, newest_first=newest_first)]

    assert (ids[::-1] if newest_first else ids) == found


def test_a_page_is_bounded_in_letters_and_in_bytes(client: redis.Redis) -> None:
    for _ in range(5):
        bury(client, "orders", b"x" * 1_000)

    def letters_of(most: int, size: int) -> int:
        return len(Script("dead_letter/letters")(client, ["celery-dead-orders"], ["XRANGE", "-", "+", most, size])) // 3

    assert [3, 2, 5] == [letters_of(3, 10**6), letters_of(10, 1_500), letters_of(10, 10**6)]


def test_ages_are_told_by_the_clock_of_redis(client: redis.Redis) -> None:
    now, _ = client.time()
    for seconds in (10, 100, 1_000):
        bury(client, f"q{seconds}", id=f"{(now - seconds) * 1_000}-0")

    def ages(**wanted: float) -> list[str]:
        return [one.queue for one in read(client, **wanted)]

    assert ["q1000", "q100"] == ages(older_than=60)
    assert ["q100", "q10"] == ages(newer_than=600)
    assert ["q100"] == ages(older_than=60, newer_than=600)
    assert [] == ages(older_than=10**12)
    assert 3 == len(ages(newer_than=10**12))


def test_dropped_letters_are_counted_once(client: redis.Redis) -> None:
    ids = [bury(client, queue) for queue in ("a", "b", "b")]

    assert 2 == drop(client, [ids[0], ids[1], "gone/1-1"])
    assert 0 == drop(client, ids[:2])
    assert ids[2:] == [one.id for one in read(client)]


def test_queues_are_those_that_have_or_had_letters(client: redis.Redis) -> None:
    bury(client, "b")
    drop(client, [bury(client, "a")])
    client.set("celery-dead-c", "something else")

    assert ["a", "b"] == queues(client)


def test_reading_needs_no_celery() -> None:
    import subprocess
    import sys

    code = "import sys, celeriac.dead_letter.letters, celeriac.dead_letter.replay as r; print('celery' in sys.modules)"
    assert (
        "False"
        == subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    )


def test_the_bound_and_the_reasons_are_the_same_everywhere() -> None:
    from typing import get_args, get_type_hints

    from celeriac.app.settings import CelerySettings
    from celeriac.retry.policy import Dead

    assert dead_letters.BOUND == CelerySettings.model_fields["dead_letter_bound"].default
    assert set(get_args(get_type_hints(Dead)["reason"])) <= {str(one) for one in Reason}
