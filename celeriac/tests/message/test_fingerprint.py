import json
from typing import Any

import pytest

from celeriac.message.fingerprint import fingerprint

ORDER: dict[str, Any] = {"task_id": "a", "timestamp": "2026-01-01T00:00:00Z", "items": [{"n": 1}], "total": "1.50"}


def test_sixteen_hex_digits_that_stay_what_they_are() -> None:
    assert "533aeefd6ec5b6fe" == fingerprint("tasks.x", [ORDER], {})


def test_the_time_of_a_repeat_does_not_count_nor_the_order_of_keys() -> None:
    repeat = dict(reversed((ORDER | {"timestamp": "2027-01-01T00:00:00Z"}).items()))
    assert fingerprint("tasks.x", [ORDER], {"a": 1, "b": 2}) == fingerprint("tasks.x", (repeat,), {"b": 2, "a": 1})


@pytest.mark.parametrize(
    ("task", "args", "kwargs"),
    [
        ("tasks.y", [ORDER], {}),
        ("tasks.x", [ORDER | {"total": "1.5"}], {}),
        ("tasks.x", [ORDER | {"more": None}], {}),
        ("tasks.x", [ORDER, None], {}),
        ("tasks.x", [ORDER], {"timestamp": 1}),
        ("tasks.x", [ORDER | {"items": [{"n": 1, "timestamp": 1}]}], {}),
        ("tasks.x", [ORDER | {"items": [{"n": 1.5}]}], {}),
        ("tasks.x", [ORDER | {"items": [{"n": 2**70}]}], {}),
        ("tasks.x", [ORDER | {"total": "\ud800"}], {}),
        ("tasks.x", [], {}),
        ("tasks.x", ["timestamp"], {}),
    ],
)
def test_everything_else_counts(task: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    assert fingerprint("tasks.x", [ORDER], {}) != fingerprint(task, args, kwargs)


def test_half_a_surrogate_pair_counts_too() -> None:
    assert fingerprint("tasks.x", ["\ud800"], {}) != fingerprint("tasks.x", ["\ud801"], {})


def test_what_was_read_back_from_json_is_the_same_work() -> None:
    args: list[Any] = [{"n": 2**70, "f": 1e22, "s": "é\ud800", "t": (1, 2)}, 0.1, None]
    assert fingerprint("tasks.x", args, {}) == fingerprint("tasks.x", json.loads(json.dumps(args)), {})


def test_what_is_given_is_left_alone() -> None:
    before = json.dumps(ORDER)
    fingerprint("tasks.x", [ORDER], {})
    assert before == json.dumps(ORDER)
