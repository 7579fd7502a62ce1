"""An API on a real Redis that dies, freezes, refuses, and comes back."""

import asyncio
import json
import re
import threading
import time
from uuid import uuid4

import pytest
import redis

from celeriac.http.calls import AT_ONCE, PATIENCE_SECONDS
from celeriac.publish.outgoing import MARKER_MS

pytestmark = pytest.mark.integration

PATH = "/letters"
SOON = 2.0  # a caller never waits longer


def entry(task_id):
    return f"celery-task-meta-{task_id}"


def test_an_accepted_order_is_in_its_queue_and_known(redis_server, redis_url, tell, queued):
    async def story(shop):
        answer = await shop.http.post(PATH, json=shop.body, headers={"X-Correlation-ID": "shop-42"})
        letter_id = answer.json()["letter_id"]
        message = queued(redis_server)[0]

        assert 202 == answer.status_code
        assert (letter_id, "letters.post", "shop-42") == (
            message["headers"]["id"],
            message["headers"]["task"],
            message["headers"]["x_correlation_id"],
        )
        assert not message["headers"]["ignore_result"]
        assert "pending" == (await shop.http.get(answer.headers["location"])).json()["status"]

    tell(redis_url, story)


def test_the_marker_expires_and_never_overwrites_what_a_worker_wrote(redis_server, redis_url, tell, contract):
    async def story(shop):
        letter_id = (await shop.place()).json()["letter_id"]
        with redis.Redis(port=redis_server.port) as client:
            assert 0 < client.ttl(f"celery-task-meta-{letter_id}") <= MARKER_MS // 1000
        known = uuid4()
        with redis.Redis(port=redis_server.port) as client:
            client.set(entry(known), json.dumps({"status": "STARTED"}))
            payload = contract.payload(task_id=known, source_service="x", recipient="Anna")
            await asyncio.to_thread(contract.delay, payload)
            assert "STARTED" == json.loads(client.get(entry(known)))["status"]

    tell(redis_url, story)


def test_publishing_leaves_no_subscription_behind(redis_server, redis_url, tell):
    async def story(shop):
        await asyncio.gather(*(shop.place() for _ in range(20)))
        with redis.Redis(port=redis_server.port) as client:
            assert [] == client.pubsub_channels()

    tell(redis_url, story)


def test_asking_costs_one_get(redis_server, redis_url, tell):
    async def story(shop):
        location = (await shop.place()).headers["location"]
        await shop.http.get(location)  # it opens a connection
        with redis.Redis(port=redis_server.port) as client:
            before = client.info("commandstats")
            for _ in range(5):
                await shop.http.get(location)
            after = client.info("commandstats")
        calls = {name: after[name]["calls"] - before.get(name, {"calls": 0})["calls"] for name in after}

        assert {"cmdstat_get": 5} == {name: count for name, count in calls.items() if count and name != "cmdstat_info"}

    tell(redis_url, story)


def test_a_dead_broker_is_told_at_once_to_everybody_and_found_again(redis_to_break, tell, queued):
    async def story(shop):
        assert 202 == (await shop.place()).status_code
        redis_to_break.stop()
        statuses, slowest = await shop.crowd()

        assert ({503}, True) == (statuses, slowest < SOON)
        assert [503, 200] == [(await shop.http.get(path)).status_code for path in ("/ready", "/health")]
        assert {"status": "degraded", "why": "the broker cannot be reached"} == (await shop.http.get("/health")).json()

        redis_to_break.start()
        assert await shop.ready_again() < 2
        assert {"status": "ok"} == (await shop.http.get("/health")).json()
        statuses, _ = await shop.crowd(20)
        assert {202} == statuses
        assert 20 == len(queued(redis_to_break))

    tell(redis_to_break.url, story)


def test_a_broker_that_was_never_there_is_found_when_it_comes(redis_to_break, tell):
    redis_to_break.stop()

    async def story(shop):
        assert 503 == (await shop.place()).status_code
        redis_to_break.start()
        await shop.ready_again()
        assert 202 == (await shop.place()).status_code

    tell(redis_to_break.url, story)


