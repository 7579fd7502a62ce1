"""A library for tracing may look at each message on its way to its queue. Without one, which is the usual case, nobody
does."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from celeriac.outcome.commit import OPEN
from celeriac.trace_context import Trace


class Sending(Protocol):
    """One message on its way. Exactly one of `sent` and `failed` is called; none, if a task that would have published
    it is not committed."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What the message carries of its trace."""

    def sent(self) -> None:
        """It is in its queue, or was before."""

    def failed(self, error: BaseException | None) -> None:
        """It is not, or nobody knows."""


Begin = Callable[[str, str, str, str, Trace | None, bool], Sending]


class _Looking:
    begin: Begin | None = None


LOOKING = _Looking()


def begin(
    task: str, queue: str, task_id: str, correlation_id: str, trace: Trace | None, *, given: bool = False
) -> Sending | None:
    """A message is about to be sent. `trace`: where its sender stands; `given`: it is what the message carries, since
    its caller has put it there."""
    look = LOOKING.begin
    return None if look is None else look(task, queue, task_id, correlation_id, trace, given)


def end(sending: Any) -> None:
    """It is sent; by a task, when that is committed."""
    if sending is None:
        return
    if OPEN.commit is None:
        sending.sent()
    else:
        OPEN.commit.then(sending.sent)
