"""What publisher and owner of a task agree on: its name, its queue, its types. It knows no Celery."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Generic, TypeVar

import pydantic
from kombu.exceptions import EncodeError
from pydantic import TypeAdapter

from celeriac.errors import ValidationError
from celeriac.message.frame import dumps, reduced
from celeriac.payloads import TaskPayload
from celeriac.retry.policy import NO_RETRIES, RetryPolicy

P = TypeVar("P")
R = TypeVar("R")
T = TypeVar("T")

RECORD_SECONDS = 24 * 3600


@cache
def adapter(kind: type[T]) -> TypeAdapter[T]:
    """Made once for each type, when it is needed: to build one takes longer than to use it a thousand times."""
    return TypeAdapter(kind)


@dataclass(frozen=True)
class Spec(Generic[P, R]):
    """A task as both sides see it: without its body, and without a way to publish it."""

    name: str
    queue: str
    payload: type[P]
    result: type[R]
    retries: RetryPolicy = NO_RETRIES
    ignore_result: bool = False
    record_seconds: int | None = RECORD_SECONDS
    """How long the record of a done task is kept, which makes duplicates harmless; None: there is no record."""

    @property
    def payload_adapter(self) -> TypeAdapter[P]:
        return adapter(self.payload)  # type: ignore[arg-type]  # mypy thinks that None's type has no hash

    @property
    def result_adapter(self) -> TypeAdapter[R]:
        return adapter(self.result)  # type: ignore[arg-type]  # the same

    @cached_property
    def has_task_id(self) -> bool:
        """Whether its payload has a `task_id`, which is the id of the message, too."""
        return isinstance(self.payload, type) and issubclass(self.payload, TaskPayload)

    # Made when they are first used. pydantic's own methods of an adapter take as long as what they call.

    @cached_property
    def validate_payload(self) -> Callable[[Any], P]:
        """Raises pydantic's ValidationError."""
        return self.payload_adapter.validator.validate_python

    @cached_property
    def validate_result(self) -> Callable[[Any], R]:
        """The same of a result."""
        return self.result_adapter.validator.validate_python

    def check(self, payload: P) -> P:
        """Validate the payload again. Raises TypeError for anything that is not the contract's payload."""
        if not isinstance(payload, self.payload):
            raise TypeError(f"{self.name} takes {self.payload.__name__}, not {type(payload).__name__}")
        try:
            return self.validate_payload(payload)
        except pydantic.ValidationError as exc:
            raise ValidationError(describe(exc)) from None

    def payload_data(self, payload: P) -> Any:
        """The payload as JSON data. Raises kombu's EncodeError for data that JSON cannot hold, as every publish does
        in Celery."""
        return _data(self.payload_adapter, payload)

    def result_data(self, result: R) -> Any:
        """The same of a result."""
        return _data(self.result_adapter, result)

    def payload_json(self, payload: P) -> bytes:
        """The same, written: JSON in UTF-8."""
        return _json(self.payload_adapter, payload)

    def result_json(self, result: R) -> bytes:
        """The same of a result."""
        return _json(self.result_adapter, result)


def _data(kind: TypeAdapter[Any], value: Any) -> Any:
    try:
        return kind.serializer.to_python(value, mode="json", fallback=reduced)
    except Exception as exc:  # as kombu's own `dumps`
        raise EncodeError(exc) from exc


def _json(kind: TypeAdapter[Any], value: Any) -> bytes:
    """pydantic writes it in one step. What it refuses (half a surrogate pair), or what may stand for something else
    (null, for NaN), takes two."""
    try:
        text = kind.serializer.to_json(value)
    except Exception:
        text = b"null"
    return text if text.find(b"null") < 0 else dumps(_data(kind, value))


def describe(error: pydantic.ValidationError) -> str:
    """What is wrong, field by field, without the values: they may be somebody's secret."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    lines = [f"{'.'.join(str(part) for part in one['loc']) or 'payload'}: {one['msg']}" for one in found]
    return f"{len(lines)} {'field is' if len(lines) == 1 else 'fields are'} wrong: " + "; ".join(lines)
