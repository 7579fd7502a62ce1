"""How it looks what became of a task."""

from __future__ import annotations

import sys
from typing import IO, Any

from devctl.broker.lookup import Known
from devctl.broker.port import Holder
from devctl.ui.console import sign
from devctl.ui.paint import Colour, Paint
from devctl.ui.sent import bar, error_of, folded, json_lines, progress_of, said_of
from devctl.ui.services import show_next


def show(known: Known, option: str, stream: IO[str] | None = None) -> None:
    """State, what it means, and the result or the error; what to do next on stderr."""
    stream = stream or sys.stdout
    paint, found = Paint(stream), known.result
    symbol, colour, said = _said(known)
    stream.write(f"{paint(sign(symbol, stream), colour)} {known.task_id}  {said}\n")
    if found.unreadable:
        stream.write("".join(f"  {line}\n" for line in folded(found.unreadable, stream)))
    elif found.state == "succeeded":
        stream.write("".join(f"  {line}\n" for line in json_lines(found.result, stream)))
    elif found.state in ("failed", "retrying"):
        stream.write("".join(f"  {line}\n" for line in folded(error_of(found), stream)))
    elif said := said_of(found):
        stream.write(f"  {bar(found.progress, stream)} {said}\n")
    stream.flush()
    if known.letter is not None:
        show_next([(f"devctl dead-letters show {known.letter.id}{option}", "its message, and why")])
    elif found.state != "succeeded":
        show_next([(f"devctl logs --id {known.task_id[:8]}{option}", "what the services say of it")])


def document(known: Known) -> dict[str, Any]:
    """devctl.result/1."""
    found = known.result
    said: dict[str, Any] = {
        "schema": "devctl.result/1",
        "id": known.task_id,
        "state": found.state,
        "result": found.result,
        "published": known.note,
        "dead_letter": None if known.letter is None else {"id": known.letter.id, "reason": known.letter.reason},
    }
    said |= progress_of(found)
    if found.state in ("failed", "retrying"):
        said["error"] = {"type": found.error_type, "message": found.error_message}
    if found.unreadable:
        said["unreadable"] = found.unreadable
    if known.holder is not None:
        at = known.holder
        if at.node:
            said["worker"] = {"node": at.node, "runs": at.runs}
        else:
            said["message"] = {"queue": at.queue, "claimed": at.claimed}
    return said


def _said(known: Known) -> tuple[str, Colour, str]:
    state = known.result.state
    if known.letter is not None:
        return "✘", "red", f"{'failed' if state == 'pending' else state}: a dead letter ({known.letter.reason})"
    if state == "succeeded":
        return "✔", "green", "succeeded"
    if state == "failed":
        return "✘", "red", "failed"
    if state == "retrying":
        return "●", "yellow", "retrying, after this error"
    if known.holder is not None:
        return "●", "yellow", f"{state}: {_where(known.holder)}"
    if state == "started":
        return "●", "yellow", "started: it runs now"
    if known.note == "done":
        return "✔", "green", "done; its result is not stored, or no longer"
    return "·", "dim", "pending: published, and not done yet"


def _where(at: Holder) -> str:
    if at.node:
        return f"{at.node} {'runs it now' if at.runs else 'has it in memory'}"
    if at.claimed:
        return (
            f"claimed from {at.queue}, and no worker says that it has it: it comes back when the broker gives it back"
        )
    return f"it waits in {at.queue}"
