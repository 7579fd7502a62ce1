"""Whatever stock Celery's serializer can write, ours writes, and a reader reads the same; what it refuses, ours refuses
in the same way."""

import enum
import ipaddress
import json
import math
import pathlib
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from celery import Celery
from celery.app.task import Context
from celery.result import AsyncResult, EagerResult, GroupResult
from hypothesis import given
from hypothesis import strategies as st
from kombu.exceptions import EncodeError
from kombu.serialization import dumps as stock_dumps
from kombu.utils import json as kombu_json
from pydantic import Field, RootModel, TypeAdapter

from celeriac import correlation
from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings
from celeriac.contract.contract import Contract
from celeriac.contract.execution import Work
from celeriac.contract.implementation import implements
from celeriac.contract.messages import Messages
from celeriac.contract.outcome import Child
from celeriac.message.frame import frame, further
from celeriac.message.reading import body, loads
from celeriac.outcome.commit import Commit
from celeriac.payloads import TaskPayload

pytestmark = pytest.mark.integration


class Text(str):
    pass


class Number(int):
    pass


class Real(float):
    pass


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Plain(enum.Enum):
    ONE = 1


class Reduced:
    def __json__(self) -> Any:
        return {"reduced": [1, Decimal("1.5")]}


class Broken:
    def __json__(self) -> Any:
        raise RuntimeError("not today")


class Point:
    """Of somebody's own, known to kombu by `register_type`."""

    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and other.x == self.x

    __hash__ = None  # type: ignore[assignment]


@dataclass
class Data:
    x: int


Pair = namedtuple("Pair", "a b")


def nested(depth: int) -> Any:
    found: Any = []
    for _ in range(depth):
        found = [found]
    return found


def itself() -> Any:
    found: list[Any] = []
    found.append(found)
    return found


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kombu_json, "_encoders", dict(kombu_json._encoders))
    monkeypatch.setattr(kombu_json, "_decoders", dict(kombu_json._decoders))
    kombu_json.register_type(Point, "point", lambda point: point.x, Point)


PICKED: dict[str, Any] = {
    "text of a class of its own": Text("x"),
    "number of a class of its own": Number(3),
    "real of a class of its own": Real(1.5),
    "text of an enum": Colour.RED,
    "number of an enum": Level.HIGH,
    "an enum": Plain.ONE,
    "__json__": Reduced(),
    "a broken __json__": Broken(),
    "a registered type": Point(3),
    "a dataclass": Data(1),
    "a named tuple": Pair(1, [2]),
    "an ordered dict": OrderedDict(b=1, a=2),
    "deep": nested(200),
    "too deep": nested(5_000),
    "itself": itself(),
    "a big number": 10**40,
    "a bigger number": 10**5_000,
    "a number of 64 bits": -(2**63) - 1,
    "not a number": math.nan,
    "infinite": [math.inf, -math.inf],
    "tiny": [5e-324, -0.0, 1.7976931348623157e308],
    "half a surrogate pair": "\ud800",
    "its name, too": {"\udfff": "\ud83d"},
    "a whole one": "😀\u2028\x00\x7f",
    "names that are numbers": {1: 2, 1.5: 3, -0.0: 4},
    "names that are words": {None: 1, True: 2, math.nan: 3},
    "names of an enum": {Colour.RED: 1, Level.HIGH: 2},
    "names that are tuples": {(1,): 2},
    "names that are bytes": {b"a": 2},
    "a set": {1},
    "bytes": [b"", b"a", b"\xff\x00", "é".encode()],
    "a bytearray": bytearray(b"a"),
    "decimals": [Decimal("1.50"), Decimal("-0"), Decimal("Infinity"), Decimal("1E+30")],
    "a date": date(2020, 2, 29),
    "dates and times": [datetime(2020, 1, 1), datetime(2020, 1, 1, tzinfo=UTC)],  # noqa: DTZ001
    "times": [time(1, 2, 3, 4), time(1, tzinfo=timezone(timedelta(hours=5.5)))],
    "a time span": timedelta(1),
    "an id": UUID(int=7),
    "a path": pathlib.PurePosixPath("/x"),
    "an address": ipaddress.ip_address("::1"),
    "a fraction": Fraction(1, 3),
    "complex": 1j,
    "a function": len,
    "a class": int,
    "a generator": (x for x in ()),
    "an error": ValueError("x"),
    "a mark of kombu's": {"__type__": "uuid", "__value__": {"hex": "0" * 32}},
    "nearly a mark": {"__type__": "uuid", "more": 1},
    "null": [None, "null"],
}

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text()
    | st.text(st.characters())  # surrogates too
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.dates()
    | st.datetimes()
    | st.times()
    | st.uuids()
    | st.sampled_from([Colour.RED, Level.HIGH, Text("x"), Number(3), Real(1.5), Pair(1, 2)])
    | st.builds(Point, st.integers())
)
names = st.text() | st.text(st.characters()) | st.integers() | st.booleans() | st.none() | st.floats()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.dictionaries(names, inner) | st.tuples(inner, inner),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    """NaN is the same as NaN here, and 1 is not True."""
    return repr(one) == repr(other) or (type(one) is type(other) and one == other)


