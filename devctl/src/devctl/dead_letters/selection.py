"""Which dead letters are meant: by id, task, reason, queue, age."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from celeriac.dead_letter.letters import Letter, Reason
from devctl.broker.port import Broker
from devctl.errors import UsageError
from devctl.logs.selection import duration_seconds

_FULL_ID = re.compile(r".+/\d+-\d+", re.ASCII)
_STREAM_ID = re.compile(r"\d+-\d+", re.ASCII)
_SHORTEST_PREFIX = 6  # below that an id's beginning names too many
_SHOWN_CANDIDATES = 5


@dataclass(frozen=True)
class Wanted:
    """What the command line asked for: ids, or what must all fit."""

    ids: tuple[str, ...] = ()
    task: str = ""
    reason: str = ""
    queue: str = ""
    older_than: float | None = None
    newer_than: float | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing was asked for in particular."""
        return self == Wanted()

    def fits(self, letter: Letter) -> bool:
        """By task (its short name will do), reason and queue."""
        task = letter.task or ""
        return (
            self.task in ("", task, task.rpartition(".")[2])
            and self.reason in ("", letter.reason)
            and self.queue in ("", letter.queue)
        )


def wanted(
    *,
    ids: Sequence[str] = (),
    task: str = "",
    reason: str = "",
    queue: str = "",
    older_than: str = "",
    newer_than: str = "",
) -> Wanted:
    """Read the options; UsageError names the wrong one."""
    known = [str(one) for one in Reason]
    if reason and reason not in known:
        near = difflib.get_close_matches(reason, known, n=1)
        raise UsageError(
            f"--reason {reason!r} is not a reason" + (f": did you mean {near[0]}?" if near else ""),
            hint="reasons: " + ", ".join(known),
        )
    # As shown by other commands, shortened, an id will do.
    short = tuple(dict.fromkeys(one.strip().rstrip("….") for one in ids))
    asked = Wanted((), task, reason, queue, _age("--older-than", older_than), _age("--newer-than", newer_than))
    if short and not asked.everything:
        raise UsageError("ids and filters cannot be combined", hint="leave one out")
    return replace(asked, ids=short)


def select(broker: Broker, asked: Wanted, *, newest_first: bool = False) -> Iterator[Letter]:
    """All that fit, by time, without their messages; for ids there is `named`."""
    for letter in broker.letters(
        queue=asked.queue, older_than=asked.older_than, newer_than=asked.newer_than, newest_first=newest_first
    ):
        if asked.fits(letter):
            yield letter


def named(broker: Broker, ids: Sequence[str]) -> tuple[list[Letter], list[str]]:
    """The letters with these ids, and the ids that are nobody's: replayed, dropped, or never there. An id is
    `queue/number-number`, or short: without the queue, or the beginning of a task id; UsageError where that may be
    several letters."""
    whole = [one for one in ids if _FULL_ID.fullmatch(one)]
    short = [one for one in ids if one not in whole]
    for one in short:
        if not _STREAM_ID.fullmatch(one) and len(one) < _SHORTEST_PREFIX:
            raise UsageError(
                f"{one!r} is not the id of a dead letter, and too short for the beginning of a task's id",
                hint="devctl dead-letters list     has them",
            )
    found: dict[str, list[Letter]] = {one: [] for one in ids}
    for one in whole:
        letter = broker.letter(one)
        found[one] += [letter] if letter else []
    for letter in broker.letters() if short else ():
        for one in short:
            found[one] += [letter] if _is(letter, one) else []
    for one, letters in found.items():
        if len(letters) > 1:
            raise UsageError(
                f"{one} matches {len(letters)} dead letters",
                hint="give one of these ids, or several",
                details=[letter.id for letter in letters[:_SHOWN_CANDIDATES]],
            )
    unique = {letter.id: letter for letters in found.values() for letter in letters}
    return list(unique.values()), [one for one, letters in found.items() if not letters]


def choose(broker: Broker, asked: Wanted, *, newest_first: bool = False) -> tuple[Iterable[Letter], list[str]]:
    """The letters that are meant, and the ids among those given that are nobody's."""
    return named(broker, asked.ids) if asked.ids else (select(broker, asked, newest_first=newest_first), [])


def _is(letter: Letter, short: str) -> bool:
    if _STREAM_ID.fullmatch(short):
        return letter.id.rpartition("/")[2] == short
    return (letter.task_id or "").casefold().startswith(short.casefold())


def _age(option: str, text: str) -> float | None:
    if not text:
        return None
    seconds = duration_seconds(text)
    if seconds is None:
        raise UsageError(f"{option} {text!r} is not a duration", hint="such as 90s, 5m, 1h30m, 2d")
    return seconds
