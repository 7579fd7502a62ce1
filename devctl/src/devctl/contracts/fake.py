"""Tasks in memory, for tests of whatever works with the port: each takes one object and checks nothing of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from devctl.broker.port import Message
from devctl.contracts.conform import problems
from devctl.contracts.port import Task, Wrong
from devctl.errors import UsageError


@dataclass(frozen=True)
class FakeTask:
    """One task; its input is what its schema says."""

    name: str
    queue: str = "celery"
    schema: Mapping[str, Any] = field(default_factory=dict)
    takes_nothing: bool = False
    ignore_result: bool = False

    @property
    def short(self) -> str:
        """The last part of its name."""
        return self.name.rpartition(".")[2]

    def checked(self, value: Any) -> Any:
        """The input itself."""
        if found := list(problems(self.schema, value)):
            raise Wrong(found)
        return value

    def message(self, value: Any, *, queue: str = "") -> Message:
        """A message with the input as its one argument."""
        args = () if self.takes_nothing else (self.checked(value),)
        return Message(self.name, queue or self.queue, f"{self.short}-{id(value):x}", args)

    def call(self, args: Sequence[Any], kwargs: Mapping[str, Any], *, queue: str = "", check: bool = True) -> Message:
        """A message with these arguments."""
        return Message(self.name, queue or self.queue, f"{self.short}-{id(args):x}", tuple(args), kwargs)

    def example(self) -> Any:
        """Ones for what is required."""
        return None if self.takes_nothing else dict.fromkeys(self.schema.get("required", ()), 1)


class FakeTasks:
    """Some tasks."""

    def __init__(self, *tasks: FakeTask) -> None:
        self.tasks = tasks

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    def find(self, name: str) -> FakeTask | None:
        """By the name, or by the short one."""
        return next((one for one in self.tasks if name in (one.name, one.short)), None)

    def get(self, name: str) -> FakeTask:
        """The same, or UsageError."""
        if found := self.find(name):
            return found
        raise UsageError(f"no task {name!r}", hint="tasks: " + ", ".join(one.name for one in self.tasks))
