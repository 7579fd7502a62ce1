"""What became of each process, from the supervisor's log: the supervisor forgets exit codes and counts nothing."""

from __future__ import annotations

import calendar
import os
import re
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

_LINE = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) \w+ (spawned|exited|stopped): '?([^' ]+)'? (.*)")
_STATUS = re.compile(r"\((?:exit status (\d+)|terminated by (\w+))")


@dataclass(frozen=True)
class Life:
    """One program's story so far."""

    pid: int | None = None
    started_at: float | None = None
    exit_code: int | None = None
    restarts: int = 0
    """Starts after an exit nobody asked for."""
    crashed: bool = False
    """The last thing that happened was such an exit."""


class Journal:
    """Reads the supervisor's log as it grows."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._position = 0
        self._inode = 0
        self._lives: dict[str, Life] = {}
        self._alone = threading.Lock()

    def lives(self, made: Mapping[str, float] | None = None) -> dict[str, Life]:
        """Return what is known of each program; `made`: name -> since when it is the program that it is now.

        What one of that name did before does not count: the supervisor says nothing when it forgets a program.
        """
        with self._alone:
            return self._read(made or {})

    def _read(self, made: Mapping[str, float]) -> dict[str, Life]:
        try:
            with self._file.open("rb") as log:
                self._start_over_if_new(log.fileno())
                log.seek(self._position)
                new = log.read()
        except FileNotFoundError:
            self._lives = {}
            self._position = 0
            return {}
        whole = new.rpartition(b"\n")[0]
        self._position += len(whole) + 1 if whole else 0
        for line in whole.decode(errors="replace").splitlines():
            if found := _LINE.match(line):
                self._note(*found.groups(), made=made)
        return dict(self._lives)

    def _start_over_if_new(self, descriptor: int) -> None:
        status = os.fstat(descriptor)
        if status.st_ino != self._inode or status.st_size < self._position:
            self._inode, self._position, self._lives = status.st_ino, 0, {}

    def _note(
        self, moment: str, milliseconds: str, what: str, name: str, rest: str, *, made: Mapping[str, float]
    ) -> None:
        life = self._lives.get(name, Life())
        if what == "spawned":
            pid = int(rest.rpartition(" ")[2])
            when = _unix(moment) + int(milliseconds) / 1000
            if (life.started_at or when) < made.get(name, 0.0) <= when:
                life = Life()
            life = replace(life, pid=pid, started_at=when, restarts=life.restarts + life.crashed, crashed=False)
        else:
            life = replace(life, pid=None, exit_code=_exit_code(rest), crashed=what == "exited")
            if what == "stopped":  # on request: what is counted begins anew
                life = replace(life, restarts=0)
        self._lives[name] = life


def _unix(moment: str) -> float:
    return float(calendar.timegm(time.strptime(moment, "%Y-%m-%d %H:%M:%S")))  # the supervisor runs with TZ=UTC


def _exit_code(text: str) -> int | None:
    """Return the code as a shell would say it: 137 for SIGKILL."""
    found = _STATUS.search(text)
    if not found:
        return None
    if found[1]:
        return int(found[1])
    name = found[2]
    try:
        return 128 + signal.Signals[name].value
    except KeyError:
        return None
