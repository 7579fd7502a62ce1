"""The stack the demo plays in: its own, on the usual ports where they are free."""

from __future__ import annotations

import dataclasses

from devctl.errors import DevctlError
from devctl.measurement import mount
from devctl.settings import Settings
from devctl.stack import file, identity, movable, ports
from devctl.stack.model import Stack

NAME = "demo"


def require_example(stack: Stack) -> None:
    """DevctlError where there is nothing to play: a demo is the example's own."""
    if stack.contracts or stack.demo:
        return
    raise DevctlError(
        "devctl demo plays devctl's own example, and this repository is another",
        hint="here:         devctl up, then devctl send-task NAME --wait, devctl bench --task NAME\n"
        "the example:  devctl new project DIR, and devctl demo in it",
    )


def left_over(settings: Settings) -> list[Settings]:
    """The demo's stack where one still is, kept or left by a killed demo: with the runtime it was started on."""
    if NAME not in identity.known(settings):
        return []
    last = identity.last_runtime(settings)
    return [dataclasses.replace(settings, runtime=last)] if last else []


def prepare(mine: Settings) -> None:
    """Make the demo's stack known; a port that is taken becomes any free one."""
    checkouts = dataclasses.replace(mine, stack="")
    usual = _ports(checkouts)
    mounted = {mount.VARIABLE: mount.value(mine.environment)}  # the demo ends with a bench
    overrides = dict(mounted)
    for variable in dict.fromkeys(movable.variables(checkouts).values()):
        # Which ports a variable stands for shows when it alone is changed.
        identity.create(mine, mounted | {variable: "0"})
        stands_for = [usual[place] for place, published in _ports(mine).items() if published == 0 and usual[place]]
        if not all(map(ports.free, stands_for)):
            overrides[variable] = "0"
    identity.create(mine, overrides)


def _ports(settings: Settings) -> dict[tuple[str, int], int]:
    services = file.read(settings).services.values()
    return {(service.name, port.target): port.published for service in services for port in service.ports}
