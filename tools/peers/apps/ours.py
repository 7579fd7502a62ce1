"""Ours: contracts, `make_worker` and `run_worker` as a service has them, and a body of process_order as theirs."""

from __future__ import annotations

import time
from types import NoneType
from typing import Any

from apps.settings import QUEUE, RESULTS, URL
from celeriac import environment, logs
from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings, LogSettings, WorkerSettings
from celeriac.contract.contract import Contract
from celeriac.contract.implementation import implements
from celeriac.contract.outcome import Outcome
from celeriac.worker.app import make_worker
from celeriac.worker.program import run_worker
from order import number, payload
from shop.schemas import OrderPayload, OrderResult
from shop.tasks import process_order
from shop.worker import handle_order
from tally import tally

SERVICE = "peers"


def unrecorded(**fields: Any) -> Contract[Any, Any]:
    """A contract without result and record."""
    return Contract(queue=QUEUE, result=NoneType, ignore_result=True, record_seconds=None, **fields)


# With results: the defaults of a contract, so result and record in one step with the acknowledgement.
noop: Contract[Any, Any] = (
    Contract(name="peers.noop", queue=QUEUE, payload=int, result=int)
    if RESULTS
    else unrecorded(name="peers.noop", payload=int)
)
wait10: Contract[Any, Any] = Contract(name="peers.wait10", queue=QUEUE, payload=int, result=int)
stamp = unrecorded(name="peers.stamp", payload=float)
CONTRACTS = {"noop": noop, "wait10": wait10, "stamp": stamp, "order": process_order}


@implements(noop)
def run_noop(given: int) -> int | None:
    tally.done(given)
    return given if RESULTS else None


@implements(wait10)
def run_wait10(given: int) -> int:
    time.sleep(0.01)
    tally.done(given)
    return given


@implements(stamp)
def run_stamp(intended: float) -> None:
    tally.started(intended)


@implements(process_order)
def run_order(order: OrderPayload, outcome: Outcome) -> OrderResult:
    result: OrderResult = handle_order(order, outcome)
    tally.done(number(order.order_id))
    return result


class Sender:
    """`delay`, and `publish_many` for many: both once-only."""

    def __init__(self) -> None:
        self._app = make_app(SERVICE, CelerySettings(broker_url=URL))
        self._bound = {task: contract.bind(self._app) for task, contract in CONTRACTS.items()}

    def _payload(self, task: str, argument: Any) -> Any:
        return payload(number(OrderPayload.model_validate(argument).order_id)) if task == "order" else argument

    async def send(self, task: str, argument: Any, delay: float) -> None:
        self._bound[task].apply_async(self._payload(task, argument), **({"countdown": delay} if delay else {}))

    async def many(self, task: str, arguments: list[Any]) -> None:
        self._bound[task].publish_many([self._payload(task, one) for one in arguments])

    async def close(self) -> None:
        self._app.close()


def main() -> int:
    """Run until told to stop."""
    log = environment.load(LogSettings)
    logs.configure(SERVICE, log.level, log.format)
    owned = [run_wait10, run_stamp, run_order, *([run_noop] if RESULTS else [])]
    app = make_worker(SERVICE, owns=owned, settings=CelerySettings(broker_url=URL))
    if not RESULTS:  # a plain task, as Celery's is: no payload to validate
        app.task(name=noop.name, ignore_result=True)(tally.done)
        app.owned_queues = (QUEUE,)  # type: ignore[attr-defined]  # a contract would have named it
    return run_worker(app, environment.load(WorkerSettings))


if __name__ == "__main__":
    raise SystemExit(main())
