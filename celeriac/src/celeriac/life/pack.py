"""What a script writes down of a step: facts that its caller knows, packed once for all messages of a call.

An entry of the stream `celery-life` is written by the script that takes the step. Its first field says which step:

    p  publish   the facts (Publishes); n: which of its messages are new, where not all are
    o  outcome   the facts (Outcomes); x, d, l: tags that were refused, repeated, left, a newline after each
    c  claim     the worker; l: lists; t: their tags; d: dead letters that the claim has left
    b  back      the worker, or nothing; r: reasons; t: the tags of each
    s  start     the facts (Start)        g  progress  the facts (Progress)
    y  replay    the facts (Replay)       v  removal   who; l: list; m: how many; t: ids and tags of dead letters

Facts have one value for each message in each of their lists: to make ten lists takes less time than to make a hundred
small objects. Texts that a script joins are joined by newlines; tags of different lists or reasons by two.
"""

from collections.abc import Iterable, Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from celeriac.correlation import Request  # it needs Celery; who reads dead letters does not

LONGEST_ERROR = 200  # characters
MOST = 2**63 - 1  # MessagePack has no larger number
# States of outcomes that are none of Celery's: only Celery's own pool knows it; a body has sent messages ahead of its
# end; a message goes back into its queue.
UNKNOWN, AHEAD, REQUEUED = "unknown", "ahead", "requeued"


class Publishes(msgspec.Struct, array_like=True):
    """The messages of one call of publish.lua."""

    who: str
    list_key: str
    ids: list[str]
    tags: list[str]
    tasks: list[str]  # one, if it is the same for all; so in `correlations`
    correlations: list[str] = []
    due_us: int = 0
    via: str = ""
    age_us: int = 0  # of the request that they come from
    root: str = ""
    parent: str = ""
    more: dict[int, dict[str, Any]] = {}  # by number: attempt, traceparent, group, …


class Outcomes(msgspec.Struct, array_like=True):
    """The messages of one call of outcome.lua. Times are those of the worker's monotonic clock."""

    who: str
    now: float
    tags: list[str]
    ids: list[str]
    tasks: list[str]
    since: list[float]  # 0: no body has run
    until: list[float]
    more: dict[int, dict[str, Any]] = {}  # by number: attempt, state, error, reason, dead, sent, root, parent, …
    again: bool = False  # it was sent before, and no answer came


class Start(msgspec.Struct, array_like=True):
    who: str
    tag: str
    id: str = ""
    task: str = ""
    age_us: int = 0
    starts: int = 0
    attempt: int = 0


class Progress(msgspec.Struct, array_like=True):
    who: str
    tag: str
    id: str
    task: str
    fraction: float | None
    note: str = ""


class Replay(msgspec.Struct, array_like=True):
    who: str
    id: str
    task: str
    list_key: str
    old: str
    """The delivery tag of the dead letter."""
    tag: str
    letter: str
    root: str = ""
    parent: str = ""
    correlation: str = ""
    traceparent: str = ""


class Outgoing(Protocol):
    """A message on its way to a queue, as far as its record needs it."""

    @property
    def task(self) -> str: ...
    @property
    def task_id(self) -> str: ...
    @property
    def list(self) -> str: ...
    @property
    def raw(self) -> bytes: ...
    @property
    def due_us(self) -> int: ...
    @property
    def correlation_id(self) -> str: ...
    @property
    def request(self) -> "Request | None": ...
    @property
    def root(self) -> str: ...
    @property
    def parent(self) -> str: ...
    @property
    def more(self) -> dict[str, Any] | None: ...


class Ended(Protocol):
    """A commit, as far as its record needs it."""

    tag: str
    task_id: str
    task: str
    since: float
    until: float
    facts: dict[str, Any] | None


FACTS = (
    ("root", "root_id"),
    ("parent", "parent_id"),
    ("group", "group"),
    ("correlation", "x_correlation_id"),
    ("traceparent", "traceparent"),
)
_encode = msgspec.msgpack.Encoder().encode


def packed(facts: msgspec.Struct) -> bytes:
    try:
        return _encode(facts)
    except (UnicodeEncodeError, TypeError, ValueError, OverflowError):  # an id or an error may hold anything
        return _encode(_plain(msgspec.structs.astuple(facts)))


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {_plain(name): _plain(one) for name, one in value.items()}
    if isinstance(value, int) and abs(value) > MOST:
        return str(value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def publishes(who: str, chunk: Sequence[Outgoing]) -> bytes:
    """The messages of a chunk; their tags are in their usual place."""
    first = chunk[0]
    request = first.request
    via, age_us = ("", 0) if request is None else (request.via, int((monotonic() - request.since) * 1e6))
    if len(chunk) == 1:
        ids, tags, tasks, correlations = (
            [first.task_id],
            [first.raw[-39:-3].decode()],
            [first.task],
            [first.correlation_id],
        )
        more = {0: first.more} if first.more else {}
    else:
        ids, tags = [one.task_id for one in chunk], [one.raw[-39:-3].decode() for one in chunk]
        tasks, correlations = _once([one.task for one in chunk]), _once([one.correlation_id for one in chunk])
        more = {number: one.more for number, one in enumerate(chunk) if one.more}
    due = first.due_us
    return packed(
        Publishes(who, first.list, ids, tags, tasks, correlations, due, via, age_us, first.root, first.parent, more)
    )


def put(who: str, list_key: str, sent: tuple[str, str, str, dict[str, Any]], due_us: int) -> bytes:
    """One message that Celery publishes: its id, delivery tag and task, and what is unusual in its headers."""
    task_id, tag, task, more = sent
    correlation = str(more.get("correlation") or "")
    return packed(Publishes(who, list_key, [task_id], [tag], [task], [correlation], due_us, more={0: more}))


def outcomes(who: str, commits: Iterable[Ended], *, again: bool = False) -> bytes:
    made = list(commits)
    more = [one.facts for one in made]
    facts = Outcomes(
        who,
        monotonic(),
        [one.tag for one in made],
        [one.task_id for one in made],
        _once([one.task for one in made]),
        [one.since for one in made],
        [one.until for one in made],
        {number: one for number, one in enumerate(more) if one} if any(more) else {},
        again,
    )
    return packed(facts)


def facts_of(headers: Mapping[str, Any]) -> dict[str, Any]:
    """What is unusual in the headers of a message. They may hold anything: what is no text tells a reader nothing."""
    get = headers.get
    found: dict[str, Any] = {}
    attempt = get("retries")
    if attempt and isinstance(attempt, int) and abs(attempt) <= MOST:
        found["attempt"] = attempt
    for name, header in FACTS:
        value = get(header)
        if value and isinstance(value, str):
            found[name] = value[:LONGEST_ERROR]
    if "root" in found and found["root"] == get("id"):
        del found["root"]
    return found


def _once(values: list[str]) -> list[str]:
    return values[:1] if values.count(values[0]) == len(values) else values


def error_text(error: BaseException) -> str:
    """`TypeName: first line`."""
    return short(f"{type(error).__name__}: {error}")


def cause_of(error: BaseException) -> BaseException:
    """The error because of which Celery tries again, where it is no error itself."""
    cause = getattr(error, "exc", None)
    return cause if isinstance(cause, BaseException) else error


def short(text: str) -> str:
    return (text.splitlines() or [""])[0].removesuffix(": ")[:LONGEST_ERROR]
