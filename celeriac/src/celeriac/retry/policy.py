"""What becomes of a task that failed: it comes back, or it is a dead letter."""

import math
import random
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from celeriac.errors import CircuitOpen, SettingsError, WrongPayload
from celeriac.retry.classification import (
    CLASSIFICATION,
    TRANSIENT,
    Kind,
    classify,
    refused_for_now,
    retry_after_seconds,
)
from celeriac.typos import warn_of_typos

__all__ = [
    "CLASSIFICATION",
    "NO_RETRIES",
    "TRANSIENT",
    "Again",
    "Dead",
    "Kind",
    "RetryPolicy",
    "classify",
    "from_environment",
    "refused_for_now",
    "retry_after_seconds",
]

UNKNOWN_RETRIES = 1  # of an unknown error: mostly it is a bug, which more retries would only hide
LONGEST_RETRY_AFTER_SECONDS = 600.0  # a longer Retry-After may be a mistake: then the dependency is asked earlier


@dataclass(frozen=True)
class Again:
    """It comes back after this time. `counts`: that uses up one of its retries."""

    delay_seconds: float
    counts: bool = True


@dataclass(frozen=True)
class Dead:
    """It becomes a dead letter."""

    reason: Literal["permanent", "retries-exhausted", "wrong-payload"]


@dataclass(frozen=True)
class RetryPolicy:
    """`limit` retries after the first run; the waits grow from `base_seconds` to at most `cap_seconds`."""

    limit: int
    cap_seconds: float
    base_seconds: float = 1.0

    def __str__(self) -> str:
        return f"limit={self.limit},cap={self.cap_seconds:g},base={self.base_seconds:g}"

    def decide(
        self,
        error: BaseException,
        retries: int,
        uniform: Callable[[float, float], float] = random.uniform,
        now: Callable[[], float] = time.time,
    ) -> Again | Dead:
        """What follows from this error. `retries`: how many retries the message has used up."""
        kind = classify(error)
        if kind is Kind.PERMANENT:
            return Dead("wrong-payload" if isinstance(error, WrongPayload) else "permanent")
        # Behind an open breaker nothing was tried. So it uses up no retry, however long the dependency is down.
        counts = not isinstance(error, CircuitOpen)
        limit = self.limit if kind is Kind.TRANSIENT else min(self.limit, UNKNOWN_RETRIES)
        if counts and retries >= limit:
            return Dead("retries-exhausted")
        asked = min(retry_after_seconds(error, now) or 0.0, LONGEST_RETRY_AFTER_SECONDS)
        # The random wait is added: all messages that were told the same time would come back in the same moment.
        return Again(asked + self.delay_seconds(retries, uniform), counts)

    def delay_seconds(self, retries: int, uniform: Callable[[float, float], float] = random.uniform) -> float:
        """Full jitter: a random time between 0 and the exponential bound, so that messages do not all come back at
        once."""
        return uniform(0.0, min(self.cap_seconds, self.base_seconds * 2.0 ** min(retries, 64)))

    def allows(self, error: Exception, retries: int) -> bool:
        return classify(error) is Kind.TRANSIENT and retries < self.limit


NO_RETRIES = RetryPolicy(limit=0, cap_seconds=0.0)

PREFIX = "RETRY_"
EXAMPLE = "limit=5,cap=60,base=2"
# Part of a policy -> its field, its type, its bounds, and how to say so.
PARTS: dict[str, tuple[str, Callable[[str], float], float, float, str]] = {
    "limit": ("limit", int, 0, 100, "a whole number from 0 to 100"),
    "cap": ("cap_seconds", float, 0, 3_600, "a number of seconds from 0 to 3600"),
    "base": ("base_seconds", float, 0.001, 3_600, "a number of seconds from 0.001 to 3600"),
}


class HasRetries(Protocol):
    """A contract, as far as it matters here."""

    @property
    def name(self) -> str: ...
    @property
    def retries(self) -> RetryPolicy: ...


def variable(task: str) -> str:
    """The variable that overrides this task's policy: RETRY_TASKS_PROCESS_ORDER for tasks.process_order."""
    return PREFIX + re.sub(r"\W", "_", task).upper()


def from_environment(contracts: Iterable[HasRetries], environ: Mapping[str, str]) -> dict[str, RetryPolicy]:
    """Task -> its policy: that of the contract, changed by its variable. Raises SettingsError for a wrong value. A
    variable that looks misspelt is a warning. Values are never shown."""
    contracts = list(contracts)
    warn_of_typos(PREFIX, [variable(one.name) for one in contracts], environ)
    policies, problems = read(contracts, environ)
    if problems:
        raise SettingsError("; ".join(problems))
    return policies


def read(contracts: Iterable[HasRetries], environ: Mapping[str, str]) -> tuple[dict[str, RetryPolicy], list[str]]:
    """Task -> its policy, and a line for each variable that is wrong."""
    policies = {one.name: one.retries for one in contracts}
    tasks = {variable(task): task for task in policies}
    problems = []
    for name, value in sorted((name.upper(), value) for name, value in environ.items()):
        if name in tasks and value.strip():
            try:
                policies[tasks[name]] = _changed(policies[tasks[name]], value)
            except ValueError as exc:
                problems.append(f"{name} is wrong: {exc} (its value is not shown)")
    return policies, problems


def _changed(policy: RetryPolicy, text: str) -> RetryPolicy:
    """The policy, changed as the text says. The text may leave parts out. The text of a ValueError may be shown."""
    said = [part.strip().split("=") for part in text.split(",")]
    if any(len(pair) != 2 or pair[0] not in PARTS for pair in said) or len({pair[0] for pair in said}) != len(said):
        raise ValueError(f"it is written like {EXAMPLE}, each of the three once or not at all")
    changes: dict[str, Any] = {}
    for name, value in said:
        field, number, least, most, told = PARTS[name]
        try:
            changes[field] = number(value)
        except ValueError:
            changes[field] = math.nan
        if not least <= changes[field] <= most:  # false for NaN, too
            raise ValueError(f"{name} must be {told}")
    return replace(policy, **changes)
