"""What devctl itself did to a stack, in a log like those of its services: `devctl logs --id` shows it among theirs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from devctl.settings import Settings
from devctl.stack import identity, rotation
from devctl.stack.logfiles import Source

DEVCTL = "devctl"
"""Stands in the place of a service's name."""


def file(settings: Settings) -> Path:
    """Return the log of this stack; it may not exist."""
    return identity.state_dir(settings) / "devctl.log"


def source(settings: Settings) -> Source:
    """It, as a log beside those of the services."""
    return {DEVCTL: (DEVCTL, file(settings))}


def note(settings: Settings, event: str, records: Iterable[Mapping[str, object]], *, seconds_ago: float = 0.0) -> None:
    """Write a line for each of these; what cannot be written is not worth an error."""
    log = file(settings)
    moment = datetime.fromtimestamp(time.time() - seconds_ago, UTC).isoformat(timespec="microseconds")[:-6] + "Z"
    head = {"timestamp": moment, "level": "info", "service": DEVCTL, "event": event}
    lines = [json.dumps({**head, **record}) + "\n" for record in records]
    with suppress(OSError):
        settings.make_state()
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as opened:
            opened.writelines(lines)
        rotation.rotate(log)


def clear(settings: Settings) -> None:
    """Forget what was done: the services' logs are gone, too."""
    with suppress(OSError):
        rotation.remove(file(settings))
