"""What earlier runs left behind: stacks whose supervisor was killed, processes that live on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from devctl.doctor.check import Check
from devctl.doctor.facts import Facts
from devctl.errors import DevctlError
from devctl.stack import identity
from devctl.stack.local.program import leftovers


def state(facts: Facts) -> Iterator[Check]:
    """Every stack of this checkout runs as its state says, or not at all."""
    found = False
    for name in ("", *identity.known(facts.settings)):
        settings = replace(facts.settings, stack=name)
        which, down = (f"stack {name}", f"devctl down --stack {name}") if name else ("the stack", "devctl down")
        try:
            identity.overrides(settings)
        except DevctlError as damaged:
            found = True
            yield Check("state", "problem", damaged.problem, damaged.hint)
            continue
        left = leftovers(identity.state_dir(settings))
        if left is None:
            continue
        found = True
        if left.alive:
            alive = ", ".join(f"{replica} (pid {pid})" for replica, pid in left.alive)
            yield Check(
                "state", "problem", f"{which} was killed, and these still run without a supervisor: {alive}", down
            )
        else:
            yield Check(
                "state",
                "warning",
                f"{which} was killed: {', '.join(left.gone)} should run and does not",
                f"{down}, then up",
            )
    if not found:
        yield Check("state", "ok", "nothing left from earlier runs")
