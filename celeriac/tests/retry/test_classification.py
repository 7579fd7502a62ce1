import errno
import socket
import urllib.error
from email.message import Message
from typing import Any

import httpx
import pydantic
import pytest
import redis.exceptions
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from kombu.exceptions import OperationalError

from celeriac.errors import (
    CircuitOpen,
    PermanentError,
    TaskError,
    TransientError,
    ValidationError,
    WrongPayload,
)
from celeriac.retry.classification import CLASSIFICATION, Kind, classify, retry_after_seconds

NOON = 1_767_355_200.0  # Fri, 02 Jan 2026 12:00:00 GMT


def wrong_model() -> Exception:
    try:
        pydantic.TypeAdapter(int).validate_python("x")
    except pydantic.ValidationError as exc:
        return exc
    raise AssertionError


def of_httpx(status: int, **headers: str) -> Exception:
    request = httpx.Request("GET", "http://payments")
    response = httpx.Response(status, headers={name.replace("_", "-"): text for name, text in headers.items()})
    return httpx.HTTPStatusError("", request=request, response=response)


def of_requests(status: int, **headers: str) -> Exception:
    response = requests.Response()
    response.status_code = status
    response.headers.update({name.replace("_", "-"): text for name, text in headers.items()})
    return requests.HTTPError(response=response)


def of_urllib(status: int, **headers: str) -> Exception:
    message = Message()
    for name, text in headers.items():
        message[name.replace("_", "-")] = text
    return urllib.error.HTTPError("http://payments", status, "", message, None)


class OfAiohttp(Exception):
    def __init__(self, status: int, **headers: str) -> None:
        self.status = status
        self.headers = {name.replace("_", "-"): text for name, text in headers.items()}


CLIENTS = [of_httpx, of_requests, of_urllib, OfAiohttp]


@pytest.mark.parametrize(
    "error",
    [
        TransientError("x"),
        CircuitOpen("x"),
        ConnectionResetError("x"),
        TimeoutError("x"),
        OperationalError("x"),
        redis.exceptions.ConnectionError("x"),
        redis.exceptions.TimeoutError("x"),
        redis.exceptions.BusyLoadingError("LOADING"),
        redis.exceptions.OutOfMemoryError("OOM"),
        redis.exceptions.ReadOnlyError("READONLY"),
        redis.exceptions.MasterDownError("MASTERDOWN"),
        redis.exceptions.ResponseError("MISCONF Redis is configured to save"),
        redis.exceptions.ResponseError("NOREPLICAS Not enough good replicas"),
        redis.exceptions.ResponseError(
            "Error running script (call to f_c0): @user_script:7: @user_script: 7: -READONLY x"
        ),
        redis.exceptions.WatchError("x"),
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        OSError(errno.EHOSTUNREACH, "No route to host"),
        urllib.error.URLError(ConnectionRefusedError(111, "refused")),
        urllib.error.URLError(socket.gaierror(-2, "unknown")),
        httpx.ConnectError("x"),
        httpx.ReadTimeout("x"),
        httpx.RemoteProtocolError("x"),
        requests.ConnectionError("x"),
        requests.ReadTimeout("x"),
        requests.exceptions.ChunkedEncodingError("x"),
    ],
    ids=repr,
)
def test_what_may_heal_is_transient(error: Exception) -> None:
    assert Kind.TRANSIENT is classify(error)


@pytest.mark.parametrize(
    "error",
    [
        ValidationError("x"),
        WrongPayload("x"),
        wrong_model(),
        PermanentError("x"),
        TypeError("x"),
        MemoryError("x"),
        SystemExit(1),
        httpx.UnsupportedProtocol("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_cannot_heal_is_permanent(error: BaseException) -> None:
    assert Kind.PERMANENT is classify(error)


@pytest.mark.parametrize(
    "error",
    [
        KeyError("x"),
        ValueError("x"),
        TaskError("x"),
        FileNotFoundError(errno.ENOENT, "x"),
        OSError("x"),
        urllib.error.URLError("unknown url type: gopher"),
        redis.exceptions.ResponseError("ERR wrong number of arguments"),
        redis.exceptions.NoPermissionError("NOPERM"),
        requests.exceptions.InvalidURL("x"),
    ],
    ids=repr,
)
def test_of_everything_else_nobody_knows(error: Exception) -> None:
    assert Kind.UNKNOWN is classify(error)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, Kind.UNKNOWN),
        (400, Kind.PERMANENT),
        (401, Kind.PERMANENT),
        (404, Kind.PERMANENT),
        (409, Kind.PERMANENT),
        (408, Kind.TRANSIENT),
        (425, Kind.TRANSIENT),
        (429, Kind.TRANSIENT),
        (500, Kind.TRANSIENT),
        (503, Kind.TRANSIENT),
    ],
)
def test_an_http_answer_is_judged_by_its_status(client: Any, status: int, kind: Kind) -> None:
    assert kind is classify(client(status))


