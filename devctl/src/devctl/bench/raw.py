"""The executions of a run on the disk, written as soon as it ends, so that a later failure costs none."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence

from devctl.bench.observation import Observation
from devctl.broker.port import Execution
from devctl.measurement.store import Store


def keep(store: Store, seen: Observation, executions: Sequence[Execution]) -> None:
    """Write a line about the run, then a line [task id, started, finished, worker] for each execution."""
    head = {
        "schema": "devctl.bench.run/1",
        "run": seen.run,
        "workers": seen.workers,
        "round": seen.round,
        "published": seen.tasks,
        "publish_seconds": seen.publish_seconds,
        "nodes": list(seen.nodes),
    }
    path = store.file(f"w{seen.workers}-r{seen.round}.jsonl.gz")
    # Ids hardly compress, so the quickest level loses nothing.
    with gzip.open(path, "wt", compresslevel=1, encoding="utf-8") as out:
        out.write(json.dumps(head) + "\n")
        for one in executions:
            out.write(json.dumps([one.task_id, one.started, one.finished, one.worker]) + "\n")
