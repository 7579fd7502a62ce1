"""Which files of which services changed since the last look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from devctl.stack import sources
from devctl.stack.model import Stack

Changes = Mapping[str, Sequence[Path]]
"""Service -> its files that changed, came or went."""


class Watcher:
    """Looks at the files of services: a stat of each, some milliseconds for a thousand. No library, on every system.

    Made before the services are started, it misses no change.
    """

    def __init__(self, stack: Stack, services: Sequence[str]) -> None:
        self._services = {name: stack.services[name] for name in services}
        self._seen = {name: sources.stamps(service) for name, service in self._services.items()}

    @property
    def services(self) -> tuple[str, ...]:
        """Whose files they are."""
        return tuple(self._services)

    @property
    def files(self) -> int:
        """How many files are looked at, each once."""
        return len({path for seen in self._seen.values() for path in seen})

    def look(self) -> Changes:
        """Return what is another than at the last look."""
        found: dict[str, Sequence[Path]] = {}
        for name, service in self._services.items():
            before, now = self._seen[name], sources.stamps(service)
            if changed := sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path)):
                found[name] = changed
            self._seen[name] = now
        return found
