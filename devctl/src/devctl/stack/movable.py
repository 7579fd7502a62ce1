"""Which variable of the Compose files moves a published port, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from devctl.errors import DevctlError
from devctl.interpolation import InterpolationError, interpolate
from devctl.interpolation import variables as names_in
from devctl.settings import Settings
from devctl.stack import identity, normal
from devctl.stack.composition import Composition, Written
from devctl.stack.document import Path


def variables(settings: Settings) -> dict[tuple[str, int], str]:
    """Return service and container port -> the variable that its port on this machine is read from.

    Not one that stands anywhere else, too: of `${P:-6379}:${P:-6379}` it would move the port in the container as well.
    """
    composition, environment = Composition(), identity.interpolation(settings)
    with suppress(normal.Wrong, DevctlError):  # what is wrong in the files is said by who reads them
        composition.read(identity.files(settings), settings.root, environment)
    elsewhere = {name for document in composition.documents for name in _elsewhere(document.data, ())}
    found: dict[tuple[str, int], str] = {}
    for service, raw in (composition.data.get("services") or {}).items():
        for entry in (raw or {}).get("ports") or ():
            published = _published(entry)
            variable = next((name for name in names_in(published) if name not in elsewhere), "")
            with suppress(normal.Wrong, InterpolationError):
                if ":" in interpolate(published, environment):  # an address and a port in one
                    continue
                found |= {(service, port.target): variable for port in normal.ports(entry, ()) if variable}
    return found


def variables_of(settings: Settings, service: str) -> dict[int, str]:
    """Return container port -> variable, for one service."""
    return {target: variable for (name, target), variable in variables(settings).items() if name == service}


def _published(entry: Any) -> str:
    """The part of an entry that is this machine's port, as it is written."""
    value = entry.get("published") if isinstance(entry, Mapping) else entry
    raw = value.raw if isinstance(value, Written) else str(value or "")
    return raw if isinstance(entry, Mapping) else (["", *_parts(raw)])[-2]


def _elsewhere(value: Any, path: Path) -> Iterator[str]:
    """The variables of a file that stand in anything but this machine's ports."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _elsewhere(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _elsewhere(item, (*path, index))
    elif isinstance(value, str) and path[-3::2] != ("ports", "published"):
        if path[-2:-1] == ("ports",):
            parts = _parts(value)
            value = ":".join([*parts[:-2], parts[-1]])
        yield from names_in(value)


def _parts(raw: str) -> list[str]:
    """`address:published:target` at its colons, not at those of a `${X:-default}` or of `[::1]`."""
    parts, depth = [""], 0
    for sign in raw:
        depth += (sign in "{[") - (sign in "}]")
        if sign == ":" and not depth:
            parts.append("")
        else:
            parts[-1] += sign
    return parts
