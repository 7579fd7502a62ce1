import base64
import json
import os
import re
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from celery.app.task import Context
from kombu.utils.json import dumps, loads

from celeriac.message.frame import body_of, frame, lineage, plain_mould

ARGS: list[Any] = [{"name": 'é"\\\n\u2028', "number": 2**70, "rate": 1e-7, "deep": [None, True, {"a": []}]}]
HEADERS: dict[str, Any] = {"mine": "ä", "n": 1, "f": 1.5, "o": {"a": None}, "no": None}


@pytest.fixture
def stock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What stock Celery and kombu hand to the transport for a task."""
    from kombu.transport.memory import Channel

    handed: list[dict[str, Any]] = []
    monkeypatch.setattr(Channel, "_put", lambda self, queue, message, **_: handed.append(message))
    app = Celery("stock", broker="memory://", set_as_current=False)

    def send(*arguments: Any, **options: Any) -> dict[str, Any]:
        app.send_task(*arguments, **options)
        return handed[-1]

    return send


def text(raw: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(raw)
    return found


def body(message: dict[str, Any]) -> Any:
    return loads(base64.b64decode(message["body"]))


def without_what_differs(message: dict[str, Any]) -> dict[str, Any]:
    """Tags and bodies differ by their nature, the rest by what this process shows and answers to."""
    message = loads(dumps(message))
    message.pop("body")
    message["properties"].pop("delivery_tag")
    for part in ("argsrepr", "kwargsrepr", "x_correlation_id", "published_at"):
        message["headers"].pop(part, None)
    return message


def test_a_message_is_what_stock_celery_would_have_sent(stock: Any) -> None:
    theirs = stock(
        "tasks.x", args=ARGS, kwargs={"k": "ü"}, queue="orders", task_id="one", ignore_result=True, priority=6,
        retries=2, root_id="root", parent_id="parent", headers=HEADERS,
        time_limit=9, soft_time_limit=8.5, eta="2030-01-01T00:00:00+00:00", reply_to="me",
    )  # fmt: skip
    ours = frame(
        "tasks.x", "orders", ARGS, kwargs={"k": "ü"}, task_id="one", ignore_result=True, priority=6,
        retries=2, root_id="root", parent_id="parent", headers=HEADERS,
        timelimit=(9, 8.5), eta="2030-01-01T00:00:00+00:00", reply_to="me",
    )  # fmt: skip
    assert without_what_differs(theirs) == without_what_differs(text(ours))
    assert body(theirs) == body(text(ours))


def test_a_message_is_spelt_as_kombu_spells_it() -> None:
    raw = frame("tasks.ü", 'or"ders', ARGS, task_id="é", headers={"h": "\ud800", "g": [1, "ß"]})
    assert dumps(json.loads(raw)).encode() == raw
    assert raw.isascii()


@pytest.mark.parametrize("extra", [{}, {"eta": "2030-01-01T00:00:00+00:00"}])
def test_the_last_bytes_are_the_delivery_tag_and_the_eta_is_found_by_its_spelling(extra: Any) -> None:
    raw = frame("tasks.x", "orders", [], task_id="one", headers={"eta_of_mine": "null"}, **extra)
    assert re.search(rb', "delivery_tag": "[0-9a-f-]{36}"}}$', raw)
    assert (b'"eta": null' in raw) == (not extra)
    assert (b'"eta": "2030-01-01T00:00:00+00:00"' in raw) == bool(extra)


def test_a_payload_that_is_json_already_makes_the_same_message() -> None:
    plain = text(frame("tasks.x", "orders", ARGS, task_id="one"))
    mould = plain_mould("tasks.x", "orders", ignore_result=False)
    encoded = text(mould.message(body_of(json.dumps(ARGS[0], ensure_ascii=False).encode()), "one"))
    assert body(plain) == body(encoded)
    assert without_what_differs(plain) == without_what_differs(encoded)
    assert [[], {}] == body(text(mould.message(body_of(None), "one")))[:2]


def test_numbers_and_text_arrive_exactly(stock: Any) -> None:
    args = ["\ud800", 10**400, -(2**63) - 1, 0.1, 1e300, "\x00", "😀"]
    assert args == body(text(frame("tasks.x", "q", args, task_id="one")))[0]
    identity = uuid4()
    assert [identity] == body(text(frame("tasks.x", "q", [identity], task_id="one")))[0]  # kombu's own mark for it


def test_a_header_of_celerys_is_not_given_twice() -> None:
    with pytest.raises(ValueError, match=r"^eta, id: headers of Celery's own"):
        frame("tasks.x", "q", [], task_id="one", headers={"id": "two", "eta": None, "mine": 1})


def test_the_root_is_the_task_itself_where_there_is_none() -> None:
    headers = text(frame("tasks.x", "q", [], task_id="one"))["headers"]
    assert ("one", None) == (headers["root_id"], headers["parent_id"])


def test_a_message_of_a_mould_may_have_a_root_and_a_parent_of_its_own() -> None:
    mould = plain_mould("tasks.x", "orders", ignore_result=True)
    made = text(mould.message(body_of(b"1"), "one", lineage=lineage("röot", 'par"ent')))
    assert made["headers"] == text(
        frame("tasks.x", "orders", [1], task_id="one", ignore_result=True, root_id="röot", parent_id='par"ent')
    )["headers"]  # fmt: skip
    other = text(mould.message(body_of(b"1"), "two"))["headers"]
    assert ("two", None) == (other["root_id"], other["parent_id"])


def test_no_tag_is_given_twice_not_even_by_a_child_process() -> None:
    mould = plain_mould("t", "q", ignore_result=False)

    def tags() -> list[str]:
        return [text(mould.message(body_of(None), "i"))["properties"]["delivery_tag"] for _ in range(100)]

    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, json.dumps([tags(), text(mould.message(body_of(None), "i"))["headers"]["origin"]]).encode())
        os._exit(0)
    ours = tags()
    os.waitpid(child, 0)
    theirs, origin = json.loads(os.read(reader, 100_000))
    assert 200 == len({*ours, *theirs})
    assert origin.startswith(f"gen{child}@")


def test_a_stock_request_reads_every_part(stock: Any) -> None:
    raw = frame("tasks.x", "q", ARGS, task_id="one", headers={"mine": 1}, timelimit=(9, 8), retries=3)
    context = Context(text(raw)["headers"])
    assert ("one", "one", 3, [9, 8], False) == (
        context.id,
        context.root_id,
        context.retries,
        context.timelimit,
        context.ignore_result,
    )
    assert 1 == context.get("mine")
