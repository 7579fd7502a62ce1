"""A contract: what publisher and owner of a task agree on, and the ways to publish it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload
from uuid import UUID

from celery import Celery
from celery.result import EagerResult

from celeriac.app.client import default_app
from celeriac.contract import publishing, signature
from celeriac.contract.messages import Messages
from celeriac.contract.pending import Pending
from celeriac.contract.spec import Spec
from celeriac.publish.outgoing import Outgoing
from celeriac.published import Published

if TYPE_CHECKING:
    from celery.canvas import Signature

P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Contract(Spec[P, R]):
    """A task as its callers see it: without its body and without the libraries that the body needs."""

    bound: Celery | None = None

    def bind(self, app: Celery) -> "Contract[P, R]":
        """The same contract, published through `app` instead of the app of the environment."""
        return replace(self, bound=app)

    @property
    def app(self) -> Celery:
        if self.bound is not None:
            return self.bound
        return default_app()

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
        sent = publishing.publish(self, self.app, self.check(payload), options)
        if isinstance(sent, EagerResult):
            return replace(self.pending(sent.id), done=sent)
        return self.pending(sent)

    def publish_many(self, payloads: Iterable[P], **options: Any) -> Published:
        """Publish many payloads, in order and in few round trips; each is validated before it is sent. It ends with the
        first payload that is not accepted: the error, of any kind, has `published`, which says what became of each. To
        publish all of them again is harmless, and completes the work."""
        return publishing.publish_many(self, self.app, payloads, options)

    def message(self, payload: P, marker: bytes = b"") -> Outgoing:
        """Validate the payload and make its message, for a publisher of your own."""
        return Messages(self, self.app).make(self.check(payload), marker)

    @overload
    def s(self: "Contract[None, R]", payload: None = None, **options: Any) -> "Signature[Any]": ...
    @overload
    def s(self, payload: P, **options: Any) -> "Signature[Any]": ...
    def s(self, payload: Any = None, **options: Any) -> "Signature[Any]":
        """The first link of a chain, a member of a group, a header of a chord."""
        return signature.of(self, self.app, self.check(payload), options)

    def partial(self, **options: Any) -> "Signature[Any]":
        """A later link of a chain, or the body of a chord: its payload is the result before it."""
        return signature.partial(self, self.app, options)

    def pending(self, task_id: UUID | str) -> Pending[R]:
        """A task that was published elsewhere."""
        return Pending(str(task_id), self.app, self.result_adapter)
