"""How far a task is, as a caller may know it: read from what Celery stores about it, with one GET.

An entry is there from the publish on (PENDING) until long after the task is done. So a task without one was never
published, or ended longer ago than results are kept."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar
from uuid import UUID

import pydantic
from pydantic import BaseModel, Field

from celeriac.contract.contract import Contract

R = TypeVar("R")


class State(StrEnum):
    """How far a task is."""

    PENDING = "pending"
    STARTED = "started"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Failure(BaseModel):
    """Why a task failed, as far as it is anybody's business."""

    type: str = Field(examples=["ValidationError"])
    message: str = Field(examples=["The work was refused; sending it again will not help."])


@dataclass(frozen=True)
class Progress(Generic[R]):
    """`result`: with SUCCEEDED; `failure`: with FAILED; `progress` (0 to 1) and `note`: with STARTED, where the handler
    says how far it is."""

    state: State
    result: R | None = None
    failure: Failure | None = None
    progress: float | None = None
    note: str | None = None


STATES = {
    "PENDING": State.PENDING,
    "RECEIVED": State.PENDING,
    "STARTED": State.STARTED,
    "PROGRESS": State.STARTED,
    "RETRY": State.RETRYING,
    "SUCCESS": State.SUCCEEDED,
    "FAILURE": State.FAILED,
    "REVOKED": State.FAILED,
}
# The text of any other error was written for us, not for callers: it may name hosts, paths, other people's work.
MESSAGES = {
    "PermanentError": "The work was refused; sending it again will not help.",
    "TransientError": "The work could not be done in several attempts; sending it again may help.",
    "TaskRevokedError": "The work was cancelled.",
}
OTHER = "The work could not be done."
LONGEST_TEXT = 500


def progress_of(contract: Contract[Any, R], task_id: UUID | str) -> Progress[R] | None:
    """How far this task is; None if it is not known, or is another contract's. Raises BrokerUnavailable."""
    backend: Any = contract.app.backend
    raw = backend.get(backend.get_key_for_task(str(task_id)))
    return None if raw is None else read(contract, raw)


def read(contract: Contract[Any, R], raw: bytes | str) -> Progress[R] | None:
    """What this entry of Celery's tells."""
    try:
        entry = pydantic.TypeAdapter(dict[str, Any]).validate_json(raw)
    except ValueError:
        return None
    state = STATES.get(str(entry.get("status")))
    if state is State.SUCCEEDED:
        try:
            return Progress(state, result=contract.result_adapter.validate_python(entry.get("result")))
        except pydantic.ValidationError:
            return None  # the id of some other task
    if state is State.FAILED:
        return Progress(state, failure=failure(entry.get("result")))
    if state is None:
        return None
    progress, note = said(entry) if entry.get("status") == "PROGRESS" else (None, None)
    return Progress(state, progress=progress, note=note)


def said(entry: dict[str, Any]) -> tuple[float | None, str | None]:
    """What the handler says of its progress. (A plain task may store anything under this state.)"""
    told = entry.get("result")
    told = told if isinstance(told, dict) else {}
    progress, note = told.get("progress"), told.get("note")
    share = float(progress) if isinstance(progress, int | float) and 0 <= progress <= 1 else None
    return share, (note[:LONGEST_TEXT] if isinstance(note, str) and note else None)


def failure(stored: Any) -> Failure:
    """What a caller may know of a stored error."""
    stored = stored if isinstance(stored, dict) else {}
    kind = str(stored.get("exc_type") or "Error")
    if kind == "ValidationError" and stored.get("exc_module") == "celeriac.errors":
        texts = stored.get("exc_message")
        text = texts[0] if isinstance(texts, list) and texts else OTHER
        return Failure(type=kind, message=str(text)[:LONGEST_TEXT])  # it names fields, never values
    if kind in MESSAGES:
        return Failure(type=kind, message=MESSAGES[kind])
    return Failure(type="Error", message=OTHER)
