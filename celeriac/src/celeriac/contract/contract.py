"""A contract: the name, the queue and the shapes that publisher and owner of a task agree on."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload
from uuid import UUID

import pydantic
from celery.result import EagerResult
from kombu.exceptions import EncodeError
from pydantic import TypeAdapter

from celeriac.app.client import default_app
from celeriac.contract import eager
from celeriac.contract.batch import publish_many
from celeriac.contract.messages import Messages, named, usual
from celeriac.contract.outcome import Outcome
from celeriac.contract.pending import Pending
from celeriac.errors import ValidationError
from celeriac.message.frame import dumps, reduced
from celeriac.outcome.commit import current as open_commit
from celeriac.payloads import TaskPayload
from celeriac.publish.announcement import tell, tell_all
from celeriac.publish.of_app import publisher_of
from celeriac.publish.outgoing import Outgoing, Published
from celeriac.retry.policy import NO_RETRIES, RetryPolicy

if TYPE_CHECKING:
    from celery import Celery
    from celery.canvas import Signature

P = TypeVar("P")
R = TypeVar("R")
T = TypeVar("T")

RECORD_SECONDS = 24 * 3600


@cache
def adapter(kind: type[T]) -> TypeAdapter[T]:
    """Made once for each type, when it is needed: to build one takes longer than to use it a thousand times."""
    return TypeAdapter(kind)


@dataclass(frozen=True)
class Contract(Generic[P, R]):
    """A task as its callers see it: without its body and without the libraries that the body needs."""

    name: str
    queue: str
    payload: type[P]
    result: type[R]
    retries: RetryPolicy = NO_RETRIES
    ignore_result: bool = False
    record_seconds: int | None = RECORD_SECONDS
    """How long the record of a done task is kept, which makes duplicates harmless; None: there is no record."""
    bound: "Celery | None" = None

    def bind(self, app: "Celery") -> "Contract[P, R]":
        """The same contract, published through `app` instead of the app of the environment."""
        return replace(self, bound=app)

    @property
    def app(self) -> "Celery":
        if self.bound is not None:
            return self.bound
        return default_app()

    @property
    def payload_adapter(self) -> TypeAdapter[P]:
        return adapter(self.payload)  # type: ignore[arg-type]  # mypy thinks that None's type has no hash

    @property
    def result_adapter(self) -> TypeAdapter[R]:
        return adapter(self.result)  # type: ignore[arg-type]  # the same

    def check(self, payload: P) -> P:
        """Validate the payload again. Raises TypeError for anything that is not the contract's payload."""
        if not isinstance(payload, self.payload):
            raise TypeError(f"{self.name} takes {self.payload.__name__}, not {type(payload).__name__}")
        try:
            return self.payload_adapter.validate_python(payload)
        except pydantic.ValidationError as exc:
            raise ValidationError(describe(exc)) from None

    def payload_data(self, payload: P) -> Any:
        """The payload as JSON data. Raises EncodeError for data that JSON cannot hold."""
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

    @overload
    def delay(self: "Contract[None, R]") -> Pending[R]: ...
    @overload
    def delay(self, payload: P) -> Pending[R]: ...
    def delay(self, payload: Any = None) -> Pending[R]:
        """Validate and publish."""
        return self.apply_async(cast("P", payload))

    @overload
    def apply_async(self: "Contract[None, R]", payload: None = None, **options: Any) -> Pending[R]: ...
    @overload
    def apply_async(self, payload: P, **options: Any) -> Pending[R]: ...
    def apply_async(self, payload: Any = None, **options: Any) -> Pending[R]:
        """Validate and publish, with Celery's options: countdown, eta, expires, headers, queue, … A message that was
        published before is not published again. Raises PublishError (an OperationalError) or Conflict."""
        checked = self.check(payload)
        publisher = publisher_of(self.app) if usual(self.app, options) else None
        if publisher is None:
            sent = self._signature(checked, options).apply_async()
            return replace(self.pending(sent.id), done=sent if isinstance(sent, EagerResult) else None)
        message = Messages(self, options, publisher.now_us).make(checked)
        if (commit := open_commit(self.app.conf.broker_url)) is not None:
            commit.add_child(message.list, message.raw)
            tell(message)
        else:
            tell_all([message], publisher.place(message))
        if (parent := self.app.current_worker_task) is not None:
            parent.add_trail(self.app.AsyncResult(message.task_id))
        return self.pending(message.task_id)

    def publish_many(self, payloads: Iterable[P], **options: Any) -> Published:
        """Publish many payloads, in order and in few round trips; each is validated before it is sent. It ends with the
        first payload that is not accepted: the error, of any kind, has `published`, which says what became of each. To
        publish all of them again is harmless, and completes the work."""
        return publish_many(self, payloads, options)

    def message(self, payload: P, marker: bytes = b"") -> Outgoing:
        """Validate the payload and make its message, for a publisher of your own."""
        return Messages(self).make(self.check(payload), marker)

    @overload
    def s(self: "Contract[None, R]", payload: None = None, **options: Any) -> "Signature[Any]": ...
    @overload
    def s(self, payload: P, **options: Any) -> "Signature[Any]": ...
    def s(self, payload: Any = None, **options: Any) -> "Signature[Any]":
        """The first link of a chain, a member of a group, a header of a chord."""
        return self._signature(self.check(payload), options)

    def partial(self, **options: Any) -> "Signature[Any]":
        """A later link of a chain, or the body of a chord: its payload is the result before it."""
        eager.check(self.app, self.name)
        return self.app.signature(self.name, app=self.app, **({"queue": self.queue} | options))

    def pending(self, task_id: UUID | str) -> Pending[R]:
        """A task that was published elsewhere."""
        return Pending(str(task_id), self.app, self.result_adapter)

    def _signature(self, checked: P, options: dict[str, Any]) -> "Signature[Any]":
        eager.check(self.app, self.name)
        chosen = {"queue": self.queue, "ignore_result": self.ignore_result}
        if isinstance(checked, TaskPayload):
            chosen["task_id"] = named(self, checked, options)
        args = () if checked is None else (self.payload_data(checked),)
        return self.app.signature(self.name, args=args, app=self.app, **(chosen | options))


