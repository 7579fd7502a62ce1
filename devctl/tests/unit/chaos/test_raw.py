"""Bad messages: what they are made of, and that chance is the same chance every time."""

from __future__ import annotations

import base64
import json
import uuid
from collections import Counter

import pytest
from kombu.transport.virtual.base import Message
from kombu.utils.json import loads

from devctl.chaos import raw, remains

RUN = "r"


def test_a_good_one_is_what_stock_celery_reads() -> None:
    id_ = str(uuid.uuid4())
    message = Message(loads(raw.good(RUN, id_).decode()), channel=_Channel())
    args, kwargs, embed = message.decode()

    assert (id_, "tasks.chaos") == (message.headers["id"], message.headers["task"])
    assert (id_, RUN, "work") == (args[0]["task_id"], args[0]["run"], args[0]["kind"])
    assert ({}, None) == (kwargs, embed["chain"])


class _Channel:
    no_ack_consumers = None

    @staticmethod
    def decode_body(body: str, _encoding: str) -> bytes:
        import base64

        return base64.b64decode(body)


def test_every_case_of_the_matrix_is_there_once() -> None:
    cases = raw.cases(large_bytes=1_000)
    names = [case.name for case in cases]

    assert len(names) == len(set(names)) >= 30
    assert {"empty", "not JSON", "a list", "binary", "large", "deep", "no properties", "no headers"} <= set(names)
    assert {"no delivery_tag", "no delivery_info", "body not base64", "body not JSON", "body of two parts"} <= set(
        names
    )
    assert {"wrong arity", "pickle", "unknown content type", "unknown task", "bad eta"} <= set(names)
    assert {"a quote in the routing key", "one delivery tag twice"} <= set(names)


@pytest.mark.parametrize("case", raw.cases(large_bytes=1_000), ids=lambda case: case.name)
def test_a_bad_one_is_not_a_good_one(case: raw.Case) -> None:
    id_ = str(uuid.uuid4())
    expected = json.loads(raw.good(RUN, id_))
    for message in case.make(RUN):
        try:
            found = json.loads(message)
        except (ValueError, RecursionError):
            continue
        different = found.keys() ^ expected.keys() if isinstance(found, dict) else {"all"}
        if not different:
            different = {
                part
                for part in ("headers", "properties", "content-type")
                if _shape(found[part]) != _shape(expected[part])
            }
            different |= {"body"} if len(found["body"]) != len(expected["body"]) else set()
        assert different or case.name == "one delivery tag twice"


def _shape(part: object) -> object:
    """A part without what is another one in each message."""
    if not isinstance(part, dict):
        return part
    own = {"id", "root_id", "correlation_id"} | (
        {"delivery_tag"} if isinstance(part.get("delivery_tag"), str) else set()
    )
    return {key: value for key, value in part.items() if key not in own} | {"has": own & part.keys()}


def test_one_tag_twice_is_two_tasks() -> None:
    (case,) = [one for one in raw.cases() if one.name == "one delivery tag twice"]
    first, second = (json.loads(message) for message in case.make(RUN))

    assert first["properties"]["delivery_tag"] == second["properties"]["delivery_tag"]
    assert first["headers"]["id"] != second["headers"]["id"]


def test_chance_makes_the_same_messages_for_the_same_seed() -> None:
    assert _without_tags(raw.fuzzed(RUN, 50)) == _without_tags(raw.fuzzed(RUN, 50))
    assert _without_tags(raw.fuzzed(RUN, 50)) != _without_tags(raw.fuzzed(RUN, 50, seed=2))


def _without_tags(messages: object) -> list[int]:
    return [len(message) for message in messages]  # type: ignore[attr-defined]


def test_chance_spoils_in_many_ways() -> None:
    found: Counter[str] = Counter()
    for message in raw.fuzzed(RUN, 1_000):
        try:
            read = json.loads(message)
            found["JSON"] += 1
        except (ValueError, RecursionError):
            found["no JSON"] += 1
            continue
        found["an id"] += bool(remains.task_id(message))
        headers, body = read.get("headers") or {}, _body(read)
        found["protocol 2"] += isinstance(headers, dict) and "task" in headers
        found["protocol 1"] += '"taskset"' in body
        found["a mark"] += '"__type__"' in body or b'"__type__"' in message
        found["a name twice"] += message != json.dumps(read).encode() and b"NaN" not in message
        found["a deep body"] += "[[[[[[[[" in body

    assert {"JSON", "no JSON", "an id", "protocol 2", "protocol 1", "a mark", "a name twice", "a deep body"} == set(
        found
    )
    assert min(found.values()) >= 10


def _body(message: dict[str, object]) -> str:
    try:
        return base64.b64decode(str(message.get("body"))).decode(errors="replace")
    except ValueError:
        return ""


def test_no_place_of_a_message_stays_as_it_is() -> None:
    """But for the payload's own fields, which a contract looks after."""
    id_ = str(uuid.uuid4())
    expected = json.loads(raw.good(RUN, id_))
    places = {*expected, *(f"{part}.{name}" for part in ("headers", "properties") for name in expected[part])}
    changed = set()
    for message in raw.fuzzed(RUN, 3_000):
        try:
            found = json.loads(message)
        except (ValueError, RecursionError):
            continue
        for place in places:
            part, _, name = place.partition(".")
            known, there = expected[part], found.get(part) if isinstance(found, dict) else None
            if name:
                known, there = known[name], there.get(name) if isinstance(there, dict) else None
            changed |= {place} if type(there) is not type(known) else set()
    assert places == changed
