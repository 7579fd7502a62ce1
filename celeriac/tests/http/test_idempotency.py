"""The Idempotency-Key: whose it is, and what is one."""

from uuid import UUID

import pytest
import structlog
from starlette.requests import Request

from celeriac.http.idempotency import IdempotencyKeys, by_authorization

PATH = "/letters"
NAMESPACE = UUID("00000000-0000-4000-8000-000000000001")


def placed(client, body, key, **headers):
    return client.post(PATH, json=body, headers={"Idempotency-Key": key, **headers})


def test_the_same_key_of_the_same_caller_is_one_piece_of_work(client, body, queued):
    answers = [placed(client, body, "k", Authorization="Bearer a") for _ in range(3)]

    assert {202} == {one.status_code for one in answers}
    assert 1 == len({one.content for one in answers}) == len(queued())


def test_the_same_key_of_two_callers_is_two_pieces_of_work(client, body, queued):
    callers = [{"Authorization": "Bearer a"}, {"Authorization": "Bearer b"}, {}]
    ids = {placed(client, body, "k", **one).json()["letter_id"] for one in callers}

    assert 3 == len(ids) == len(queued())


def test_another_body_under_the_key_of_the_same_caller_is_refused(client, body, queued):
    placed(client, body, "k", Authorization="Bearer a")
    other = {**body, "recipient": "Bob"}
    answer, of_others = placed(client, other, "k", Authorization="Bearer a"), placed(client, other, "k")

    assert (409, "idempotency_conflict") == (answer.status_code, answer.json()["error"])
    assert 202 == of_others.status_code
    assert 2 == len(queued())


def test_a_service_may_say_who_the_caller_is():
    keys = IdempotencyKeys(NAMESPACE, caller=lambda request: request.headers["x-user"])
    one, same, other = (request(("x-user", user), ("authorization", secret)) for user, secret in ("ax", "ay", "bx"))

    assert ask(keys, one) == ask(keys, same) != ask(keys, other)


def request(*headers):
    raw = [(b"idempotency-key", b"k"), *((name.encode(), value.encode()) for name, value in headers)]
    return Request({"type": "http", "headers": raw})


def ask(keys, request):
    with pytest.raises(StopIteration) as caught:
        keys(request).send(None)
    return caught.value.value


def test_nobody_can_write_a_key_that_is_another_callers():
    keys = IdempotencyKeys(NAMESPACE)
    scoped = keys.id("k", "Bearer a")
    lookalikes = [keys.id("Bearer ak"), keys.id("k", "Bearer"), keys.id("a k", "Bearer"), keys.id("k")]

    assert scoped not in lookalikes


def test_the_secret_of_a_caller_is_neither_logged_nor_stored(client, body, redis_server):
    with structlog.testing.capture_logs() as lines:
        placed(client, body, "k", Authorization="Bearer hunter2")
    import redis

    with redis.Redis(port=redis_server.port) as broker:
        stored = [broker.dump(key) for key in broker.keys("*")]

    assert stored
    assert "hunter2" not in str(lines) + str(stored)


def test_all_of_several_authorization_headers_count():
    both, one = request(("authorization", "a"), ("authorization", "b")), request(("authorization", "a"))

    assert by_authorization(both) != by_authorization(one)


def test_the_id_of_a_key_is_the_same_in_every_process_and_version():
    keys = IdempotencyKeys(NAMESPACE)

    assert ("88104e85-54cf-526a-a530-5b56f29d23cc", "7005482f-5a00-5832-9d24-f9e9f906ae1a") == (
        str(keys.id("k")),
        str(keys.id("k", "Bearer a")),
    )


def test_without_a_key_each_request_is_new(client, body, queued):
    assert client.post(PATH, json=body).content != client.post(PATH, json=body).content
    assert 2 == len(queued())


@pytest.mark.parametrize("key", ["", "   ", "x" * 256, "a\tb", "caf\u00e9", "a\x7f", ["a", "a"], ["a", "b"]])
def test_what_is_no_key_is_refused(client, queued, body, key):
    values = [one.encode("latin-1") for one in (key if type(key) is list else [key])]
    answer = client.post(PATH, json=body, headers=[("Idempotency-Key", one) for one in values])

    assert (400, "invalid_idempotency_key") == (answer.status_code, answer.json()["error"])
    assert [] == queued()


def test_a_wrong_body_is_told_before_anything_is_remembered_of_its_key(client, body):
    assert 422 == placed(client, {**body, "recipient": ""}, "k").status_code
    assert 202 == placed(client, body, "k").status_code


def test_it_is_described(client):
    parameters = client.get("/openapi.json").json()["paths"][PATH]["post"]["parameters"]
    [told] = [one["description"] for one in parameters if one["name"] == "Idempotency-Key"]

    assert "Authorization" in told