def stock(value: Any) -> Any:
    """What a stock reader has of it; EncodeError where stock refuses it."""
    _, _, text = stock_dumps(value, serializer="json")
    return kombu_json.loads(text)


def either(write: Callable[[], Any]) -> Any:
    try:
        return write()
    except EncodeError:
        return EncodeError


def repr_of_type(value: Any) -> str:
    return type(value).__name__


def agree(value: Any, ours: Callable[[Any], Any]) -> None:
    wanted = either(lambda: stock(value))
    if wanted is EncodeError:
        with pytest.raises(Exception):  # noqa: B017, PT011  whatever it is: nothing is written
            ours(value)
    else:
        found = ours(value)
        assert same(wanted, found) or same(kombu_json.dumps(wanted), kombu_json.dumps(found))


def an_argument(value: Any) -> Any:
    return body(loads(frame("tasks.x", "q", [value], task_id="a")))[0][0]


def a_named_argument(value: Any) -> Any:
    return body(loads(frame("tasks.x", "q", [], kwargs={"x": value}, task_id="a")))[1]["x"]


def a_header(value: Any) -> Any:
    return loads(frame("tasks.x", "q", [], headers={"x": value}, task_id="a"))["headers"]["x"]


def a_name_of_a_header(value: Any) -> Any:
    return loads("{" + further({"": 0, **value}).removeprefix(", ") + "}")


@pytest.fixture(scope="module")
def app(redis_server: Any) -> Iterator[Celery]:
    with make_app("test", CelerySettings(broker_url=redis_server.url)) as app:
        yield app
        backend: Any = app.backend
        backend.result_consumer.stop()  # a GroupResult subscribes


def result(app: Celery) -> Callable[[Any], Any]:
    """As the runner of a plain task writes a success, read as any client reads it."""
    backend: Any = app.backend
    write = backend.success_meta

    def written(value: Any) -> Any:
        commit = Commit("tag", "a")
        write(commit, {}, value, False)
        return backend.decode_result(commit.result)["result"]

    return written


WRITERS = [an_argument, a_named_argument, a_header]


@pytest.mark.parametrize("ours", WRITERS, ids=lambda ours: ours.__name__)
@pytest.mark.parametrize("value", PICKED.values(), ids=PICKED)
def test_a_message_says_what_stock_would_say(value: Any, ours: Callable[[Any], Any]) -> None:
    agree(value, ours)


@given(value=values)
def test_any_argument_and_header_arrives_as_from_stock(value: Any) -> None:
    for ours in WRITERS:
        agree(value, ours)


@given(headers=st.dictionaries(names, scalars, max_size=4))
def test_headers_have_any_names_that_stock_takes(headers: dict[Any, Any]) -> None:
    agree({"": 0, **headers}, lambda _: a_name_of_a_header(headers))


