"""How sent tasks look, and what became of them."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Mapping
from typing import IO, Any, Literal

from celeriac.broker.keys import once
from devctl.broker.port import Message, TaskResult
from devctl.broker.sending import Event, NobodyConsumes, NobodyKnows, Progressed, Sent
from devctl.logs.ran import Ran
from devctl.ui.cells import fit, plain
from devctl.ui.console import sign
from devctl.ui.json_text import fitting
from devctl.ui.paint import Colour, Paint
from devctl.ui.services import show_next

_KINDS_OF_FAILURE = 5
_BAR = 20
_SYMBOLS: Mapping[str, tuple[str, Colour]] = {"succeeded": ("✔", "green"), "failed": ("✘", "red")}


Owner = Literal["running", "crashing", "in a terminal", "unknown"]
"""What the service is whose code runs a task."""

_WHY: Mapping[Owner, str] = {
    "running": "{} runs, but may be starting, or busy",
    "crashing": "{} ends again after each start",
    "in a terminal": "{} runs in a terminal (devctl run), and may be starting, busy, or stopped in a debugger",
    "unknown": "the task waits until one does",
}


class Warnings:
    """Says at once what makes a task wait for nothing."""

    def __init__(self, owners: Mapping[str, str], option: str, state: Callable[[str], Owner]) -> None:
        self._owners, self._option, self._state = owners, option, state

    def __call__(self, event: Event) -> None:
        """Write one warning to stderr; not every event is one."""
        if isinstance(event, NobodyConsumes):
            owner = self._owners.get(event.queue)
            if event.certain:
                self._warn(f"nothing consumes {event.queue!r}: the task waits until something does")
            state: Owner = self._state(owner) if owner and not event.certain else "unknown"
            if not event.certain:
                self._warn(f"no worker says that it consumes {event.queue!r}: {_WHY[state].format(owner)}")
            if owner and event.certain:
                show_next([(f"devctl up {owner}{self._option}", f"it consumes {event.queue}")])
            elif state == "crashing":
                show_next([(f"devctl logs {owner}{self._option}", "why it ends")])
            else:
                show_next([(f"devctl queues{self._option}", "who consumes what")])
        elif isinstance(event, NobodyKnows):
            nodes = ", ".join(event.nodes)
            self._warn(
                f"{nodes} consumes {event.queue!r} but has no task {event.task}: "
                + ("it becomes a dead letter (a stock worker throws it away)" if event.kept else "it throws it away")
                + (f"; did you mean {event.near}?" if event.near else "")
            )

    @staticmethod
    def _warn(text: str) -> None:
        sys.stderr.write(f"{Paint(sys.stderr)(sign('!', sys.stderr), 'yellow')} {text}\n")


class Progress:
    """What tasks say of their progress while they are waited for, on stderr: a bar on a terminal, lines in a pipe.
    Leaving the context takes the bar away: the result follows."""

    def __init__(self, *, several: bool, stream: IO[str] | None = None) -> None:
        self._stream, self._several = stream or sys.stderr, several
        self._drawn = False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()

    def __call__(self, event: Event) -> None:
        """Show it; not every event is one."""
        if not isinstance(event, Progressed):
            return
        stream = self._stream
        name = f"{event.task_id[:8]}  " if self._several else ""
        share = "" if event.progress is None else f"{event.progress:4.0%}"
        note = plain(event.note)
        if stream.isatty():
            text = f"  {name}{bar(event.progress, stream)}{share}  {note}"
            self._clear()
            stream.write(fit(text, shutil.get_terminal_size().columns - 1).rstrip())
            self._drawn = True
        else:
            stream.write("  " + "  ".join(part for part in (f"{name}{share}".strip(), note) if part) + "\n")
        stream.flush()

    def _clear(self) -> None:
        if self._drawn:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()
            self._drawn = False


def bar(progress: float | None, stream: IO[str]) -> str:
    """Twenty cells."""
    if progress is None:
        return ""
    full = int(progress * _BAR + 1e-9)
    return sign("█", stream) * full + sign("░", stream) * (_BAR - full)


def show(sent: Sent, ran: Ran | None, *, waited: bool, stream: IO[str] | None = None) -> None:
    """One task in full, many as a sum."""
    stream = stream or sys.stdout
    if len(sent.messages) == 1:
        _one(sent, ran, waited, stream)
    else:
        _many(sent, waited, stream)
    stream.flush()


def _one(sent: Sent, ran: Ran | None, waited: bool, stream: IO[str]) -> None:
    paint, (message,), (result,) = Paint(stream), sent.messages, sent.results
    ended = result.state in _SYMBOLS
    symbol: str
    colour: Colour
    before = message.task_id in sent.repeated
    symbol, colour = _SYMBOLS.get(result.state, ("!", "yellow") if waited or before else ("✔", "green"))
    parts = [paint(message.task, "cyan"), message.task_id, f"queue {message.queue}"]
    plain = f"{symbol} {message.task}  {message.task_id}  queue {message.queue}"
    gap = "\n  " if stream.isatty() and len(plain) > shutil.get_terminal_size().columns else "  "
    stream.write(f"{paint(sign(symbol, stream), colour)} {parts[0]}  {parts[1]}{gap}{parts[2]}\n")
    times = ["already published: nothing was done"] if before else [f"published {_milliseconds(sent.publish_seconds)}"]
    if message.task_id in sent.missing:
        times = [f"already published, but its message is gone: DEL {once(message.task_id)} in Redis, and send it again"]
    if ran:
        times += [f"waited {_milliseconds(ran.queue_seconds)}"] if ran.queue_seconds is not None else []
        where = f" on {ran.replica}"
        times += [f"ran {_milliseconds(ran.run_seconds)}{where}" if ran.run_seconds is not None else f"ran{where}"]
    if waited and not ended:
        times.append("no result to wait for" if sent.why_no_results else f"{result.state}, no result yet")
        times += [said] if (said := said_of(result)) else []
    stream.write("  " + paint(f" {sign('·', stream)} ".join(times), "dim") + "\n")
    if sent.why_no_results:
        stream.write("".join(f"  {line}\n" for line in folded(sent.why_no_results, stream)))
    if result.unreadable:
        stream.write("".join(f"  {line}\n" for line in folded(result.unreadable, stream)))
    elif result.state == "succeeded":
        stream.write("".join(f"  {line}\n" for line in json_lines(result.result, stream)))
    elif result.state == "failed":
        stream.write("".join(f"  {line}\n" for line in folded(error_of(result), stream)))


def _many(sent: Sent, waited: bool, stream: IO[str]) -> None:
    paint = Paint(stream)
    states = Counter(result.state for result in sent.results)
    fine = not waited or states["succeeded"] == len(sent.messages)
    symbol: str
    colour: Colour
    symbol, colour = ("✔", "green") if fine else ("✘", "red") if sent.failed else ("!", "yellow")
    for (task, queue), count in Counter((one.task, one.queue) for one in sent.messages).items():
        stream.write(f"{paint(sign(symbol, stream), colour)} {count:,} {paint(task, 'cyan')}  queue {queue}\n")
    rate = f"{len(sent.messages) / sent.publish_seconds:,.0f}/s" if sent.publish_seconds else ""
    summary = [f"published in {_milliseconds(sent.publish_seconds)}, {rate}"]
    summary += [f"{len(sent.repeated):,} already published"] if sent.repeated else []
    summary += [f"{len(sent.missing):,} of them gone (DEL {once('<task_id>')})"] if sent.missing else []
    if sent.why_no_results:
        summary.append(f"no result to wait for: {sent.why_no_results}")
    elif waited:
        summary += [f"{count:,} {state}" for state, count in states.items()]
    stream.write("  " + paint(f" {sign('·', stream)} ".join(summary), "dim") + "\n")
    failures = Counter(error_of(one) for one in sent.results if one.state == "failed")
    for error, count in failures.most_common(_KINDS_OF_FAILURE):
        lines = folded(f"{count:,} {sign('×', stream)} {error}", stream)
        stream.write("".join(f"  {line}\n" for line in lines))


def hint(sent: Sent, *, waited: bool, option: str, traced: bool) -> None:
    """One thing to do next, on stderr. `traced`: its steps are recorded."""
    chosen = next((one for one in sent.results if one.state == "failed"), sent.results[0])
    if sent.failed or sent.timed_out or (not waited and len(sent.messages) == 1 and not sent.in_vain):
        command = "devctl trace" if traced else "devctl logs --id"
        show_next([(f"{command} {chosen.task_id[:8]}{option}", "what became of it")])


def document(sent: Sent) -> dict[str, Any]:
    """devctl.send-task/1."""
    return {
        "schema": "devctl.send-task/1",
        "tasks": [
            _task(message, result)
            | ({"already_published": True} if message.task_id in sent.repeated else {})
            | ({"gone": True} if message.task_id in sent.missing else {})
            | (
                {"unreadable": result.unreadable or sent.why_no_results}
                if result.unreadable or sent.why_no_results
                else {}
            )
            for message, result in zip(sent.messages, sent.results, strict=True)
        ],
    }


def _task(message: Message, result: TaskResult) -> dict[str, Any]:
    task: dict[str, Any] = {
        "id": message.task_id,
        "name": message.task,
        "queue": message.queue,
        "state": result.state,
        "result": result.result,
        **progress_of(result),
    }
    if result.state == "failed":
        task["error"] = {"type": result.error_type, "message": result.error_message}
    return task


def said_of(result: TaskResult) -> str:
    """What it says of its progress: `40%: resized 4 of 10`; empty where it says nothing."""
    share = "" if result.progress is None else f"{result.progress:.0%}"
    return ": ".join(part for part in (share, plain(result.note)) if part)


def progress_of(result: TaskResult) -> dict[str, Any]:
    """The same for JSON."""
    return {"progress": result.progress, "note": result.note} if said_of(result) else {}


def error_of(result: TaskResult) -> str:
    """Type and message of what a task ended with."""
    return f"{result.error_type}: {result.error_message}" if result.error_message else result.error_type


def folded(text: str, stream: IO[str]) -> list[str]:
    """The text on lines that a terminal does not break in the middle of a word; in a pipe as it is."""
    if not stream.isatty():
        return [text]
    width = max(shutil.get_terminal_size().columns - 2, 20)
    return [part for line in text.splitlines() for part in textwrap.wrap(line, width) or [""]]


def _milliseconds(seconds: float) -> str:
    if seconds >= 10:
        return f"{seconds:.1f}s"
    return f"{seconds * 1000:,.1f}ms" if seconds < 1 else f"{seconds:.2f}s"


def json_lines(value: Any, stream: IO[str]) -> list[str]:
    """A value as JSON: on one line in a pipe, as wide as the terminal on one."""
    if not stream.isatty():
        return [json.dumps(value, ensure_ascii=False)]
    return fitting(value, shutil.get_terminal_size().columns - 2).splitlines()
