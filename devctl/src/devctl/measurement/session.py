"""A measurement from its begin to its end: nobody else measures on this machine, and what it changes is undone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from devctl.clock import SystemClock
from devctl.errors import DevctlError
from devctl.measurement.adapters import Adapters
from devctl.measurement.lock import alone, file
from devctl.stack import identity
from devctl.undo.guard import Guard, guarding
from devctl.undo.steps import Stop, Undo


def refuse_outside(adapters: Adapters) -> None:
    """DevctlError where the broker is no service of the stack."""
    if adapters.outside:
        raise DevctlError(
            f"the broker is {adapters.outside}, outside this stack: nothing is measured or broken there",
            hint="give the workers a broker of the Compose file for it; devctl doctor shows where their URL comes from",
        )


@contextmanager
def guarded(adapters: Adapters) -> Iterator[Guard]:
    """A guard over this stack: what the block adds to it is undone, however devctl ends.

    DevctlError where another measurement goes on on this machine.
    """
    undo = Undo(lambda: adapters.runtime, lambda: adapters.broker, SystemClock())
    settings = adapters.settings
    with (
        alone(file(), settings.root) as held,
        guarding(settings, adapters.runtime_choice[0], undo, held.descriptors) as guard,
    ):
        yield guard


@contextmanager
def taken_away(adapters: Adapters, guard: Guard) -> Iterator[None]:
    """At the block's end, the stack goes with all it has; the block begins before anything of it is started."""
    guard.add(Stop(volumes=True))
    try:
        yield
    finally:
        guard.undo_all()
        if not guard.failures:
            identity.forget(adapters.settings)
