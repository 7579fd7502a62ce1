"""The rows: each a fault that a deploy, a crash or a busy machine brings some day."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from devctl.chaos.theirs.field import Field
from devctl.chaos.theirs.ledger import Worker
from devctl.errors import UsageError

FREEZE_SECONDS, BROKER_FREEZE_SECONDS = 8.0, 6.0
REPLICAS = 3


@dataclass(frozen=True)
class Row:
    """What is done, and to which workers it can be done."""

    name: str
    title: str
    fault: Callable[[Field], None]
    fits: Callable[[Worker], str] = lambda worker: ""
    """Why it cannot be done to these workers; "" where it can."""


def _kill_worker(field: Field) -> None:
    victim = field.victim()
    field.hands.kill(victim)
    field.again(victim)


def _kill_child(field: Field) -> None:
    victim = field.victim()
    running = field.ledger.running(victim.hostname)
    if running:
        field.hands.kill_process(victim, running[-1])
    else:
        field.note = "no child was in a task: none was killed"


def _freeze_worker(field: Field) -> None:
    victim = field.victim()
    field.hands.freeze(victim)
    try:
        field.clock.sleep(FREEZE_SECONDS)
    finally:
        field.hands.thaw(victim)


def _stop_worker(field: Field) -> None:
    victim = field.victim()
    field.hands.stop(victim)
    field.again(victim)


def _scale(field: Field) -> None:
    since = field.clock.now()
    field.runtime.start(field.service, replicas=REPLICAS)
    field.ready(since, REPLICAS - 1)
    field.send(field.backlog * REPLICAS // 2)
    field.under_way(0.5)
    field.runtime.start(field.service, replicas=1)


def _restart_broker(field: Field) -> None:
    broker = field.broker()
    field.hands.stop(broker)
    field.hands.start(broker)
    field.broker_back()


def _freeze_broker(field: Field) -> None:
    broker = field.broker()
    field.hands.freeze(broker)
    try:
        field.clock.sleep(BROKER_FREEZE_SECONDS)
    finally:
        field.hands.thaw(broker)
    field.broker_back()


def _has_children(worker: Worker) -> str:
    return "" if worker.pool == "prefork" else "no child processes"


ROWS = (
    Row("kill-worker", "kill -9 of a worker", _kill_worker),
    Row("kill-child", "kill -9 of a pool child", _kill_child, _has_children),
    Row("stop", "stopped, as by a deploy", _stop_worker),
    Row("freeze", f"frozen for {FREEZE_SECONDS:.0f} s", _freeze_worker),
    Row("scale", f"scaled 1 → {REPLICAS} → 1", _scale),
    Row("broker-restart", "the broker restarted", _restart_broker),
    Row("broker-freeze", f"the broker frozen for {BROKER_FREEZE_SECONDS:.0f} s", _freeze_broker),
)


def choose(names: Sequence[str]) -> Sequence[Row]:
    """Those of these names, or all; UsageError for a name that is none."""
    known = {row.name: row for row in ROWS}
    for name in names:
        if name not in known:
            raise UsageError(f"no row {name!r} for a task of your own", hint=f"rows: {', '.join(known)}")
    return [row for row in ROWS if row.name in names] if names else ROWS
