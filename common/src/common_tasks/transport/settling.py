"""A call that publishes, from its first attempt to an answer or an error; how it is sent is known to others."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import redis.exceptions as refusals

from common_tasks.errors import Conflict, NotPublished, OutcomeUnknown, QueueFull
from common_tasks.redaction import redact
from common_tasks.transport.drain import Drain
from common_tasks.transport.outgoing import CONFLICT, FULL, MISSING, PUSHED, UNCHECKED, Outgoing, Published, words

FAILURES = (refusals.RedisError, OSError)
# Redis is there and said no: another attempt would hear the same.
REFUSED = (refusals.ResponseError, refusals.AuthenticationError)
# Its answer, whatever it says, was that the script did not run.
CERTAIN = (*REFUSED, refusals.BusyLoadingError)


@dataclass(frozen=True)
class Patience:
    """How often a call is tried. Trying again is how an unknown outcome becomes a known one, so it is done once at
    least: at once, as the usual reason is a connection that died while nobody looked."""

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

    def __init__(self, chunk: list[Outgoing], bound: int, patience: Patience, drain: Drain) -> None:
        self._chunk, self._bound, self._patience, self._drain = chunk, bound, patience, drain
        self._attempts = 0
        self._in_doubt = False  # an attempt got no answer
        self.keys, self.arguments = words(chunk, bound)

    def failed(self, error: Exception, *, sent: bool) -> float:
        """How long to wait before the next attempt; raises when there shall be none. `sent`: the script, or a part of
        it, was on its way. What the error was raised from says nothing: that may be the caller's own trouble."""
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

    def answered(self, answers: Sequence[int]) -> Published:
        """What became of each; raises if one of them is not in its queue."""
        depth, *each = answers
        self._drain.saw(depth, each.count(PUSHED))
        if not self._in_doubt and each.count(PUSHED) == len(each):
            return Published(accepted=tuple([message.task_id for message in self._chunk]))
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
            raise Conflict(f"{other.task} {other.task_id} was published before, as other work", published)
        if FULL in each:
            raise QueueFull(
                f"queue {self._chunk[0].queue} is full: {depth:,} messages wait, {self._bound:,} may",
                published,
                retry_after_seconds=self._drain.retry_after_seconds(depth, self._bound),
            )
        return published


@dataclass
class Calls:
    """Makes them, and remembers how fast each queue drains."""

    bound: int
    patience: Patience
    drains: dict[str, Drain] = field(default_factory=dict)

    def __call__(self, chunk: list[Outgoing]) -> Call:
        queue = chunk[0].queue
        drain = self.drains.get(queue) or self.drains.setdefault(queue, Drain())
        return Call(chunk, self.bound, self.patience, drain)


def unauthenticated(error: BaseException) -> bool:
    """Whether we did not sign in. What is longer than ten words, Redis does not even read of a stranger."""
    return isinstance(error, refusals.AuthenticationError) or "unauthenticated" in str(error)
