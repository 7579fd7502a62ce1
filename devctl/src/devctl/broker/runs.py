"""The names of a bench run: all follow from the run's own, so that whoever cleans up after it needs no list."""

from __future__ import annotations

import uuid

_IDS = uuid.UUID("6f1b9a52-2f0e-5c55-9b1e-0d9c9d1f7c11")  # a namespace of the bench's own
TASK = "tasks.bench"
"""The bench's own task. A worker that has it keeps the ledger of a run, whatever task is measured."""
HEADER = "bench_run"
"""The message header that makes a worker write into the run's ledger and keep children out of the real queues."""


def queue(run: str) -> str:
    """The queue that the run's tasks are published to."""
    return f"bench.{run}"


def child_queue(run: str, queue: str) -> str:
    """Where the children of the run's tasks go instead of `queue`."""
    return f"bench.{run}.{queue}"


def task_ids(run: str, count: int) -> list[str]:
    """The ids of the run's tasks."""
    return [str(uuid.uuid5(_IDS, f"{run}/{number}")) for number in range(count)]
