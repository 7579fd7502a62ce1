"""A task of theirs that is measured, or put to faults: what it is called with, where it goes, and who does it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from devctl.contracts.document import array, mapping
from devctl.contracts.port import Task, Wrong
from devctl.errors import UsageError
from devctl.measurement.adapters import Adapters
from devctl.stack.model import Stack


@dataclass(frozen=True)
class Call:
    """The task, and its arguments."""

    task: str
    queue: str = ""
    """Where it is sent; "" where no file says it."""
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    ignore_result: bool = False

    @property
    def options(self) -> str:
        """What a next command needs, to mean the same call."""
        text = f" --task {self.task}"
        text += f" --args {shlex.quote(json.dumps(list(self.args)))}" if self.args else ""
        return text + (f" --kwargs {shlex.quote(json.dumps(dict(self.kwargs)))}" if self.kwargs else "")


def call(adapters: Adapters, name: str, args: str | None, kwargs: str | None, queue: str = "") -> Call:
    """Checked against its signature, where there is one; UsageError says what it takes."""
    given, named = array("--args", args), mapping("--kwargs", kwargs)
    task = adapters.tasks.find(name)
    if task is None:
        if args is None and kwargs is None:
            adapters.tasks.get(name)  # says what was probably meant
        return Call(name, queue, tuple(given), named)
    if args is None and kwargs is None and task.schema.get("required"):
        raise _takes(task, by_name=not adapters.stack.contracts)
    try:
        message = task.call(given, named, queue=queue)
    except Wrong as wrong:
        raise UsageError(
            f"{task.name} does not take these arguments",
            details=[f"{one.path}  {one.value}  {one.expected}" for one in wrong.problems],
            hint=f"devctl tasks {task.short}     what it takes",
        ) from wrong
    return Call(task.name, message.queue, message.args, message.kwargs, task.ignore_result)


def _takes(task: Task, *, by_name: bool) -> UsageError:
    """A contract takes one object, a function its parameters."""
    example = task.example()
    given = ("--kwargs", example) if by_name else ("--args", [example])
    return UsageError(
        f"{task.name} takes {', '.join(task.schema['required'])}: it runs for real, so nothing is made up",
        hint=f"for example {given[0]} {shlex.quote(json.dumps(given[1], ensure_ascii=False))}",
    )


def serving(stack: Stack, given: str, owner: str = "") -> str:
    """The service that is named, else the one that consumes the queue, else the only worker; UsageError: unsure."""
    if given:
        return stack.resolve([given])[0]
    if owner in stack.services:
        return owner
    if len(stack.workers) == 1:
        return stack.workers[0]
    if not stack.workers:
        raise UsageError(
            "no service of the Compose file is known as a worker",
            hint="devctl doctor shows what was found; --service NAME names it",
        )
    raise UsageError(f"which worker? {', '.join(stack.workers)}", hint=f"--service {stack.workers[0]}")
