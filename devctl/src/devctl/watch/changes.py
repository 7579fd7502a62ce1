"""Which files of which services changed since the last look."""

from __future__ import annotations

import functools
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
        self._seen = self._read()

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
        before, self._seen = self._seen, self._read()
        for name, now in self._seen.items():
            old = before[name]
            if changed := sorted(path for path in old.keys() | now.keys() if old.get(path) != now.get(path)):
                found[name] = changed
        return found

    def _read(self) -> dict[str, sources.Stamps]:
        once = functools.cache(sources.stamps_of_watch)  # what several services share
        return {name: sources.stamps(service, once) for name, service in self._services.items()}
