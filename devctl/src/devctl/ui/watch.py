"""How watching looks: one line when a change is seen, one when it is live; or a JSON document for each."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from devctl.stack.report import StartReport
from devctl.ui import errors
from devctl.ui.console import sign, write_json
from devctl.ui.paint import Paint
from devctl.ui.units import duration
from devctl.watch.run import Changed, Event, Failed, Kept, Live, Watching

_MOST_FILES = 2


class Lines:
    """Writes events as lines with the time of day."""

    def __init__(self, root: Path, begun: StartReport, stream: IO[str] | None = None) -> None:
        self._root, self._stream = root, stream or sys.stderr
        self._ports = _ports(begun)
        self._paint = Paint(self._stream)

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case Watching(services, files):
                self._say(
                    "→", "cyan", f"watching {', '.join(services)}: {files} file{'s' * (files != 1)}. Ctrl-C ends it"
                )
            case Changed(files, services):
                self._say("●", "yellow", f"{self._names(files)} changed {self._sign('→')} {', '.join(services)}")
            case Kept(broken, services, restarting):
                for one in broken:
                    self._say("✘", "red", f"{self._name(one.file)}:{one.line}: {one.problem}")
                what = "the restart before it is still under way" if restarting else "the old code goes on"
                self._say("·", "dim", f"{', '.join(services)}: {what}")
            case Live(report, seconds):
                ready = [one.service for one in report.services if not one.was_running]
                said = f"{', '.join(ready)} live in {duration(seconds)}" if ready else "live already"
                moved = {name: ports for name, ports in _ports(report).items() if ports != self._ports.get(name, ports)}
                self._ports |= moved  # an engine gives a published port 0 another one at each start
                said += "".join(f"; {name} is at {', '.join(ports)} now" for name, ports in moved.items())
                self._say("✔", "green", said)
            case Failed(_, problem):
                errors.show(problem, as_json=False)
        self._stream.flush()

    def _say(self, symbol: str, colour: Any, text: str) -> None:
        moment = self._paint(time.strftime("%H:%M:%S"), "dim")
        self._stream.write(f"{moment} {self._paint(self._sign(symbol), colour)} {text}\n")

    def _sign(self, symbol: str) -> str:
        return sign(symbol, self._stream)

    def _names(self, files: Sequence[Path]) -> str:
        shown = [self._name(file) for file in files[:_MOST_FILES]]
        more = len(files) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more else "")

    def _name(self, file: Path) -> str:
        return os.path.relpath(file, self._root)


def _ports(report: StartReport) -> dict[str, list[str]]:
    """Service -> where its published ports are on this machine."""
    return {
        one.service: [port.partition("->")[0] for replica in one.replicas for port in replica.ports]
        for one in report.services
    }


class JsonLines:
    """Writes each event as one document, devctl.watch/1."""

    def __init__(self, root: Path, _begun: StartReport) -> None:
        self._root = root

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        write_json({"schema": "devctl.watch/1", "time": round(time.time(), 3), **self._document(event)})

    def _document(self, event: Event) -> dict[str, Any]:
        match event:
            case Watching(services, files):
                return {"event": "watching", "services": list(services), "files": files}
            case Changed(files, services):
                names = [os.path.relpath(file, self._root) for file in files]
                return {"event": "changed", "services": list(services), "changed": names}
            case Kept(broken, services, restarting):
                wrong = [
                    {"file": os.path.relpath(one.file, self._root), "line": one.line, "problem": one.problem}
                    for one in broken
                ]
                return {"event": "kept", "services": list(services), "restarting": restarting, "broken": wrong}
            case Live(report, seconds):
                ready = [one.service for one in report.services if not one.was_running]
                return {"event": "live", "services": ready, "seconds": round(seconds, 3)}
            case Failed(services, problem):
                return {
                    "event": "failed",
                    "services": list(services),
                    "problem": problem.problem,
                    "details": list(problem.details),
                    "hint": problem.hint,
                }