Body = Callable[[P], R] | Callable[[P, Outcome], R]


@dataclass(frozen=True)
class Implementation(Generic[P, R]):
    """A body and its contract. In tests it is called as a plain function; `register` makes a Celery task of it."""

    contract: Contract[P, R]
    body: Body[P, R]

    @cached_property
    def takes_outcome(self) -> bool:
        return len(inspect.signature(self.body).parameters) > 1

    def __call__(self, payload: P, outcome: Outcome | None = None) -> R:
        if self.takes_outcome:
            return cast("Callable[[P, Outcome], R]", self.body)(payload, outcome or Outcome())
        return cast("Callable[[P], R]", self.body)(payload)

    def register(self, app: "Celery") -> None:
        """Make it a task of this app."""
        from celeriac.contract.execution import register

        register(self, app)


def implements(contract: Contract[P, R]) -> Callable[[Body[P, R]], Implementation[P, R]]:
    """Decorates the body of a contract. It registers nothing: `make_worker` registers what a service owns."""
    return lambda body: Implementation(contract, body)


def _data(kind: TypeAdapter[Any], value: Any) -> Any:
    try:
        return kind.dump_python(value, mode="json", fallback=reduced)
    except Exception as exc:  # as kombu's own `dumps`
        raise EncodeError(exc) from exc


def _json(kind: TypeAdapter[Any], value: Any) -> bytes:
    """pydantic writes it in one step. What it refuses (half a surrogate pair), or what may stand for something else
    (null, for NaN), takes two."""
    try:
        text = kind.dump_json(value)
    except Exception:
        text = b"null"
    return dumps(_data(kind, value)) if b"null" in text else text


def describe(error: pydantic.ValidationError) -> str:
    """What is wrong, field by field, without the values: they may be somebody's secret."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    lines = [f"{'.'.join(str(part) for part in one['loc']) or 'payload'}: {one['msg']}" for one in found]
    return f"{len(lines)} {'field is' if len(lines) == 1 else 'fields are'} wrong: " + "; ".join(lines)
