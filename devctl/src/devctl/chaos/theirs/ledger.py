"""What the workers of a copy wrote down: which task started and ended where, and how each worker is set up."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Start:
    """A body began; in which process of which container."""

    at: float
    host: str
    pid: int


@dataclass
class Life:
    """What is written of one task."""

    starts: list[Start] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    """How each run ended: SUCCESS, FAILURE, RETRY, …; DIED: by the death of its process, and counted as its failure."""
    last: float = 0.0

    @property
    def over(self) -> bool:
        """Whether it came to an end that is one."""
        return any(state != "RETRY" for state in self.states)

    @property
    def succeeded(self) -> bool:
        """Whether one of its runs did."""
        return "SUCCESS" in self.states

    @property
    def died(self) -> bool:
        """Whether the death of its process is its end: Celery calls that failed, and nobody runs it again."""
        return "DIED" in self.states and not self.succeeded

    @property
    def twice(self) -> bool:
        """Whether its body began again although no retry asked for that."""
        return len(self.starts) > 1 + self.states.count("RETRY")

    @property
    def cut(self) -> bool:
        """Whether one of its runs began and did not end."""
        return len(self.starts) > len(self.states)


@dataclass(frozen=True)
class Worker:
    """How a worker is set up, as it says itself when it is ready."""

    at: float
    host: str
    settings: Mapping[str, Any]
    given: frozenset[str]
    """Of these, what the app sets itself."""
    tasks: Mapping[str, Mapping[str, bool]]
    pool: str
    concurrency: int
    celery: str
    transport: str
    celeriac: bool


@dataclass
class Ledger:
    """The folder into which each process writes a file of its own."""

    folder: Path
    workers: list[Worker] = field(default_factory=list)
    lives: dict[str, Life] = field(default_factory=dict)
    _read: dict[Path, int] = field(default_factory=dict)

    def look(self) -> bool:
        """Take in what is new; whether something is."""
        new = False
        for line in self._lines():
            new = True
            if line["what"] == "ready":
                self.workers.append(_worker(line))
                continue
            life = self.lives.setdefault(str(line["id"]), Life())
            life.last = max(life.last, line["at"])
            if line["what"] == "started":
                life.starts.append(Start(line["at"], line["host"], line["pid"]))
            else:
                life.states.append(line["state"])
        return new

    def _lines(self) -> Iterator[dict[str, Any]]:
        for file in sorted(self.folder.glob("*.jsonl")):
            with file.open("rb") as lines:
                lines.seek(self._read.get(file, 0))
                for line in lines:
                    if not line.endswith(b"\n"):  # being written
                        break
                    self._read[file] = self._read.get(file, 0) + len(line)
                    yield json.loads(line)

    def of(self, task_ids: Iterable[str]) -> dict[str, Life]:
        """These tasks; one that nobody began has an empty life."""
        return {one: self.lives.get(one, Life()) for one in task_ids}

    def running(self, host: str) -> list[int]:
        """The processes of this container that have begun a task and not ended it, the latest last."""
        open_ = [life.starts[-1] for life in self.lives.values() if life.cut and life.starts]
        return [one.pid for one in sorted(open_, key=lambda start: start.at) if one.host == host]


def _worker(line: Mapping[str, Any]) -> Worker:
    return Worker(
        at=line["at"],
        host=line["host"],
        settings=line["settings"],
        given=frozenset(line["set"]),
        tasks=line["tasks"],
        pool=line["pool"],
        concurrency=int(line["concurrency"] or 1),
        celery=line["celery"],
        transport=line["transport"],
        celeriac=bool(line["celeriac"]),
    )