@pytest.mark.parametrize("warm", [True, False])
def test_a_frozen_broker_hangs_nobody_and_nobody_is_told_a_wrong_outcome(redis_to_break, tell, warm, queued, markers):
    async def story(shop):
        if warm:
            await shop.crowd(20)
        known = {one["headers"]["id"] for one in queued(redis_to_break)}
        redis_to_break.pause()
        answers = await asyncio.gather(*(shop.timed() for _ in range(60)))  # more than there are threads
        later, second = await shop.crowd()
        started = time.perf_counter()
        probes = [(await shop.http.get(path)).status_code for path in ("/ready", "/health", f"{PATH}/{uuid4()}")]
        probed = time.perf_counter() - started
        redis_to_break.resume()

        assert ({503}, True) == ({one.status_code for one, _ in answers}, max(seconds for _, seconds in answers) < SOON)
        assert ({503}, True) == (later, second < 2 * PATIENCE_SECONDS)  # nobody waits for time-outs of their own
        assert ([503, 200, 503], True) == (probes, probed < SOON)

        assert await shop.ready_again() < 2
        told = [one.json() for one, _ in answers]
        unknown = {one["task_id"] for one in told if one["error"] == "outcome_unknown"}
        assert {"broker_unavailable"} == {one["error"] for one in told} - {"outcome_unknown"}
        # The others had not been sent; without a connection from before, none was.
        assert 1 <= len(unknown) <= AT_ONCE if warm else not unknown
        waiting = {one["headers"]["id"] for one in queued(redis_to_break)}
        assert known <= waiting <= known | unknown
        assert {f"celery-task-meta-{one}".encode() for one in waiting} == set(markers(redis_to_break))
        assert 202 == (await shop.place()).status_code

    tell(redis_to_break.url, story)


def test_the_first_order_after_a_restart_is_accepted(redis_to_break, tell):
    async def story(shop):
        await shop.crowd(20)
        redis_to_break.stop()
        redis_to_break.start()  # nobody asked meanwhile: all connections are dead, and nobody knows
        statuses, _ = await shop.crowd(20)

        assert {202} == statuses

    tell(redis_to_break.url, story)


@pytest.mark.parametrize(
    ("commands", "word"),
    [
        (["CONFIG SET maxmemory 1"], "OOM"),
        (["CONFIG SET min-replicas-to-write 1"], "NOREPLICAS"),
        (["REPLICAOF 127.0.0.1 1"], "READONLY"),
        (["ACL SETUSER default -evalsha"], "NOPERM"),
        (["ACL SETUSER default -set"], "ERR"),  # what a script may not do has no word of its own
    ],
)
def test_a_broker_that_refuses_is_told_with_its_reason(redis_to_break, tell, commands, word, queued, markers):
    async def story(shop):
        await shop.place()
        with redis.Redis(port=redis_to_break.port) as client:
            for command in commands:
                client.execute_command(*command.split())
        answer = await shop.place()
        statuses, slowest = await shop.crowd(50)

        assert (503, "broker_unavailable") == (answer.status_code, answer.json()["error"])
        assert f"({word})" in answer.json()["message"]
        assert ({503}, True) == (statuses, slowest < SOON)
        assert 1 == len(queued(redis_to_break)) == len(markers(redis_to_break))

    tell(redis_to_break.url, story)


def test_a_broker_that_wants_a_password_is_told_without_it(redis_to_break, tell):
    async def story(shop):
        await shop.place()
        with redis.Redis(port=redis_to_break.port) as client:
            client.execute_command("CONFIG", "SET", "requirepass", "hunter2")
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        answer = await shop.place()

        assert 503 == answer.status_code
        assert "credentials" in answer.json()["message"]
        assert "(NOAUTH)" not in answer.text

    tell(redis_to_break.url, story)


def test_an_order_that_the_queue_refuses_is_not_known_either(redis_to_break, tell, queued, markers):
    async def story(shop):
        await shop.place()
        with redis.Redis(port=redis_to_break.port) as client:
            client.execute_command("ACL", "SETUSER", "default", "-lpush")
        answer = await shop.place()

        assert (503, "broker_unavailable") == (answer.status_code, answer.json()["error"])
        assert 1 == len(queued(redis_to_break)) == len(markers(redis_to_break))

    tell(redis_to_break.url, story)


def test_a_confirmation_that_never_comes_is_told_as_unknown_and_the_same_key_settles_it(redis_to_break, tell, queued):
    async def story(shop):
        await shop.place()  # and there is an open connection, in which the next request waits
        redis_to_break.pause()
        started = time.perf_counter()
        answer = await shop.place("mine")
        seconds = time.perf_counter() - started
        redis_to_break.resume()
        told = answer.json()

        assert (503, "outcome_unknown", True) == (answer.status_code, told["error"], seconds < SOON)
        assert "same Idempotency-Key" in told["message"]
        await shop.ready_again()
        again = await shop.place("mine")
        assert (202, told["task_id"]) == (again.status_code, again.json()["letter_id"])
        assert [told["task_id"]] == [one["headers"]["id"] for one in queued(redis_to_break)][:-1]
        assert "pending" == (await shop.http.get(f"{PATH}/{told['task_id']}")).json()["status"]

    tell(redis_to_break.url, story)


