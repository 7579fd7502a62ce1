"""The port to tasks: which there are, what they take, and what a message for one looks like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from devctl.broker.port import Message


@dataclass(frozen=True)
class FieldProblem:
    """One field: where, what stands there, what is expected."""

    path: str
    value: str
    expected: str

    def __str__(self) -> str:
        return f"{self.path}   {self.value}   {self.expected}"


class Wrong(Exception):
    """The value is nothing that the task takes."""

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        super().__init__(f"{len(problems)} problems")
        self.problems = tuple(problems)


class Task(Protocol):
    """One task, as a publisher must know it.

    Its input is one JSON value: a contract's payload, or an object of a function's parameters by their names.
    """

    @property
    def name(self) -> str:
        """As workers register it."""

    @property
    def short(self) -> str:
        """Its last part: `resize` of `images.tasks.resize`."""

    @property
    def queue(self) -> str:
        """Where it is sent; "" where nobody can tell."""

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema of its input; empty where it is not known."""

    @property
    def takes_nothing(self) -> bool:
        """Whether it has no input at all."""

    @property
    def ignore_result(self) -> bool:
        """Whether it surely leaves no result to wait for."""

    def checked(self, value: Any) -> Any:
        """The input as it travels; Wrong where it is none."""

    def message(self, value: Any, *, queue: str = "") -> Message:
        """A message with this input, checked, and an id of its own; Wrong where it is none."""

    def call(self, args: Sequence[Any], kwargs: Mapping[str, Any], *, queue: str = "", check: bool = True) -> Message:
        """A message with these arguments as they are; Wrong where it does not take them."""

    def example(self) -> Any:
        """An input that it takes, the same every time."""


class Contract(Task, Protocol):
    """A task whose input is one payload of a type that pydantic validates."""

    @property
    def payload(self) -> Any:
        """The type; None where it takes nothing."""

    @property
    def adapter(self) -> TypeAdapter[Any]:
        """Validates the payload as the owner of the task will."""

    @property
    def record_seconds(self) -> int | None:
        """How long a done task makes its duplicates harmless."""


class Tasks(Protocol):
    """All tasks that can be sent, in their order."""

    def __iter__(self) -> Iterator[Task]: ...

    def find(self, name: str) -> Task | None:
        """The task of this name, or of this short name where only one has it."""

    def get(self, name: str) -> Task:
        """The same, but UsageError with what was probably meant."""
