"""The task contracts of the repository, as its contracts module lists them."""

from __future__ import annotations

import difflib
import importlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import NoneType
from typing import TYPE_CHECKING, Any

from devctl.errors import DevctlError, UsageError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from devctl.broker.port import Message


@dataclass(frozen=True)
class TaskContract:
    """What a publisher must know of a task. Made from any object with name, queue, payload and result."""

    name: str
    queue: str
    payload: Any
    """The type of the payload, whatever pydantic can validate; None where the task takes nothing."""
    result: Any = None
    retries: Any = None
    ignore_result: bool = False
    record_seconds: int | None = 24 * 3600
    """How long a done task makes its duplicates harmless."""
    of_celeriac: bool = False
    """Whether it is a contract of celeriac: then celeriac's settings say how Celery is configured."""

    @classmethod
    def of(cls, contract: Any) -> TaskContract:
        """Read a contract of the repository."""
        payload, result = (
            None if kind is NoneType else kind
            for kind in (getattr(contract, "payload", None), getattr(contract, "result", None))
        )
        return cls(
            name=contract.name,
            queue=contract.queue,
            payload=payload,
            result=result,
            retries=getattr(contract, "retries", None),
            ignore_result=bool(getattr(contract, "ignore_result", False)),
            record_seconds=getattr(contract, "record_seconds", 24 * 3600),
            of_celeriac=type(contract).__module__.startswith("celeriac."),
        )

    @property
    def short(self) -> str:
        """`resize` of `images.resize`."""
        return self.name.rpartition(".")[2]

    @property
    def takes_nothing(self) -> bool:
        """Whether it has no payload."""
        return self.payload is None

    def checked(self, value: Any) -> Any:
        """The payload as it travels, with everything that its model fills in; Wrong where it is not one."""
        from devctl.contracts.payload import checked

        return checked(self, value)

    def message(self, value: Any, *, queue: str = "") -> Message:
        """A checked payload as a message."""
        from devctl.contracts.payload import message

        return message(self, value, queue=queue)

    def call(self, args: Sequence[Any], kwargs: Mapping[str, Any], *, queue: str = "", check: bool = True) -> Message:
        """A message with these arguments as they are: what a contract does not say, somebody may want to try."""
        from devctl.broker.port import Message
        from devctl.contracts.payload import traced

        task_id = str(uuid.uuid4())
        return Message(self.name, queue or self.queue, task_id, tuple(args), kwargs, headers=traced(task_id))

    def example(self) -> Any:
        """A valid payload, the same every time: documentation should not flicker."""
        from devctl.contracts.sample import samples

        return next(samples(self, seed=1))

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """Validates the payload as the owner of the task will."""
        from pydantic import TypeAdapter

        return TypeAdapter(self.payload)

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        """The payload's JSON schema; empty where a type cannot be described by one."""
        return _schema(self.payload)

    @cached_property
    def result_schema(self) -> Mapping[str, Any]:
        """The result's JSON schema."""
        return _schema(self.result, mode="serialization")


def _schema(kind: Any, mode: Any = "validation") -> Mapping[str, Any]:
    from pydantic import PydanticInvalidForJsonSchema, TypeAdapter

    if kind is None:
        return {}
    try:
        return TypeAdapter(kind).json_schema(mode=mode)
    except PydanticInvalidForJsonSchema:
        return {}


class Catalog:
    """All contracts, in the order of the module."""

    def __init__(self, contracts: Sequence[TaskContract]) -> None:
        self.contracts = tuple(contracts)

    @classmethod
    def load(cls, module: str) -> Catalog:
        """Import the module (or its `tasks`) and read its CONTRACTS; DevctlError where that does not work."""
        if not module:
            raise DevctlError("the Compose file names no task contracts", hint="x-devctl: {contracts: MODULE}")
        for name in (module, f"{module}.tasks"):
            try:
                contracts = getattr(importlib.import_module(name), "CONTRACTS", None)
            except ModuleNotFoundError as exc:
                if exc.name != name:  # something that it imports is missing, not the module itself
                    raise _broken(name, exc) from exc
                continue
            except Exception as exc:  # whatever the module does when it is imported is its author's to fix
                raise _broken(name, exc) from exc
            if contracts is not None:
                return cls(_checked(name, [TaskContract.of(contract) for contract in contracts]))
        raise DevctlError(
            f"no task contracts: neither {module} nor {module}.tasks has CONTRACTS",
            hint="x-devctl.contracts in the Compose file names the module that has them",
        )

    def __iter__(self) -> Iterator[TaskContract]:
        return iter(self.contracts)

    @property
    def default(self) -> TaskContract:
        """The contract that is meant when none is named: the first with a payload, else the first."""
        if not self.contracts:
            raise DevctlError("CONTRACTS is empty", hint="devctl new task NAME --queue QUEUE")
        return next((one for one in self.contracts if one.payload is not None), self.contracts[0])

    def find(self, name: str) -> TaskContract | None:
        """The contract of this name, or of this short name where only one has it."""
        exact = [one for one in self.contracts if one.name == name]
        short = [one for one in self.contracts if one.short == name]
        return next(iter(exact or (short if len(short) == 1 else [])), None)

    def get(self, name: str) -> TaskContract:
        """The same, but UsageError with what was probably meant."""
        if found := self.find(name):
            return found
        known = [*(one.name for one in self.contracts), *(one.short for one in self.contracts)]
        near = difflib.get_close_matches(name, known, n=1)
        raise UsageError(
            f"no task {name!r}" + (f": did you mean {near[0]}?" if near else ""),
            hint="tasks: "
            + ", ".join(one.name for one in self.contracts)
            + f"\ndevctl send-task {name} --args '[]' --queue QUEUE     to send it without a contract",
        )


def _checked(module: str, contracts: list[TaskContract]) -> list[TaskContract]:
    """Refuse what would be a riddle later: two contracts of one name, a contract without a queue."""
    names = [one.name for one in contracts]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise DevctlError(f"{twice[0]} is in CONTRACTS of {module} more than once", hint="leave one of them there")
    if nowhere := [one.name for one in contracts if not one.queue]:
        raise DevctlError(f"{nowhere[0]} in CONTRACTS of {module} has no queue", hint="a contract names its queue")
    return contracts


def _broken(module: str, exc: Exception) -> DevctlError:
    return DevctlError(
        f"the contracts in {module} cannot be imported: {type(exc).__name__}: {exc}",
        hint=f"see for yourself: python -c 'import {module}'",
    )
