"""How much of a body is taken, and how long it may take to come."""

import asyncio
import json

import pytest

from celeriac.http.body_limit import BodyLimit

PATH = "/letters"


class Transfer:
    """A client's side of one request, message by message."""

    def __init__(self, *chunks, headers=(), endless=False):
        self.chunks = list(chunks)
        self.headers = [(key.encode(), value.encode()) for key, value in headers]
        self.endless = endless
        self.read = 0
        self.sent = []

    @property
    def scope(self):
        return {"type": "http", "method": "POST", "path": PATH, "headers": self.headers}

    async def receive(self):
        if not self.chunks:
            if self.endless:
                await asyncio.Event().wait()
            return {"type": "http.disconnect"}
        chunk = self.chunks.pop(0)
        self.read += len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": bool(self.chunks) or self.endless}

    async def send(self, message):
        self.sent.append(message)

    @property
    def status(self):
        return self.sent[0]["status"] if self.sent else None

    @property
    def error(self):
        return json.loads(self.sent[1]["body"])["error"]


class Recorder:
    """An application that keeps what reaches it."""

    def __init__(self):
        self.body = None

    async def __call__(self, scope, receive, send):
        message = await receive()
        self.body = message["body"]
        assert not message["more_body"]


def run(transfer, **limits):
    reached = Recorder()
    asyncio.run(BodyLimit(reached, **limits)(transfer.scope, transfer.receive, transfer.send))
    return reached.body


CHUNKED = [("transfer-encoding", "chunked")]


def test_a_body_in_pieces_arrives_whole():
    assert b"abcdef" == run(Transfer(b"ab", b"cd", b"ef", headers=CHUNKED))


def test_a_body_of_exactly_the_limit_arrives():
    assert 10 == len(run(Transfer(b"x" * 6, b"x" * 4, headers=CHUNKED), most_bytes=10))


def test_one_byte_more_does_not_although_nobody_said_how_long_it_is():
    transfer = Transfer(b"x" * 6, b"x" * 5, headers=CHUNKED)

    assert run(transfer, most_bytes=10) is None
    assert (413, "body_too_large") == (transfer.status, transfer.error)


def test_a_declared_length_over_the_limit_is_refused_without_the_body():
    transfer = Transfer(b"x" * 5, headers=[("content-length", "11"), ("expect", "100-continue")])

    assert run(transfer, most_bytes=10) is None
    assert (413, 0) == (transfer.status, transfer.read)


def test_a_length_that_lies_does_not_help():
    transfer = Transfer(b"x" * 11, headers=[("content-length", "5")])

    assert run(transfer, most_bytes=10) is None
    assert 413 == transfer.status


def test_an_absurd_length_is_refused():
    transfer = Transfer(headers=[("content-length", "9" * 5_000)])

    assert run(transfer) is None
    assert 413 == transfer.status


def test_the_rest_is_read_for_a_while_so_that_the_client_sees_the_answer():
    transfer = Transfer(*[b"x" * 1_000] * 20, headers=CHUNKED)
    run(transfer, most_bytes=10)

    assert 20_000 == transfer.read


def test_but_not_for_ever():
    transfer = Transfer(*[b"x" * 64_000] * 100, headers=CHUNKED)
    run(transfer)

    assert transfer.read < 1_300_000


def test_a_body_that_does_not_come_is_a_408():
    transfer = Transfer(b"{", headers=CHUNKED, endless=True)

    assert run(transfer, body_seconds=0.01) is None
    assert (408, "body_timeout") == (transfer.status, transfer.error)


def test_a_client_that_goes_away_gets_no_answer():
    transfer = Transfer(headers=CHUNKED)

    assert run(transfer) is None
    assert [] == transfer.sent


def big(body, size):
    text = json.dumps(body)
    return text + " " * (size - len(text))


@pytest.mark.parametrize("chunked", [False, True])
def test_64_kib_are_the_limit_of_the_api(client, body, chunked):
    def post(size):
        content = big(body, size)
        pieces = (content[at : at + 1_000].encode() for at in range(0, size, 1_000))
        return client.post(PATH, content=pieces if chunked else content, headers={"Content-Type": "application/json"})

    assert [202, 413] == [post(65_536).status_code, post(65_537).status_code]
    assert "64 KiB" in post(100_000).json()["message"]
