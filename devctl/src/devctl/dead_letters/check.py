"""Whether a dead letter could run today: its message can be read, its task has a contract, its payload is valid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from celeriac.dead_letter.letters import Letter, Reason
from celeriac.dead_letter.replay import Opened, Unreadable, opened
from devctl.contracts.catalog import TaskContract
from devctl.contracts.payload import checked
from devctl.contracts.port import Task, Tasks, Wrong


@dataclass(frozen=True)
class Flaw:
    """What is in the way: a field of the payload ("" for the message as a whole), and what is wrong with it."""

    field: str
    problem: str

    def __str__(self) -> str:
        return f"{self.field} {self.problem}" if self.field else self.problem


def flaws(letter: Letter, tasks: Tasks, now: float) -> tuple[Flaw, ...]:
    """What is in the way of replaying this letter, which has its message; nothing is where it is valid. Values are
    left out: they may be somebody's secret."""
    if letter.reason == Reason.UNDECODABLE:
        return (Flaw("", "cannot be decoded: it can only be exported (show --raw)"),)
    try:
        message = opened(letter.raw or b"")
    except Unreadable as exc:
        return (Flaw("", f"cannot be decoded: {exc}"),)
    task = next((one for one in tasks if one.name == message.task), None)
    if task is None:
        return (Flaw("", f"no contract has the task {message.task}"),)
    return (*_expired(message, now), *_input(message, task))


def _expired(message: Opened, now: float) -> Iterator[Flaw]:
    """A worker throws away what expired, and nothing of it would be left."""
    try:
        moment = datetime.fromisoformat(message.headers["expires"])
    except (KeyError, TypeError, ValueError):  # none, or none that Celery could read
        return
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if aware.timestamp() <= now:
        yield Flaw("", f"it has expired: its publisher wanted it done by {aware.isoformat(timespec='seconds')}")


def _input(message: Opened, task: Task) -> Iterator[Flaw]:
    if isinstance(task, TaskContract):
        yield from _payload(message, task)
        return
    try:
        task.call(message.args, message.kwargs)
    except Wrong as wrong:
        yield from (Flaw(one.path, one.expected) for one in wrong.problems)


def _payload(message: Opened, contract: TaskContract) -> Iterator[Flaw]:
    args, kwargs = list(message.args), dict(message.kwargs)
    if not args and "payload" in kwargs:
        args = [kwargs.pop("payload")]
    if kwargs or len(args) > 1 or (contract.payload is None and args not in ([], [None])):
        takes = "no argument" if contract.payload is None else "one argument, the payload"
        yield Flaw("", f"{contract.name} takes {takes}")
        return
    if contract.payload is None:
        return
    if not args:
        yield Flaw("payload", "is missing")
        return
    try:
        checked(contract, args[0])
    except Wrong as wrong:
        for one in wrong.problems:
            yield Flaw(one.path, one.expected)


def arguments(letter: Letter) -> Any:
    """What the message asks for: the payload alone where it is the one argument; None where it cannot be read."""
    try:
        message = opened(letter.raw or b"")
    except Unreadable:
        return None
    if len(message.args) == 1 and not message.kwargs:
        return message.args[0]
    return {"args": message.args, "kwargs": message.kwargs}
