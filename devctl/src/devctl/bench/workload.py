"""What the messages of a run are: the bench's own task, a contract with sample payloads, or a task with arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from devctl.bench.plan import Task
from devctl.broker import runs
from devctl.broker.port import Message
from devctl.measurement.serving import Call

Arguments = tuple[tuple[Any, ...], Mapping[str, Any]]
"""args and kwargs."""


@dataclass(frozen=True)
class Workload:
    """One task name, and a payload for each message."""

    label: str
    task: str
    """Its name in Celery."""
    arguments: Callable[[int, str], Arguments]
    """(number of the message, its task id) -> what the task is called with."""
    keeps_results: bool = False
    """A contract's results are stored, as they would be in earnest; the bench's own task has none."""
    keeps_records: bool = False
    """And it is written down which tasks are done, so that none is done twice."""
    publishes_to: tuple[str, ...] = ()
    """Queues that its children may go to, in earnest."""
    real: bool = False
    """It really runs, follow-up tasks included: nothing of the worker knows of a bench."""
    service: str = ""
    """Who does it, where the files say that."""
    again: str = ""
    """The options of a next command about the same call."""

    def messages(self, run: str, task_ids: Iterable[str]) -> Iterator[Message]:
        """The backlog of a run."""
        for number, task_id in enumerate(task_ids):
            args, kwargs = self.arguments(number, task_id)
            yield Message(
                task=self.task,
                queue=runs.queue(run),
                task_id=task_id,
                args=args,
                kwargs=kwargs,
                headers={runs.HEADER: run},
                ignore_result=not self.keeps_results,
            )

    def traces(self, count: int) -> int:
        """How many of so many tasks leave something under their ids."""
        return count if self.keeps_results or self.keeps_records else 0

    def queues(self, run: str) -> tuple[str, ...]:
        """Every queue that the run can leave behind; its own first."""
        return (runs.queue(run), *(runs.child_queue(run, name) for name in self.publishes_to))


def own(task: Task) -> Workload:
    """The bench's own task: does nothing, computes or waits."""
    from celeriac.workbench.bench import BenchKind, BenchPayload, bench

    # Checked once by the contract; the copies differ in their id alone.
    sample = BenchPayload(kind=BenchKind(task.kind), milliseconds=task.milliseconds, source_service="devctl")
    document = sample.model_dump(mode="json")
    return Workload(task.label, bench.name, lambda _, task_id: (({**document, "task_id": task_id},), {}))


def given(call: Call, service: str = "") -> Workload:
    """A task that does for real what it does, each time with the same arguments; by this service."""
    arguments: Arguments = (call.args, call.kwargs)
    keeps = not call.ignore_result
    return Workload(
        call.task,
        call.task,
        lambda *_: arguments,
        keeps_results=keeps,
        real=True,
        service=service,
        again=call.options,
    )
