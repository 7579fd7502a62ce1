"""The `x-devctl` of a Compose file, written from what was found: for those who want it fixed."""

from __future__ import annotations

from collections.abc import Iterator

from devctl.broker.masking import masked
from devctl.discovery.model import Found
from devctl.errors import DevctlError
from devctl.new.changes import Changes
from devctl.new.composition import with_extension
from devctl.settings import Settings
from devctl.stack.document import parse

NAME = "x-devctl"


def changes(settings: Settings, found: Found) -> Changes:
    """Return the Compose file with its block; DevctlError where it has one, and where there is nothing to write."""
    file = settings.compose_file
    if NAME in parse(file).data:
        raise DevctlError(
            f"{file.name} has an {NAME} already: it stays as it is",
            hint="devctl doctor shows what devctl makes of it",
        )
    if found.broker.value is None and not found.having("worker"):
        raise DevctlError(
            f"neither a broker nor a worker was found in {file.name}: there is nothing to write",
            details=[found.broker.source],
            hint=f"write it yourself, with the names of your services: {NAME}: {{broker: redis, workers: [worker]}}",
        )
    made = Changes(settings.root)
    made.write(file, with_extension(made.read(file), NAME, [*_lines(found)], file.name))
    return made


def _lines(found: Found) -> Iterator[str]:
    if found.broker.value is None:
        yield f"# broker: unknown: {masked(found.broker.source)}"
    else:
        yield f"broker: {found.broker.value}  # {masked(found.broker.source)}"
    workers = found.having("worker")
    sources = ", ".join(dict.fromkeys(masked(found.services[name].source) for name in workers))
    yield f"workers: [{', '.join(workers)}]  # {sources}" if workers else "# workers: unknown: none was found"
