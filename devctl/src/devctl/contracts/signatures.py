"""Tasks by their signatures: what the code of a repository and its living workers say of them."""

from __future__ import annotations

import difflib
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from devctl.broker.port import Consumer, Message
from devctl.contracts.conform import named, problems, shown
from devctl.contracts.payload import REPEATED_FOR_SECONDS, traced
from devctl.contracts.port import FieldProblem, Task, Wrong
from devctl.contracts.sample import part
from devctl.discovery.model import Answer, FoundTask, Parameter
from devctl.errors import UsageError

_NUMBERS = re.compile(
    r"(^|_)(id|pk|count|number|num|size|width|height|seconds|amount|total|index|page|limit|port|year|[abnxyz])$"
)
_NOWHERE = "no code of it was found here"
_BUILT_IN = "celery."
"""Celery's own tasks: registered everywhere, nobody's to send."""


@dataclass(frozen=True)
class Signature:
    """One task."""

    found: FoundTask
    traced: bool = False
    """Whether its workers read celeriac's correlation id."""

    @property
    def name(self) -> str:
        """As workers register it."""
        return self.found.name

    @property
    def short(self) -> str:
        """`resize` of `images.tasks.resize`."""
        return self.name.rpartition(".")[2]

    @property
    def queue(self) -> str:
        """Where `delay()` sends it; "" where nobody can tell."""
        return self.found.queue.value or ""

    @property
    def ignore_result(self) -> bool:
        """Whether its decorator says so; what the app's settings say, the broker knows."""
        return self.found.ignore_result is True

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What it takes; empty, too, where nobody knows."""
        return self.found.parameters or ()

    @property
    def unknown(self) -> bool:
        """Whether nobody knows what it takes, or a decorator below the task's own may take something else."""
        return self.found.parameters is None or bool(self.found.options.get("decorators"))

    @property
    def takes_nothing(self) -> bool:
        """Whether it has no parameter at all."""
        return not self.parameters and not self.unknown

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        """Its parameters by name, as an object; empty where nobody knows them."""
        if self.found.parameters is None:
            return {}
        properties = {one.name: _schema(one) for one in self.parameters if one.kind != "**"}
        return {
            "type": "object",
            "properties": properties,
            "required": [one.name for one in self.parameters if one.required],
            "additionalProperties": self.unknown or any(one.kind == "**" for one in self.parameters),
        }

    def checked(self, value: Any) -> dict[str, Any]:
        """The parameters as they travel; Wrong where one is missing, unknown or of another type."""
        value = {} if value is None else value
        if not isinstance(value, Mapping):
            raise Wrong([FieldProblem("input", shown(value), "must be an object: parameter -> value")])
        value = named(self.schema, value)
        if found := [self._told(one) for one in problems(self.schema, value) if not self._forgiven(one)]:
            raise Wrong(found)
        return dict(value)

    def _forgiven(self, problem: FieldProblem) -> bool:
        return self.unknown and problem.expected == "is missing"

    def _told(self, problem: FieldProblem) -> FieldProblem:
        if not problem.expected.startswith("is not a field"):
            return problem
        names = [one.name for one in self.parameters]
        near = difflib.get_close_matches(problem.path, names, n=1)
        more = f": did you mean {near[0]}?" if near else f"; it takes {', '.join(names) or 'nothing'}"
        return replace(problem, expected=f"is no parameter{more}")

    def message(self, value: Any, *, queue: str = "") -> Message:
        """A message with these parameters: by name, but for those that can only be given by position."""
        given = self.checked(value)
        by_position = [one for one in self.parameters if one.kind == "positional only"]
        more = next((one for one in self.parameters if one.kind == "*" and one.name in given), None)
        if more is not None:
            by_position = [one for one in self.parameters if one.kind in ("positional only", "usual")]
        args = []
        for one in by_position:
            if one.name not in given:
                break  # what follows has a default, too
            args.append(given.pop(one.name))
        if more is not None:
            args += given.pop(more.name)
        return self._message(args, given, queue)

    def call(self, args: Sequence[Any], kwargs: Mapping[str, Any], *, queue: str = "", check: bool = True) -> Message:
        """A message with these arguments as they are; Wrong where the signature does not take them."""
        if check and self.found.parameters is not None:
            args, kwargs = self._bound(args, kwargs)
        return self._message(args, kwargs, queue)

    def _bound(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        places = [one for one in self.parameters if one.kind in ("positional only", "usual")]
        rest = next((one for one in self.parameters if one.kind == "*"), None)
        wrong: list[FieldProblem] = []
        if len(args) > len(places) and rest is None and not self.unknown:
            takes = f"{len(places)} argument{'' if len(places) == 1 else 's'} by position"
            wrong.append(FieldProblem("args", f"{len(args)}", f"it takes {takes}{_listed(places)}"))
        first = {one.name: value for one, value in zip(places, args, strict=False)}
        wrong += [
            FieldProblem(name, shown(value), f"is given twice: {shown(first[name])} by position")
            for name, value in kwargs.items()
            if name in first
        ]
        if wrong:
            raise Wrong(wrong)
        checked = self.checked({**first, **kwargs})
        changed = [checked[one.name] for one in places[: len(args)]]
        return [*changed, *args[len(places) :]], {name: checked[name] for name in kwargs}

    def _message(self, args: Sequence[Any], kwargs: Mapping[str, Any], queue: str) -> Message:
        task_id = str(uuid.uuid4())
        return Message(
            self.name,
            queue or self.queue,
            task_id,
            tuple(args),
            kwargs,
            headers=traced(task_id) if self.traced else {},
            ignore_result=self.ignore_result,
            remembered_seconds=REPEATED_FOR_SECONDS,
        )

    def example(self) -> dict[str, Any]:
        """What must be given, made up: by type where there is one, else by what the name sounds like."""
        return {one.name: self._made_up(one) for one in self.parameters if one.required}

    def _made_up(self, one: Parameter) -> Any:
        made = part(self, one.schema, one.name) if one.schema else None
        if made is not None:
            return made
        return 1 if _NUMBERS.search(one.name) else one.name.replace("_", "-")


def _schema(one: Parameter) -> Mapping[str, Any]:
    return {"type": "array", "items": one.schema} if one.kind == "*" else one.schema


def _listed(places: Sequence[Parameter]) -> str:
    return f": {', '.join(one.name for one in places)}" if places else ""


class Signatures:
    """All tasks of a repository by their signatures."""

    def __init__(self, found: Iterable[FoundTask]) -> None:
        self.tasks = tuple(Signature(one) for one in found)

    def __iter__(self) -> Iterator[Signature]:
        return iter(self.tasks)

    def find(self, name: str) -> Signature | None:
        """The task of this name, or of this short name where only one has it."""
        exact = [one for one in self.tasks if one.name == name]
        short = [one for one in self.tasks if name in (one.short, one.found.function)]
        return next(iter(exact or (short if len(short) == 1 else [])), None)

    def get(self, name: str) -> Signature:
        """The same, but UsageError with what was probably meant."""
        if found := self.find(name):
            return found
        same = [one.name for one in self.tasks if name in (one.short, one.found.function)]
        if len(same) > 1:
            raise UsageError(f"{len(same)} tasks are called {name}", hint="say which: " + ", ".join(same))
        known = [*(one.name for one in self.tasks), *(one.short for one in self.tasks)]
        near = difflib.get_close_matches(name, known, n=1)
        raise UsageError(
            f"no task {name!r}" + (f": did you mean {near[0]}?" if near else ""),
            hint="devctl tasks     which there are\n"
            f"devctl send-task {name} --args '[]' --queue QUEUE     to send it all the same",
        )

    def living(self, consumers: Sequence[Consumer]) -> Signatures:
        """The same with the workers that have each task and consume its queue, and the tasks that only they know."""
        having: dict[str, list[Consumer]] = {}
        for consumer in consumers:
            for task in consumer.tasks:
                if not task.startswith(_BUILT_IN):
                    having.setdefault(task, []).append(consumer)
        known = []
        for one in self.tasks:
            nodes = [each.node for each in having.pop(one.name, ()) if not one.queue or one.queue in each.queues]
            known.append(replace(one.found, nodes=tuple(nodes)))
        more = [
            FoundTask(name, Answer(None, _NOWHERE), None, nodes=tuple(one.node for one in where))
            for name, where in sorted(having.items())
        ]
        return Signatures([*known, *more])


def consumed(task: Task | None, consumers: Sequence[Consumer]) -> list[str]:
    """The queues that the workers consume who have this task registered, or all workers, where none of them has it."""
    having = [one for one in consumers if task is not None and task.name in one.tasks] or list(consumers)
    return list(dict.fromkeys(queue for one in having for queue in one.queues))