def test_an_answer_that_gets_lost_once_is_asked_for_again(redis_server, redis_url, tell, line, queued, markers):
    async def story(shop):
        await shop.place()
        line.lose_answers(1)
        assert 202 == (await shop.place()).status_code
        assert 2 == len(queued(redis_server)) == len(markers(redis_server))

    tell(f"redis://127.0.0.1:{line.port}/0", story)


def test_while_all_turns_are_taken_others_hear_that_it_is_busy(
    redis_server, redis_url, tell, monkeypatch, queued, markers
):
    async def story(shop):
        await shop.place()
        place, gate = shop.api.broker.app.publisher._straight, threading.Event()

        def slow(chunk):
            assert gate.wait(10)
            return place(chunk)

        monkeypatch.setattr(shop.api.broker.app.publisher, "_straight", slow)
        stuck = [asyncio.create_task(shop.timed()) for _ in range(AT_ONCE)]
        await asyncio.sleep(0.3)
        answer, seconds = await shop.timed()
        health = (await shop.http.get("/health")).status_code
        gate.set()
        others = [one for one, _ in await asyncio.gather(*stuck)]

        assert (503, "broker_unavailable", True) == (answer.status_code, answer.json()["error"], seconds < SOON)
        assert "too busy" in answer.json()["message"]
        # They began, and nobody could say how they end when the time was over. They did end.
        assert (200, {(503, "outcome_unknown")}) == (health, {(one.status_code, one.json()["error"]) for one in others})
        assert {True} == {"does not answer" in one.json()["message"] for one in others}
        deadline = time.monotonic() + 5
        while 1 + AT_ONCE != len(queued(redis_server)) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        assert 1 + AT_ONCE == len(queued(redis_server)) == len(markers(redis_server))

    tell(redis_url, story)


def test_a_hundred_times_the_same_at_once_is_one_order_and_one_answer(redis_server, redis_url, tell, queued, markers):
    async def story(shop):
        answers = await asyncio.gather(*(shop.place("of today") for _ in range(100)))
        other = await shop.place("of today", recipient="Bob")

        assert {202} == {one.status_code for one in answers}
        assert 1 == len({one.content for one in answers}) == len({one.headers["location"] for one in answers})
        assert (409, "idempotency_conflict") == (other.status_code, other.json()["error"])
        assert 1 == len(queued(redis_server)) == len(markers(redis_server))
        counted = re.findall(
            r'celery_published_total{outcome="(.*)",task="letters.post"} ([1-9].*)',
            (await shop.http.get("/metrics")).text,
        )
        became = {outcome: float(number) for outcome, number in counted}
        # Who had to ask twice counts as accepted: what it found there was most likely its own.
        assert 1 <= became["accepted"] < 100
        assert 100 == became["accepted"] + became["repeated"]
        assert 1 == became["conflict"]

    tell(redis_url, story)


def test_a_repeat_after_the_order_is_done_is_the_same_order_still(redis_server, redis_url, tell, queued):
    async def story(shop):
        letter_id = (await shop.place("k")).json()["letter_id"]
        with redis.Redis(port=redis_server.port, decode_responses=True) as client:
            client.delete("letters")  # taken, and its outcome committed
            mark = client.get(f"celery-once-{letter_id}").removeprefix("queued:")
            client.set(f"celery-once-{letter_id}", f"done:{mark}")
            client.set(entry(letter_id), json.dumps({"status": "FAILURE", "result": None}))
        again = await shop.place("k")

        assert (202, letter_id) == (again.status_code, again.json()["letter_id"])
        assert [] == queued(redis_server)
        assert "failed" == (await shop.http.get(again.headers["location"])).json()["status"]

    tell(redis_url, story)


def test_above_the_bound_nothing_is_accepted_and_the_wait_is_honest(redis_server, redis_url, tell, queued, markers):
    async def story(shop):
        answers = [await shop.place() for _ in range(12)]
        statuses = [one.status_code for one in answers]
        assert [202] * 10 + [503] * 2 == statuses
        full = answers[-1]
        assert ("queue_full", True) == (full.json()["error"], 60 <= int(full.headers["retry-after"]) <= 75)
        assert 10 == len(queued(redis_server)) == len(markers(redis_server))
        assert 200 == (await shop.http.get("/ready")).status_code

        with redis.Redis(port=redis_server.port) as client:
            client.rpop("letters", 2)
        assert 202 == (await shop.place()).status_code  # it is asked each time, not remembered

    tell(redis_url, story, queue_bound=10)


