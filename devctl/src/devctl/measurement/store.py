"""Where raw runs are kept: `.devctl/runs/<utc time>/`, each written as it ends, so that a later failure costs none."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from devctl.bench.observation import Observation


class Store:
    """One folder for one bench."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def new(cls, state: Path, now: float) -> Store:
        """A folder named after the time, made when there is a run to keep; a second one in a second gets a number."""
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H-%M-%S")
        name, number = stamp, 1
        while (state / "runs" / name).exists():
            number += 1
            name = f"{stamp}-{number}"
        return cls(state / "runs" / name)

    @property
    def name(self) -> str:
        """The folder's own name; names of runs begin with it."""
        return self.folder.name

    def keep(self, observation: Observation) -> None:
        """Write one run: a line about it, then a line [task id, started, finished, worker] for each execution."""
        head = {
            "schema": "devctl.bench.run/1",
            "run": observation.run,
            "workers": observation.workers,
            "round": observation.round,
            "published": observation.published,
            "publish_seconds": observation.publish_seconds,
            "nodes": list(observation.nodes),
        }
        lines = [json.dumps(head)]
        lines += [json.dumps([one.task_id, one.started, one.finished, one.worker]) for one in observation.executions]
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"w{observation.workers}-r{observation.round}.jsonl.gz"
        # Ids hardly compress, so the quickest level loses nothing.
        path.write_bytes(gzip.compress("\n".join(lines).encode() + b"\n", compresslevel=1))

    def report(self, document: Mapping[str, Any]) -> None:
        """Write the report, as --json prints it."""
        (self.folder / "report.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
