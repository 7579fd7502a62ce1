"""Which service does a task that is to be measured, or put to faults."""

from __future__ import annotations

from devctl.errors import UsageError
from devctl.stack.model import Stack


def serving(stack: Stack, given: str) -> str:
    """The one that is named, else the only worker; UsageError where that is not certain."""
    if given:
        return stack.resolve([given])[0]
    if len(stack.workers) == 1:
        return stack.workers[0]
    if not stack.workers:
        raise UsageError(
            "no service of the Compose file is known as a worker",
            hint="devctl doctor shows what was found; --service NAME names it",
        )
    raise UsageError(f"which worker? {', '.join(stack.workers)}", hint=f"--service {stack.workers[0]}")
