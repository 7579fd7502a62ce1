"""What running workers are asked and told, whatever carries it: Celery's remote control."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from devctl.broker.masking import masked
from devctl.broker.port import Consumer, Holder, Running, Worker
from devctl.errors import DevctlError

ORDER_SECONDS = 5.0  # a worker obeys between two tasks: a solo one that runs a task hears us when it ends


class Mailbox(Protocol):
    """Carries a question to all workers, and their answers back."""

    def ask(
        self,
        methods: Sequence[str],
        *,
        arguments: Mapping[str, Any] | None = None,
        nodes: Sequence[str] | None = None,
        expected: int | None = None,
        timeout: float,
    ) -> dict[str, dict[str, Any]]:
        """Node -> method -> answer, from all who answer in time; returns as soon as everyone has."""


class Workers:
    """The workers behind one broker."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    def consumers(self, expected: int | None, timeout: float) -> list[Consumer]:
        """Those that answer, and what they consume and have registered."""
        answers = self._mailbox.ask(["active_queues", "registered"], expected=expected, timeout=timeout)
        return [
            Consumer(
                node,
                queues=tuple(_names(said)),
                tasks=tuple(name.partition(" [")[0] for name in said.get("registered") or ()),
            )
            for node, said in sorted(answers.items())
        ]

    def at_work(self, timeout: float) -> list[Worker]:
        """Those that answer, and what they run."""
        answers = self._mailbox.ask(["active_queues", "active", "stats"], timeout=timeout)
        return [
            Worker(node, tuple(_names(said)), _threads(said), tuple(_running(said)))
            for node, said in sorted(answers.items())
        ]

    def say(self, method: str, timeout: float) -> dict[str, dict[str, Any]]:
        """Node -> what it says to this, without passwords; without those who do not answer with a table."""
        answers = self._mailbox.ask([method], timeout=timeout)
        said = {node: one.get(method) for node, one in sorted(answers.items())}
        return {node: masked(one) for node, one in said.items() if isinstance(one, dict)}

    def holder(self, task_id: str, timeout: float) -> Holder | None:
        """The one that has a task which has not ended."""
        said = self._mailbox.ask(["query_task"], arguments={"ids": [task_id]}, timeout=timeout)
        for node, one in sorted(said.items()):
            found = one.get("query_task")
            if isinstance(found, dict) and task_id in found:
                return Holder(node, runs=found[task_id][0] == "active")
        return None

    def send_events(self, nodes: Sequence[str]) -> list[str]:
        """Have them send task events; those that did not before. DevctlError where one is silent."""
        said = self._mailbox.ask(["enable_events"], nodes=nodes, timeout=ORDER_SECONDS)
        if silent := sorted({*nodes} - {*said}):
            raise DevctlError(f"{silent[0]} does not answer", hint="devctl queues shows who does")
        return [node for node in nodes if "already" not in str(said[node].get("enable_events"))]

    def withhold_events(self, nodes: Sequence[str]) -> None:
        """Have them send none."""
        self._mailbox.ask(["disable_events"], nodes=nodes, timeout=ORDER_SECONDS / 5)

    def order(self, queue: str, method: str, arguments: dict[str, Any], nodes: Sequence[str] | None) -> None:
        """Have them consume a queue, or leave it; returns when they do."""
        if nodes is not None and not nodes:
            return
        deadline = time.monotonic() + ORDER_SECONDS
        heard = self._mailbox.ask([method], arguments=arguments, nodes=nodes, timeout=ORDER_SECONDS / 2)
        # Celery says "ok" first and obeys later, so we look until it has.
        late = set(nodes if nodes is not None else heard)
        while late and time.monotonic() < deadline:
            left = deadline - time.monotonic()
            said = self._mailbox.ask(["active_queues"], nodes=sorted(late), timeout=left)
            late -= {node for node, one in said.items() if (queue in _names(one)) == (method == "add_consumer")}
            time.sleep(0.01 if late else 0)
        if late:
            raise DevctlError(
                f"{len(late)} of {len(nodes or heard)} workers did not obey {method} within {ORDER_SECONDS:g} s",
                hint="devctl queues shows who consumes what",
                details=[f"{node}: {heard.get(node, {}).get(method, 'no answer')}" for node in sorted(late)],
            )


def _threads(said: Mapping[str, Any]) -> int | None:
    stats = said.get("stats")
    pool = stats.get("pool") if isinstance(stats, dict) else None
    threads = pool.get("max-concurrency") if isinstance(pool, dict) else None
    return threads if isinstance(threads, int) else None


def _running(said: Mapping[str, Any]) -> Iterator[Running]:
    active = said.get("active")
    for one in active if isinstance(active, list) else ():
        since = one.get("time_start")
        yield Running(str(one.get("name")), str(one.get("id")), since if isinstance(since, float) else time.time())


def _names(said: Mapping[str, Any]) -> list[str]:
    queues = said.get("active_queues")
    return [queue["name"] for queue in queues] if isinstance(queues, list) else []
