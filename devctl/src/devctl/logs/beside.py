"""Logs that are no output of a service: files that workers write to, and what devctl itself did."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from devctl.logs import own
from devctl.settings import Settings
from devctl.stack.logfiles import Source
from devctl.stack.model import Stack
from devctl.stack.words import here


def beside(settings: Settings, stack: Stack, services: Collection[str]) -> Source:
    """Those of these services, as far as they are here; of none in particular: of all, and devctl's own."""
    written = {name: path for name, path in stack.logfiles.items() if not services or name in services}
    places = {name: here(stack.services[name], path) for name, path in written.items()}
    found = {name: (name, Path(place)) for name, place in places.items() if place and Path(place).is_file()}
    return found if services else {**found, **own.source(settings)}
