from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from devctl.broker.port import Running, Worker
from devctl.broker.workers import Workers

SAID = {
    "worker@one": {
        "active_queues": [{"name": "images"}],
        "active": [{"name": "images.resize", "id": "id-1", "time_start": 1_700_000_000.5}],
        "stats": {"pool": {"max-concurrency": 4}},
    },
    "worker@two": {"active_queues": [], "active": {"error": "what?"}, "stats": {"pool": {}}},
    "worker@three": {},
}


class Mailbox:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def ask(
        self,
        methods: Sequence[str],
        *,
        arguments: Mapping[str, Any] | None = None,
        nodes: Sequence[str] | None = None,
        expected: int | None = None,
        timeout: float,
    ) -> dict[str, dict[str, Any]]:
        self.asked += methods
        return SAID


@pytest.mark.parametrize(
    "expected",
    [
        Worker("worker@one", ("images",), 4, (Running("images.resize", "id-1", 1_700_000_000.5),)),
        Worker("worker@two", (), None, ()),
        Worker("worker@three", (), None, ()),
    ],
    ids=lambda one: one.node,
)
def test_what_a_worker_does_is_what_it_says_as_far_as_it_says_it(expected: Worker) -> None:
    assert expected in Workers(Mailbox()).at_work(1.0)
