"""Records are made of what messages say of themselves, and a message may say anything."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from celeriac.life.pack import facts_of, outcomes
from celeriac.outcome.commit import Commit

ODD = (
    b"bytes",
    Decimal(1),
    {"a": 1},
    [[1]],
    {1},
    10**30,
    -(10**30),
    float("nan"),
    "\ud800",
    datetime(2026, 1, 1, tzinfo=UTC),
    True,
)


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_whatever_a_message_says_its_record_can_be_written(value: Any) -> None:
    headers = {"id": value, "retries": value, "root_id": value, "parent_id": value, "traceparent": value}
    commit = Commit("tag", value, "task")
    commit.facts = {**facts_of(headers), "more": value}
    assert outcomes("worker", [commit])


def test_only_texts_and_a_number_of_retries_are_facts() -> None:
    said = facts_of({"id": "a", "root_id": "r", "parent_id": 5, "retries": "2", "group": "g" * 1_000})
    assert {"root": "r", "group": "g" * 200} == said
    assert {"attempt": 2} == facts_of({"id": "a", "root_id": "a", "retries": 2})


def test_a_message_without_an_id_has_no_facts() -> None:
    assert {} == facts_of({})
