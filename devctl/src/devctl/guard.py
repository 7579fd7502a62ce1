"""The guard process: waits for its owner's end, and puts back what the owner could not. See undo/guard.py.

Beside __main__, because it too composes: it opens runtime and broker for itself.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from devctl.clock import Clock, SystemClock
from devctl.settings import Settings
from devctl.stack import identity
from devctl.undo.steps import Step, Stop, Undo, backwards, from_json, to_json
from devctl.workbench import Workbench

LONGEST_SECONDS = 180  # a stop of every service, with its grace period, and then some
SETTLE_SECONDS = 3.0
INSIST_SECONDS, AGAIN_SECONDS = 90.0, 3.0


def serve(lines: IO[bytes], act: Callable[[dict[str, Any], dict[int, Step]], None]) -> None:
    """Read what the owner tells until it ends; act on what is left unless it said that it is done."""
    who: dict[str, Any] = {}
    steps: dict[int, Step] = {}
    for line in lines:
        if not line.endswith(b"\n"):  # the owner died in mid-sentence: that step was not begun
            break
        told = json.loads(line)
        if "done" in told:
            return
        if "add" in told:
            steps[told["add"]] = from_json(told["step"])
        elif "drop" in told:
            steps.pop(told["drop"], None)
        else:
            who = told
    if steps:
        act(who, steps)


def main(folder: Path) -> None:
    """Serve the pipe on stdin; write into a log in `folder` only when there is something to do."""
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    owner = os.getppid()

    def act(who: dict[str, Any], steps: dict[int, Step]) -> None:
        with (folder / f"{time.strftime('%Y-%m-%dT%H-%M-%S')}-{owner}.log").open("w", encoding="utf-8") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            if hasattr(signal, "alarm"):
                signal.alarm(LONGEST_SECONDS)
            _put_back(who, steps)

    serve(sys.stdin.buffer, act)


def _put_back(who: dict[str, Any], steps: dict[int, Step]) -> None:
    _say("devctl ended without putting things back: doing it now")
    settings = Settings(
        root=Path(who["root"]),
        compose_file=Path(who["compose_file"]),
        runtime=who["runtime"],
        stack=who["stack"],
        environment=who["environment"],
        overrides=tuple(map(Path, who["overrides"])),
        env_files=tuple(map(Path, who["env_files"])),
    )
    bench = Workbench(settings)
    undo = Undo(lambda: bench.runtime, lambda: bench.broker, SystemClock(), settle_seconds=SETTLE_SECONDS)
    left = insist(steps, undo, SystemClock(), _say)
    whole = any(isinstance(step, Stop) and not step.services for step in steps.values())
    if settings.stack and whole and not left:
        identity.forget(settings)
    _say(f"given up: {len(left)} left" if left else "done")


def insist(
    steps: dict[int, Step],
    perform: Callable[[Step], None],
    clock: Clock,
    say: Callable[[str], None],
    seconds: float = INSIST_SECONDS,
) -> dict[int, Step]:
    """Perform steps, again and again those that fail: a broker or an engine may come back. Returns what is left."""
    left, end = dict(steps), clock.now() + seconds
    while True:

        def note(number: int, problem: str) -> None:
            step = left[number] if problem else left.pop(number)
            say(f"{'failed' if problem else 'ok'}  {json.dumps(to_json(step))}  {problem}".rstrip())

        backwards(dict(left), perform, note)
        if not left or clock.now() >= end:
            return left
        clock.sleep(AGAIN_SECONDS)


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
