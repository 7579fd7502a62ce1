"""What a handler wants to happen besides its result. It happens once, in one step with the result, if the handler
succeeds."""

from dataclasses import dataclass, field
from math import isfinite
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from celeriac.contract.spec import Spec
from celeriac.ids import uuid4, uuid5
from celeriac.outcome.commit import Commit, Said
from celeriac.outcome.progress import checked, say
from celeriac.payloads import TaskPayload

P = TypeVar("P", bound=TaskPayload)

# Effect -> how many words must follow the key, at least. Only commands that outcome.lua can check before it applies
# them: so an outcome is never applied in part.
EFFECTS = {
    "SET": 1,
    "DEL": 0,
    "INCRBY": 1,
    "HSET": 2,
    "HDEL": 1,
    "HINCRBY": 2,
    "SADD": 1,
    "SREM": 1,
    "LPUSH": 1,
    "RPUSH": 1,
    "ZADD": 2,
    "XADD": 3,
}
MOST_WORDS = 1_000  # of one effect, after its key
WORDS = (str, bytes, int, float)
PAIRED = {"HSET", "ZADD"}  # field and value, score and member


class Child(NamedTuple):
    """A message that the outcome will publish."""

    contract: Spec[Any, Any]
    payload: TaskPayload


@dataclass(slots=True)
class Outcome:
    """Collects what the body wants. The worker commits it after the body has returned, together with the result, the
    record and the acknowledgement."""

    task_id: UUID = field(default_factory=uuid4)
    children: list[Child] = field(default_factory=list)
    effects: list[tuple[str | int | float | bytes, ...]] = field(default_factory=list)
    said: Said | None = field(default=None, init=False)
    """What the body said last of its progress: a number from 0 to 1, and a note."""
    part_of: Commit | None = field(default=None, init=False, repr=False, compare=False)  # None: in a test

    def publish(self, contract: Spec[P, Any], payload: P) -> UUID:
        """Publish a task. Returns its id. The nth child has the same id in every run of this task: it is the same
        work."""
        task_id = uuid5(self.task_id, f"{contract.name}:{len(self.children)}")
        self.children.append(Child(contract, contract.check(payload.with_task_id(task_id))))
        return task_id

    def progress(self, done: float, note: str = "") -> None:
        """Say how far the work is, from 0 to 1: `outcome.progress(0.4, "resized 4 of 10")`. It costs nothing to call it
        often: the newest word is sent, five times a second at most, while the message is ours. Callers may see it.
        Raises ValueError for other numbers; a note is cut at 200 characters."""
        self.said = said = checked(done, note)
        if self.part_of is not None:
            say(self.part_of, said)

    def effect(self, command: str, key: str, *arguments: str | float | bytes) -> None:
        """Write to the broker's Redis: `outcome.effect("HINCRBY", "stock", "book", -2)`. Raises ValueError for a
        command that is not in EFFECTS, and for wrong arguments."""
        name = command.upper()
        if name not in EFFECTS:
            raise ValueError(f"{command} cannot be an effect; there are {', '.join(sorted(EFFECTS))}")
        if len(arguments) < EFFECTS[name] or (name in PAIRED and len(arguments) % 2):
            raise ValueError(f"{name} {key}: wrong number of arguments ({len(arguments)})")
        if name in {"INCRBY", "HINCRBY"} and (len(arguments) != EFFECTS[name] or not isinstance(arguments[-1], int)):
            raise ValueError(f"{name} {key}: by a whole number")
        if name == "ZADD" and not all(isinstance(score, int | float) for score in arguments[::2]):
            raise ValueError(f"ZADD {key}: scores are numbers")
        if name == "XADD" and (arguments[0] != "*" or len(arguments) % 2 == 0):
            raise ValueError(f"XADD {key}: the id is *, then fields and values")
        if name == "SET" and len(arguments) != 1:
            raise ValueError(f"SET {key}: one value, no options")
        if len(arguments) > MOST_WORDS:
            raise ValueError(f"{name} {key}: more than {MOST_WORDS} words; give them in several effects")
        for word in (key, *arguments):
            _check_word(word, f"{name} {key}")
        self.effects.append((name, key, *arguments))


def _check_word(word: object, effect: str) -> None:
    if type(word) not in WORDS or (isinstance(word, float) and not isfinite(word)):
        raise ValueError(f"{effect}: {word!r} is neither text, bytes nor a number")
    if isinstance(word, str):
        word.encode()  # half a surrogate pair raises UnicodeEncodeError, which is a ValueError