@pytest.mark.parametrize("value", PICKED.values(), ids=PICKED)
def test_a_result_is_stored_or_refused_as_stock_does(value: Any, app: Celery) -> None:
    ours, wanted = result(app), either(lambda: stock(value))
    found = either(lambda: ours(value))
    assert wanted is found or same(kombu_json.dumps(wanted), kombu_json.dumps(found))


@given(value=values)
def test_any_result_is_read_as_from_stock(app: Celery, value: Any) -> None:
    agree(value, result(app))


@pytest.mark.parametrize("kind", ["AsyncResult", "GroupResult", "EagerResult"])
def test_the_result_of_a_task_may_be_a_result(app: Celery, kind: str) -> None:
    one = AsyncResult("b", app=app)
    value: Any = {
        "AsyncResult": one,
        "GroupResult": GroupResult("g", [one], app=app),
        "EagerResult": EagerResult("e", 1, "SUCCESS"),
    }[kind]
    backend: Any = app.backend
    meta = backend._get_result_meta(backend.encode_result(value, "SUCCESS"), "SUCCESS", None, None)
    stored = backend.decode_result(backend.encode(meta))
    assert stored["result"] == result(app)(value)


# Contracts: what stock would write is kombu's JSON of pydantic's JSON data.


class Odd(TaskPayload):
    source_service: str = "test"
    anything: Any = None
    real: float = 0.0
    reals: dict[str, float] = Field(default_factory=dict)
    number: int = 0
    amount: Decimal = Decimal(0)
    raw: bytes = b""
    span: timedelta = timedelta(0)
    kind: Plain = Plain.ONE
    colour: Colour = Colour.RED
    some: frozenset[int] = frozenset()
    path: pathlib.PurePosixPath = pathlib.PurePosixPath("/")
    address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address("::1")
    either: int | str | None = None
    text: str = ""
    by_number: dict[int, str] = Field(default_factory=dict)


class Reals(RootModel[list[float]]):
    pass


FIELDS: dict[str, dict[str, Any]] = {
    "not a number": {"real": math.nan},
    "infinite": {"real": -math.inf, "reals": {"x": math.inf}},
    "not a number beside nothing": {"real": math.nan, "either": None, "text": "null"},
    "nothing": {"either": None, "text": "null"},
    "a big number": {"number": -(10**40), "either": 2**64},
    "an amount": {"amount": Decimal("1E+30")},
    "bytes": {"raw": "é".encode()},
    "a span": {"span": timedelta(days=-1, microseconds=1)},
    "a set": {"some": frozenset({1, 2})},
    "an address": {"address": ipaddress.ip_address("10.0.0.1")},
    "half a surrogate pair": {"text": "a\ud800b", "either": "\udfff"},
    "names that are numbers": {"by_number": {-1: "a", 2**70: "b"}},
    "__json__": {"anything": Reduced()},
    "a registered type": {"anything": [Point(3)]},
    "of classes of their own": {"anything": [Text("x"), Number(3), Real(1.5), Level.HIGH, {Colour.RED: 1}]},
    "a mark of kombu's": {"anything": {"__type__": "uuid", "__value__": {"hex": "0" * 32}}},
    "many things": {"anything": [Decimal("1.5"), {1}, date(2020, 2, 29), UUID(int=7), Pair(1, 2), Data(1)]},
}


def contract(payload: type[Any], result: type[Any] = Odd) -> Contract[Any, Any]:
    return Contract(name="tasks.odd", queue="q", payload=payload, result=result)


def of_a_contract(kind: TypeAdapter[Any], value: Any) -> Any:
    return stock(kind.dump_python(value, mode="json", fallback=kombu_json.JSONEncoder().default))


def published(app: Celery, made: Contract[Any, Any], payload: Any) -> Any:
    return body(loads(made.bind(app).message(payload).raw))[0][0]


