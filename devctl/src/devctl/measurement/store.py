"""Where what was measured is kept: `.devctl/runs/<utc time>/`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_RUNS, _REPORT = "runs", "report.json"


class Store:
    """One folder for one bench or chaos run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def new(cls, state: Path, now: float) -> Store:
        """A folder named after the time, made when there is something to keep; a second one in it gets a number."""
        stamp = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H-%M-%S")
        name, number = stamp, 1
        while (state / _RUNS / name).exists():
            number += 1
            name = f"{stamp}-{number}"
        return cls(state / _RUNS / name)

    @property
    def name(self) -> str:
        """The folder's own name; names of runs begin with it."""
        return self.folder.name

    def file(self, name: str) -> Path:
        """A file in the folder, to be written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / name

    def report(self, document: Mapping[str, Any]) -> None:
        """Write the report, as --json prints it."""
        self.file(_REPORT).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def reports(state: Path) -> Iterator[Mapping[str, Any]]:
    """The reports that are kept, the newest first; what cannot be read is left out."""
    for file in sorted((state / _RUNS).glob(f"*/{_REPORT}"), reverse=True):
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(kept, dict):
            yield kept
