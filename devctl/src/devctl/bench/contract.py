"""The work of a bench: its own task, or a contract with sample payloads, each message with an id of its own."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from devctl.bench.plan import Task
from devctl.bench.workload import Workload, own
from devctl.contracts.catalog import Catalog, TaskContract
from devctl.contracts.payload import checked
from devctl.contracts.sample import samples
from devctl.measurement.adapters import Adapters

VARIETY = 50
"""Different payloads in a run; each takes a millisecond to make, and a backlog has thousands."""
SEED = 1  # every run and every bench draws the same payloads


def workload(task: Task, adapters: Adapters) -> Workload:
    """What the messages are; UsageError where the task is not known."""
    return of(adapters.catalog, task.contract) if task.kind == "contract" else own(task)


def of(catalog: Catalog, name: str) -> Workload:
    """The workload of a contract; UsageError where there is none of this name."""
    contract = catalog.get(name)
    templates = list(_templates(contract))

    def payload(number: int, task_id: str) -> Mapping[str, Any] | None:
        return _named(templates[number % len(templates)], task_id) if templates else None

    return Workload(
        label=contract.short,
        task=contract.name,
        payload=payload,
        keeps_results=not contract.ignore_result,
        keeps_records=contract.record_seconds is not None,
        publishes_to=tuple(dict.fromkeys(one.queue for one in catalog)),
    )


def _templates(contract: TaskContract) -> list[Mapping[str, Any]]:
    if contract.payload is None:
        return []
    return [checked(contract, sample) for sample in islice(samples(contract, seed=SEED), VARIETY)]


def _named(template: Mapping[str, Any], task_id: str) -> Mapping[str, Any]:
    """The payload under another id, in every field that repeats the id under another name (an order's `order_id`)."""
    old = template.get("task_id")
    return {name: task_id if old is not None and value == old else value for name, value in template.items()}