def published_by_a_task(app: Celery, made: Contract[Any, Any], payload: Any) -> Any:
    work = Work(made, implements(made)(lambda given: None), app, made.retries)
    commit = Commit("tag", "parent")
    work._publish_all([Child(made, payload)], Context(id="parent"), commit, None)
    return body(loads(commit.children[1]))[0][0]


def returned(app: Celery, made: Contract[Any, Any], value: Any) -> Any:
    """As a runner does it."""
    backend: Any = app.backend
    commit = Commit("tag", "a")
    backend.success_meta(commit, {}, made.result_json(value), True)
    return backend.decode_result(commit.result)["result"]


@pytest.mark.parametrize("fields", FIELDS.values(), ids=FIELDS)
@pytest.mark.parametrize("ours", [published, published_by_a_task, returned])
def test_a_contract_writes_what_stock_would_write(app: Celery, fields: dict[str, Any], ours: Any) -> None:
    made = contract(Odd)
    value = Odd(**fields)
    wanted, found = of_a_contract(made.payload_adapter, value), ours(app, made, value)
    assert same(kombu_json.dumps(wanted), kombu_json.dumps(found))
    if "anything" not in fields:
        again = Odd.model_validate(found)
        assert same(value.model_dump(mode="json"), again.model_dump(mode="json"))


@given(value=values)
def test_a_contract_writes_any_value_that_stock_would_write(app: Celery, value: Any) -> None:
    made = contract(Odd)
    odd = Odd(anything=value)
    wanted = either(lambda: of_a_contract(made.payload_adapter, odd)) if _takes(odd) else EncodeError
    for ours in (published, published_by_a_task, returned):
        assert same(wanted, either(lambda ours=ours: ours(app, made, odd))), ours.__name__


def _takes(odd: Odd) -> bool:
    try:
        odd.model_dump(mode="json", fallback=kombu_json.JSONEncoder().default)
    except Exception:
        return False
    return True


@pytest.mark.parametrize("ours", [published, returned])
def test_a_payload_need_not_be_an_object(app: Celery, ours: Any) -> None:
    assert same([math.nan, math.inf], ours(app, contract(Reals, Reals), Reals([math.nan, math.inf])))


@pytest.mark.parametrize("value", [Broken(), len, object(), nested(5_000), b"\xff"], ids=repr_of_type)
@pytest.mark.parametrize("ours", [published, published_by_a_task, returned])
def test_what_json_has_no_place_for_is_an_encode_error(app: Celery, value: Any, ours: Any) -> None:
    with pytest.raises(EncodeError):
        ours(app, contract(Odd), Odd(anything=value))


def test_a_correlation_id_is_text_whatever_was_given(app: Celery) -> None:
    made = contract(Odd).bind(app)
    options = {"headers": {correlation.HEADER: UUID(int=7), "n": 5, 3: None}}
    message = Messages(made, app, options).make(Odd())
    headers = loads(message.raw)["headers"]
    assert (str(UUID(int=7)), 5, None) == (headers[correlation.HEADER], headers["n"], headers["3"])


@pytest.mark.parametrize("text", ["x", "\ud800"])
def test_the_state_of_a_running_task_has_any_id(app: Celery, text: str) -> None:
    backend: Any = app.backend
    assert text == json.loads(backend.started_meta("a", text)[1])["result"]["hostname"]


@pytest.mark.parametrize("given", [7, "\ud800", ["x"]])
def test_a_follow_up_carries_whatever_id_a_stock_client_gave_as_text(app: Celery, given: Any) -> None:
    made = contract(TaskPayload)
    work = Work(made, implements(made)(lambda given: None), app, made.retries)
    commit, request = Commit("tag", "parent"), Context(id="parent", **{correlation.HEADER: given})
    work._publish_all([Child(made, TaskPayload(source_service="test"))], request, commit, None)
    headers = loads(commit.children[1])["headers"]
    assert (str(given), "parent", "parent") == (
        headers[correlation.HEADER],
        headers["root_id"],
        headers["parent_id"],
    )
