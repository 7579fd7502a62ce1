"""A field over a runtime in memory, for tests of faults."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from signal import SIGCONT, SIGINT, SIGKILL, SIGQUIT, SIGSTOP, Signals
from types import SimpleNamespace
from typing import Any

from devctl.tests.unit.bench.simulation import shop

from devctl.chaos.field import Field
from devctl.chaos.observation import Run
from devctl.clock import FakeClock
from devctl.stack.fake import FakeRuntime
from devctl.stack.port import Replica


class FakeHands:
    """Signals end processes, at once; the runtime starts them again."""

    def __init__(self, runtime: FakeRuntime, clock: FakeClock, deaf: bool = False) -> None:
        self.runtime, self.clock, self.deaf = runtime, clock, deaf
        self.sent: list[tuple[str, Signals]] = []
        self.scripts: list[str] = []

    def signal(self, replica: Replica, number: Signals, *, alone: bool = False) -> None:
        self.sent.append((replica.name, number))
        ends = number in (SIGKILL, SIGQUIT) or self.sent.count((replica.name, SIGINT)) % 2 == 0
        if number not in (SIGSTOP, SIGCONT) and ends and not self.deaf:
            self.clock.sleep(0.01)
            (process,) = [
                p for p in self.runtime._running[replica.service] if f"{replica.service}-{p.number}" == replica.name
            ]
            self.runtime._begin(replica.service, process)

    def run(self, replica: Replica, script: str) -> str:
        self.scripts.append(script)
        return ""


class FakeLedger:
    def __init__(self) -> None:
        self.found: dict[str, Run] = {}

    def runs(self) -> dict[str, Run]:
        return self.found

    def lines(self) -> Iterator[Any]:
        for id_, run in self.found.items():
            yield from (SimpleNamespace(task_id=id_, what="start", by=by, at=at, said=at) for at, by in run.starts)


class FakeLink:
    def __init__(self) -> None:
        self.told: list[object] = []
        self.counted = {"lost_requests": 3, "lost_replies": 4, "delayed": 10, "stalled": 0}

    def rules(self, **rules: float) -> None:
        self.told.append(rules)
        if rules:
            self.counted = {name: count + 7 for name, count in self.counted.items()}

    def stall(self) -> int:
        self.told.append("stall")
        return 5

    def counts(self) -> dict[str, int]:
        return self.counted


@dataclasses.dataclass
class Lab:
    field: Field
    runtime: FakeRuntime
    hands: FakeHands
    ledger: FakeLedger
    link: FakeLink


def made(*, size: str = "quick", stock: bool = False, deaf: bool = False) -> Lab:
    clock = FakeClock()
    runtime = FakeRuntime(shop(), clock=clock)
    runtime.start("redis")
    runtime.start("worker", replicas=2)
    clock.sleep(2)
    runtime.calls.clear()
    stage = SimpleNamespace(
        place=SimpleNamespace(stock=stock, broker="redis", api="service1", ports={}),
        runtime=runtime,
        queues=("chaos",),
        worker_services=lambda: ("worker",),
    )
    hands, ledger, link = FakeHands(runtime, clock, deaf), FakeLedger(), FakeLink()
    field = Field(
        size=size,  # type: ignore[arg-type]  # a stand-in
        run="r",
        stage=stage,  # type: ignore[arg-type]  # a stand-in
        hands=hands,
        clock=clock,
        ledger=ledger,  # type: ignore[arg-type]  # a stand-in
        publisher=None,  # type: ignore[arg-type]  # a stand-in
        api=None,
        link=link,  # type: ignore[arg-type]  # a stand-in
        doing=lambda _: None,
        bad=set,
    )
    return Lab(field, runtime, hands, ledger, link)