def test_the_wait_follows_the_rate_at_which_the_queue_drains(redis_server, redis_url, tell):
    async def story(shop):
        with redis.Redis(port=redis_server.port) as client:
            deadline = time.monotonic() + 2.5
            while time.monotonic() < deadline:  # 20 a second leave, and as many come
                await asyncio.gather(*(shop.place() for _ in range(20)))
                client.rpop("letters", 2)
                await asyncio.sleep(0.1)
        full = [one for one in await asyncio.gather(*(shop.place() for _ in range(20))) if one.status_code == 503]
        assert full
        # 0.2 × 100 of them, at up to 20 a second: a second or two where the machine is free, and never the longest wait
        assert {True} == {1 <= int(one.headers["retry-after"]) < 30 for one in full}

    tell(redis_url, story, queue_bound=100)


def test_results_may_live_in_another_redis(redis_to_break, redis_url, tell, markers):
    async def story(shop):
        location = (await shop.place()).headers["location"]
        assert 200 == (await shop.http.get(location)).status_code
        assert 1 == len(markers(redis_to_break))
        redis_to_break.stop()
        assert [503, 503] == [(await shop.place()).status_code, (await shop.http.get("/ready")).status_code]

    tell(redis_url, story, result_backend=redis_to_break.url)


def test_what_the_queue_refuses_leaves_no_marker_in_the_other_redis(
    redis_to_break, redis_server, redis_url, tell, markers
):
    async def story(shop):
        letter_id = (await shop.place("k")).json()["letter_id"]
        refused = [await shop.place("k", recipient="Bob"), await shop.place("other"), await shop.place()]
        again = await shop.place("k")

        assert ([409, 503, 503], 202) == ([one.status_code for one in refused], again.status_code)
        assert [f"celery-task-meta-{letter_id}".encode()] == markers(redis_to_break)
        assert [] == markers(redis_server)

    tell(redis_url, story, result_backend=redis_to_break.url, queue_bound=1)


WRITES = ("/plain", "/async", "/later", "/many", "/linked")
READS = ("/state/x", "/result/x")


@pytest.mark.parametrize("path", [*WRITES, *READS])
def test_a_plain_delay_in_an_endpoint_ends_in_time_in_a_503(redis_to_break, tell, path):
    async def story(shop):
        async def ask():
            return await shop.http.request("POST" if path in WRITES else "GET", path)

        if path in WRITES:
            assert 200 == (await ask()).status_code
        redis_to_break.pause()
        answer, seconds = await shop.timed(ask)
        again, soon = await shop.timed(ask)
        redis_to_break.resume()

        assert (503, 503) == (answer.status_code, again.status_code), answer.text
        assert answer.json()["error"] in {"broker_unavailable", "outcome_unknown"}
        assert 1 <= int(answer.headers["retry-after"]) <= 3
        assert (True, True) == (seconds < SOON, soon < (SOON if path == "/linked" else 0.5))
        await shop.ready_again()
        if path in WRITES:
            assert 200 == (await ask()).status_code

    tell(redis_to_break.url, story)


@pytest.mark.parametrize("path", WRITES)
def test_a_plain_delay_to_a_broker_that_is_gone_is_a_503_at_once(redis_to_break, tell, path):
    redis_to_break.stop()

    async def story(shop):
        answer, seconds = await shop.timed(lambda: shop.http.post(path))

        assert (503, "broker_unavailable", True) == (answer.status_code, answer.json()["error"], seconds < SOON)

    tell(redis_to_break.url, story)


def test_an_unknown_outcome_leaves_its_marker_there(redis_to_break, redis_server, redis_url, tell, markers):
    async def story(shop):
        await shop.place()  # and there is an open connection, in which the next request waits
        redis_to_break.pause()
        told = (await shop.place()).json()
        redis_to_break.resume()
        await shop.ready_again()

        assert "outcome_unknown" == told["error"]
        assert entry(told["task_id"]).encode() in markers(redis_server)
        assert "pending" == (await shop.http.get(f"{PATH}/{told['task_id']}")).json()["status"]

    tell(redis_to_break.url, story, result_backend=redis_url)


def test_a_marker_that_came_too_late_is_removed_when_redis_is_back(redis_to_break, redis_url, tell, markers):
    async def story(shop):
        await shop.place()
        known = markers(redis_to_break)
        redis_to_break.pause()
        answer = await shop.place()
        redis_to_break.resume()
        await shop.ready_again()

        assert (503, "broker_unavailable") == (answer.status_code, answer.json()["error"])
        assert known == markers(redis_to_break)  # what it was told while it was paused, it did when it woke up

    tell(redis_url, story, result_backend=redis_to_break.url)
