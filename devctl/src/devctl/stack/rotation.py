"""Logs that do not grow for ever: what is over a limit goes into numbered files beside it, the oldest is dropped.

A service keeps its log open, so the file is copied and emptied, not renamed. It happens in the supervisor, the one
process of a local stack that is always there; so this imports little.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

MOST_BYTES = 10_000_000
KEPT = 2
"""Numbered files: with the log itself three, as the Compose file has it for containers."""
_BLOCK = 1 << 20


def older(log: Path) -> list[Path]:
    """The numbered files of a log, whether they are there or not; the newest first."""
    return [log.with_name(f"{log.name}.{number}") for number in range(1, KEPT + 1)]


def remove(log: Path) -> None:
    """Remove a log with its numbered files."""
    for file in (log, *older(log)):
        file.unlink(missing_ok=True)


def rotate(log: Path, most_bytes: int = MOST_BYTES) -> None:
    """Empty a log that is larger than this, and keep what was in it.

    Whoever follows it may look at any moment: an emptied file and, after that, another first numbered file tell it
    where to read on.
    """
    if log.stat().st_size <= most_bytes:
        return
    files = older(log)
    part = log.with_name(f"{log.name}.part")
    with log.open("rb") as now, part.open("wb") as copy:
        shutil.copyfileobj(now, copy, _BLOCK)  # to its end, with what is written meanwhile
        os.truncate(log, 0)
    for newer, target in reversed([*pairwise(files)]):
        with suppress(FileNotFoundError):
            newer.replace(target)
    part.replace(files[0])


def of_supervisor(_: object, folder: str) -> object:
    """Called by supervisord when it starts, as an interface of it: rotate the logs of this folder from now on."""
    from supervisor import events

    events.subscribe(events.Tick5Event, _every_log(Path(folder)))
    return object()  # it answers no calls


def _every_log(folder: Path) -> Callable[[object], None]:
    def look(_: object) -> None:
        for log in folder.glob("*.log"):
            with suppress(OSError):  # gone, or a full disk: the supervisor has other things to do
                rotate(log)

    return look
