"""The small HTTP server, and those who are not kind to it."""

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

import httpx
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celeriac.errors import SettingsError
from celeriac.worker import endpoints
from celeriac.worker.endpoints import Endpoints, answer, listen


async def fine():
    return answer(HTTPStatus.OK, status="fine")


async def broken():
    raise RuntimeError("password=hunter2")


@pytest.fixture(scope="module")
def port():
    listener = listen("127.0.0.1", 0)
    Endpoints(listener, {"/fine": fine, "/broken": broken}).start()
    return listener.getsockname()[1]


@pytest.fixture(scope="module")
def get(port):
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        yield lambda path, method="GET": client.request(method, path)


def raw(port, *pieces, close=False):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        received = b""
        for piece in pieces:
            connection.sendall(piece)
        if close:
            connection.shutdown(socket.SHUT_WR)
        while more := connection.recv(65_536):
            received += more
        return received


def test_a_route_answers(get):
    reply = get("/fine?x=1")

    assert (200, {"status": "fine"}, "application/json") == (
        reply.status_code,
        reply.json(),
        reply.headers["content-type"],
    )


def test_head_answers_without_the_body(get):
    reply = get("/fine", "HEAD")

    assert (200, b"", "18") == (reply.status_code, reply.content, reply.headers["content-length"])


@pytest.mark.parametrize(("path", "method", "status"), [("/nothing", "GET", 404), ("/fine", "POST", 405)])
def test_what_it_does_not_have_it_says(get, path, method, status):
    reply = get(path, method)

    assert (status, {"error", "message"}) == (reply.status_code, set(reply.json()))


def test_a_bug_is_a_500_that_tells_nothing(get):
    with structlog.testing.capture_logs() as lines:
        reply = get("/broken")

    assert (500, "internal_error") == (reply.status_code, reply.json()["error"])
    assert "hunter2" not in reply.text
    assert "http.failed" in {line["event"] for line in lines}


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /fine\r\n\r\n",
        b"GET fine HTTP/1.1\r\n\r\n",
        b"GET /fine HTTP/2\r\n\r\n",
        b"get /fine HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_not_http_is_a_400(port, garbage):
    assert raw(port, garbage).startswith(b"HTTP/1.1 400 ")


def test_a_request_without_end_is_cut_off(port):
    reply = raw(port, b"GET /fine HTTP/1.1\r\n" + b"X: y\r\n" * 5_000)

    assert reply.startswith(b"HTTP/1.1 431 ")


def test_a_client_that_hangs_up_is_forgotten(port, get):
    assert b"" == raw(port, b"GET /fi", close=True)
    assert 200 == get("/fine").status_code


@given(st.binary(max_size=300))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_answered_or_dropped(port, sent):
    head, _, body = raw(port, sent, b"\r\n\r\n", close=True).partition(b"\r\n\r\n")

    assert head[:13] in {b"HTTP/1.1 400 ", b"HTTP/1.1 404 ", b"HTTP/1.1 405 ", b"HTTP/1.1 200 "}
    assert json.loads(body or b"{}") is not None


def test_those_who_say_nothing_do_not_keep_others_from_asking(port, get, monkeypatch):
    monkeypatch.setattr(endpoints, "REQUEST_SECONDS", 0.3)
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(endpoints.MOST_CONNECTIONS + 10)]
    try:
        deadline = time.monotonic() + 5
        while get("/fine").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        last = silent[-1]
        last.settimeout(5)
        assert b" 503 " in last.recv(100)  # one too many: told so, not left waiting
    finally:
        for one in silent:
            one.close()


def test_many_at_once_are_all_answered(get):
    with ThreadPoolExecutor(20) as pool:
        assert {200} == {reply.status_code for reply in pool.map(get, ["/fine"] * 200)}


def test_a_port_that_is_taken_is_told(port):
    with pytest.raises(SettingsError, match=f"HTTP_PORT={port}: Address already in use; choose another"):
        listen("127.0.0.1", port)
