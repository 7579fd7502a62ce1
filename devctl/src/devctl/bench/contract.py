"""The work of a bench: its own task, or a contract with sample payloads, each message with an id of its own."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from devctl.bench.plan import Task
from devctl.bench.workload import Arguments, Workload, given, own
from devctl.contracts.catalog import Catalog, TaskContract
from devctl.contracts.payload import checked
from devctl.contracts.sample import samples
from devctl.errors import UsageError
from devctl.measurement.adapters import Adapters
from devctl.measurement.serving import call

VARIETY = 50
"""Different payloads in a run; each takes a millisecond to make, and a backlog has thousands."""
SEED = 1  # every run and every bench draws the same payloads


def workload(task: Task, adapters: Adapters, args: str | None = None, kwargs: str | None = None) -> Workload:
    """What the messages are; UsageError where the task is not known, or where it does not take this."""
    called = args is not None or kwargs is not None
    if task.kind != "contract":
        if called:
            raise UsageError(f"{task.label} takes no arguments", hint="--args and --kwargs go with --task NAME")
        return own(task)
    if not called and adapters.stack.contracts:
        return of(adapters.catalog, task.contract)
    what = call(adapters, task.contract, args, kwargs)
    return given(what, service=adapters.owners.get(what.queue, ""))


def of(catalog: Catalog, name: str) -> Workload:
    """The workload of a contract; UsageError where there is none of this name."""
    contract = catalog.get(name)
    templates = list(_templates(contract))

    def arguments(number: int, task_id: str) -> Arguments:
        return ((_named(templates[number % len(templates)], task_id),) if templates else (), {})

    return Workload(
        label=contract.short,
        task=contract.name,
        arguments=arguments,
        keeps_results=not contract.ignore_result,
        keeps_records=contract.record_seconds is not None,
        publishes_to=tuple(dict.fromkeys(one.queue for one in catalog)),
    )


def _templates(contract: TaskContract) -> list[Mapping[str, Any]]:
    if contract.payload is None:
        return []
    return [checked(contract, sample) for sample in islice(samples(contract, seed=SEED), VARIETY)]


def _named(template: Mapping[str, Any], task_id: str) -> Mapping[str, Any]:
    """The payload under another id, in every field that repeats the id under another name."""
    old = template.get("task_id")
    return {name: task_id if old is not None and value == old else value for name, value in template.items()}
