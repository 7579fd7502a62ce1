"""A call that publishes: its attempts, and what its answer or its error means. (`publishing.py` sends it.)"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import redis.exceptions as refusals

from celeriac.errors import Conflict, NotPublished, OutcomeUnknown, QueueFull
from celeriac.life.scribe import SILENT, Scribe
from celeriac.publish.backlog import Backlog
from celeriac.publish.outgoing import CONFLICT, FULL, MISSING, PUSHED, UNCHECKED, Outgoing, words
from celeriac.published import Published
from celeriac.redaction import redact

FAILURES = (refusals.RedisError, OSError)
# Redis answered with a refusal: another attempt would get the same answer.
REFUSED = (refusals.ResponseError, refusals.AuthenticationError)
# With these answers the script certainly did not run.
CERTAIN = (*REFUSED, refusals.BusyLoadingError)


@dataclass(frozen=True)
class Patience:
    """How often a call is tried. There are always two attempts: without an answer nobody knows whether the message is
    published, and the second attempt tells. It follows at once, since the usual reason is an old connection that was
    closed; a new one works."""

    attempts: int = 4
    first_seconds: float = 0.1
    step_seconds: float = 0.3
    longest_seconds: float = 1.0

    def before(self, attempt: int) -> float | None:
        """Seconds to wait before the second attempt (1), the third (2), …; None: there is none."""
        if attempt >= max(2, self.attempts):
            return None
        grown = self.first_seconds + self.step_seconds * (attempt - 2)
        return 0.0 if attempt < 2 else min(grown, self.longest_seconds)


class Call:
    """One chunk on its way."""

    def __init__(
        self, chunk: list[Outgoing], bound: int, patience: Patience, backlog: Backlog, scribe: Scribe = SILENT
    ) -> None:
        self._chunk, self._bound, self._patience, self._backlog = chunk, bound, patience, backlog
        self._attempts = 0
        self._in_doubt = False  # an attempt got no answer
        self._usual: Published | None = None
        self.keys, self.arguments = words(chunk, bound, declared=backlog.used, scribe=scribe)

    def failed(self, error: Exception, *, sent: bool) -> float:
        """How long to wait before the next attempt. Raises PublishError when there is none. `sent`: the script, or a
        part of it, was sent. Only `error` itself counts, not its context: that may be another error, which the caller
        handles right now."""
        self._attempts += 1
        self._in_doubt = self._in_doubt or (sent and not isinstance(error, CERTAIN))
        pause = None if isinstance(error, REFUSED) else self._patience.before(self._attempts)
        if pause is not None:
            return pause
        ids = tuple(message.task_id for message in self._chunk)
        what = f"task {ids[0]}" if len(ids) == 1 else f"{len(ids):,} tasks"
        why = "NOAUTH: it wants a password" if unauthenticated(error) else redact(str(error)) or type(error).__name__
        if self._in_doubt:
            raise OutcomeUnknown(f"no answer, {what} may be published or not: {why}", Published(unknown=ids)) from error
        raise NotPublished(f"{what} not published: {why}", Published(refused=ids)) from error

    def usual(self) -> Published:
        """All messages are accepted. It is made while Redis works, when it costs no time."""
        if self._usual is None:
            self._usual = Published(accepted=tuple([message.task_id for message in self._chunk]))
        return self._usual

    def answered(self, answers: Sequence[int]) -> Published:
        """What became of each message. Raises PublishError or Conflict if one of them is not in its queue."""
        depth, *each = answers
        self._backlog.saw(depth, each.count(PUSHED))
        if not self._in_doubt and each.count(PUSHED) == len(each):
            return self.usual()
        published = Published()
        for message, answer in zip(self._chunk, each, strict=True):
            ids = (message.task_id,)
            if answer < 0:
                published += Published(refused=ids)
            elif (
                answer == PUSHED or self._in_doubt
            ):  # what is there when we repeat was our own first attempt, or a twin
                published += Published(accepted=ids)
            else:
                missing, unchecked = ids if answer == MISSING else (), ids if answer == UNCHECKED else ()
                published += Published(duplicates=ids, missing=missing, unchecked=unchecked)
        if CONFLICT in each:
            other = self._chunk[each.index(CONFLICT)]
            raise Conflict(f"{other.task} {other.task_id} was published before, with other content", published)
        if FULL in each:
            raise QueueFull(
                f"queue {self._chunk[0].queue} is full: {depth:,} messages wait, {self._bound:,} may",
                published,
                retry_after_seconds=self._backlog.retry_after_seconds(depth, self._bound),
            )
        return published


@dataclass
class Calls:
    """Makes calls, and remembers how fast each queue drains."""

    bound: int
    patience: Patience
    scribe: Scribe = SILENT
    backlogs: dict[str, Backlog] = field(default_factory=dict)

    def __call__(self, chunk: list[Outgoing]) -> Call:
        queue = chunk[0].queue
        backlog = self.backlogs.get(queue) or self.backlogs.setdefault(queue, Backlog())
        return Call(chunk, self.bound, self.patience, backlog, self.scribe)


def unauthenticated(error: BaseException) -> bool:
    """Whether Redis wants us to sign in. Redis refuses a long command of a client that has not signed in with an error
    of its own, for which redis-py has no class."""
    return isinstance(error, refusals.AuthenticationError) or "unauthenticated" in str(error)