class Strange(Exception):
    """Carries what looks like an answer and is none."""

    def __init__(self, response: Any) -> None:
        self.response = response


@pytest.mark.parametrize("response", [None, {"ResponseMetadata": {}}, "503", 503, object()])
def test_an_answer_of_another_kind_says_nothing(response: Any) -> None:
    assert (Kind.UNKNOWN, None) == (classify(Strange(response)), retry_after_seconds(Strange(response)))


def test_an_answer_that_breaks_when_looked_at_says_nothing() -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

    assert (Kind.UNKNOWN, None) == (classify(Strange(Broken())), retry_after_seconds(Strange(Broken())))


class Declined(Exception): ...


class CardDeclined(Declined): ...


def test_a_service_adds_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CLASSIFICATION, Declined, Kind.PERMANENT)
    assert [Kind.PERMANENT, Kind.PERMANENT] == [classify(Declined()), classify(CardDeclined())]


def test_the_most_specific_class_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CLASSIFICATION, Declined, Kind.PERMANENT)
    monkeypatch.setitem(CLASSIFICATION, CardDeclined, Kind.TRANSIENT)
    assert [Kind.PERMANENT, Kind.TRANSIENT] == [classify(Declined()), classify(CardDeclined())]


def test_a_class_may_be_given_by_its_full_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CLASSIFICATION, f"{__name__}.Declined", Kind.TRANSIENT)
    assert Kind.TRANSIENT is classify(CardDeclined())


def test_a_rule_may_look_at_the_error_and_leave_it_to_the_family(monkeypatch: pytest.MonkeyPatch) -> None:
    def by_text(error: Exception) -> Kind | None:
        return Kind.TRANSIENT if "later" in str(error) else None

    monkeypatch.setitem(CLASSIFICATION, Declined, Kind.PERMANENT)
    monkeypatch.setitem(CLASSIFICATION, CardDeclined, by_text)
    assert Kind.TRANSIENT is classify(CardDeclined("try later"))
    assert Kind.PERMANENT is classify(CardDeclined("no"))


def test_a_rule_that_fails_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CLASSIFICATION, Declined, lambda error: error.nothing_such)
    assert Kind.UNKNOWN is classify(Declined())


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        (" 1.5 ", 1.5),
        ("0", 0),
        ("Fri, 02 Jan 2026 12:00:30 GMT", 30),
        ("Fri, 02 Jan 2026 11:00:00 GMT", 0),
        ("Fri, 02 Jan 2026 12:00:30 -0000", 30),
        ("Fri, 02 Jan 2026 13:00:30 +0100", 30),
    ],
)
def test_retry_after_is_seconds_or_a_date(client: Any, text: str, seconds: float) -> None:
    assert seconds == retry_after_seconds(client(503, Retry_After=text), now=lambda: NOON)


@pytest.mark.parametrize("text", ["", "soon", "-3", "1e3", "inf", "nan", "٣", "1" * 10, "32 Jan 2026", "1,2"])
def test_what_cannot_be_read_is_not_said(text: str) -> None:
    assert retry_after_seconds(of_requests(503, Retry_After=text)) is None


@settings(derandomize=True, database=None)
@given(st.text() | st.binary() | st.integers() | st.none())
def test_no_header_whatever_breaks_it(value: Any) -> None:
    error = OfAiohttp(503)
    error.headers["Retry-After"] = value
    seconds = retry_after_seconds(error)
    assert seconds is None or seconds >= 0


def test_no_header_is_no_wait() -> None:
    assert retry_after_seconds(of_httpx(503)) is None
    assert retry_after_seconds(KeyError("x")) is None


def test_our_own_error_says_it_by_keyword() -> None:
    assert [7, None, 0] == [
        retry_after_seconds(TransientError("x", retry_after_seconds=7)),
        retry_after_seconds(TransientError("x")),
        retry_after_seconds(TransientError("x", retry_after_seconds=-1)),
    ]


def test_the_answer_behind_our_own_error_says_it_too() -> None:
    error = TransientError("payments is busy")
    error.__cause__ = of_httpx(429, Retry_After="12")
    assert 12 == retry_after_seconds(error)
    assert 3 == retry_after_seconds(raised_from(TransientError("x", retry_after_seconds=3), error.__cause__))


def raised_from(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error
