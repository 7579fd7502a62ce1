"""How dead letters look: a table, one in full, and what became of them."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice
from types import TracebackType
from typing import IO, Any

from celeriac.dead_letter.letters import Letter
from devctl.broker.port import QueueDepth
from devctl.dead_letters.check import arguments
from devctl.dead_letters.replay import Event, Gone, Refused, Replayed, Report
from devctl.logs.parse import clean
from devctl.ui.console import sign
from devctl.ui.json_text import fitting
from devctl.ui.paint import Paint
from devctl.ui.services import show_next
from devctl.ui.units import age, duration, milliseconds, size

_SCREENFUL = 20
_ROOM_FOR_AN_ERROR = 36  # columns; where fewer are left, it stands on a line of its own
_SHOWN_BYTES = 600  # of a message that cannot be read
_KINDS, _IDS = 8, 5
_HEADS = ("ID", "AGE", "REASON", "TASK")


def show(
    letters: Iterable[Letter],
    *,
    limit: int | None = None,
    filtered: bool = False,
    gone: Sequence[str] = (),
    option: str = "",
    stream: IO[str] | None = None,
) -> None:
    """The table, and on stderr how many there are of which kind."""
    stream = stream or sys.stdout
    if limit is None and stream.isatty():
        limit = _SCREENFUL
    following = iter(letters)
    shown = list(islice(following, limit or None))
    counts = Counter(one.reason for one in shown)
    counts.update(one.reason for one in following)
    if shown:
        _table(shown, stream)
    stream.flush()
    _gone(gone)
    total = counts.total()
    if not total:
        if not gone:
            sys.stderr.write("no dead letter matches\n" if filtered else "no dead letters\n")
        return
    kinds = f" {sign('·', sys.stderr)} ".join(f"{count:,} {reason}" for reason, count in counts.most_common())
    more = f", {len(shown):,} shown (--limit 0 shows all)" if len(shown) < total else ""
    sys.stderr.write("\n".join(_wrapped(f"{_letters(total)}{more}: {kinds}")) + "\n")
    _next([(f"devctl dead-letters show {shown[0].id}{option}", "one in full")])


def _table(letters: Sequence[Letter], stream: IO[str]) -> None:
    paint = Paint(stream)
    now = time.time()
    rows = [_HEADS, *((one.id, age(now - one.time), one.reason, one.task or "-") for one in letters)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    room = shutil.get_terminal_size().columns if stream.isatty() else 0
    left = room - sum(widths) - 2 * len(widths)
    beside = not room or left >= _ROOM_FOR_AN_ERROR
    for row, letter in zip(rows, (None, *letters), strict=True):
        cells = [row[0].ljust(widths[0]), row[1].rjust(widths[1]), row[2].ljust(widths[2]), row[3].ljust(widths[3])]
        if letter is None:
            stream.write(paint("  ".join([*cells, *(["ERROR"] if beside else [])]).rstrip(), "dim") + "\n")
            continue
        error = _one_line(letter.error)
        cells = [paint(cells[0], "cyan"), cells[1], paint(cells[2], "yellow"), cells[3]]
        if beside:
            cells.append(_cut(error, left, stream) if room else error)
        stream.write("  ".join(cells).rstrip() + "\n")
        if not beside and error:
            stream.write("  " + paint(_cut(error, room - 2, stream), "dim") + "\n")


def show_that_nobody_keeps_them(
    queues: Sequence[QueueDepth], option: str = "", *, could: bool = False, stream: IO[str] | None = None
) -> None:
    """What becomes of a task that fails where no worker has celeriac; `could` where celeriac knows this broker."""
    stream = stream or sys.stdout
    for line in (
        "no dead letters: stock Celery keeps none",
        "  a task that fails for good is acknowledged and gone; its error is its result, and in its worker's log",
        "  what no worker can decode, or has no task for, is thrown away",
        "  what kills its worker comes back for ever (with acks_late), or is lost (without)",
        *(
            f"  {one.name}: RabbitMQ puts what a worker rejects into {one.dead_letters_to}"
            for one in queues
            if one.dead_letters_to
        ),
    ):
        width = shutil.get_terminal_size().columns if stream.isatty() else sys.maxsize
        stream.write("\n".join(textwrap.wrap(line, width, subsequent_indent="  ")) + "\n")
    stream.flush()
    keep = [("celeriac.install(app)", "in their code: keeps them from then on")] if could else []
    _next([(f"devctl logs --level error{option}", "what failed"), *keep])


def show_one(letter: Letter, option: str = "", stream: IO[str] | None = None) -> None:
    """What happened to it, and what it asks for; on stderr what to do with it."""
    stream = stream or sys.stdout
    paint = Paint(stream)
    width = shutil.get_terminal_size().columns if stream.isatty() else 0
    stream.write(f"{paint(letter.id, 'cyan')}  {paint(letter.reason, 'yellow')}\n")
    for word, text in _facts(letter, f" {sign('·', stream)} ").items():
        if text:
            lead = f"{word:<12} "
            lines = textwrap.wrap(text, width - len(lead), break_on_hyphens=False) if width > 40 else [text]
            stream.write(lead + f"\n{' ' * len(lead)}".join(lines) + "\n")
    asked = arguments(letter)
    if asked is None:
        stream.write(_excerpt(letter.raw or b"", stream) + "\n")
    else:
        stream.write((fitting(asked, width) if width else json.dumps(asked, ensure_ascii=False)) + "\n")
    stream.flush()
    if asked is None:
        steps = [(f"devctl dead-letters show {letter.id} --raw{option}", "byte for byte")]
    else:
        steps = [(f"devctl dead-letters replay {letter.id} --dry-run{option}", "valid today?")]
    if letter.task_id:
        steps.append((f"devctl logs --id {letter.task_id[:8]}{option}", "what led to it"))
    _next(steps)


def _facts(letter: Letter, dot: str) -> dict[str, str]:
    died = datetime.fromtimestamp(letter.time, UTC).astimezone()
    # The broker counts the starts of one message, and a retry is another one: each of those was started, too.
    counts = {
        "start": None if letter.starts is None else letter.starts + (letter.retries or 0),
        "retry": letter.retries,
        "replay": letter.replays,
    }
    plural = {"start": "starts", "retry": "retries", "replay": "replays"}
    tries = [f"{n:,} {one if n == 1 else plural[one]}" for one, n in counts.items() if n is not None]
    ago = f"{age(time.time() - letter.time)} ago, {died:%Y-%m-%d %H:%M:%S}"
    waited = letter.time - (letter.time if letter.published_at is None else letter.published_at)
    return {
        "task": "  ".join(clean(part) for part in (letter.task, letter.task_id) if part),
        "died": ago + (f", on {clean(letter.worker)}" if letter.worker else ""),
        "error": _one_line(letter.error),
        "tried": dot.join(tries),
        "published": f"{duration(waited) if waited < 6_000 else age(waited)} before" if waited > 0 else "",
        "correlation": clean(letter.correlation_id or ""),
        "message": size(letter.size),
    }


def _excerpt(raw: bytes, stream: IO[str]) -> str:
    text = repr(raw[:_SHOWN_BYTES])[2:-1]  # escapes what is not ASCII: nothing in there may speak to a terminal
    return text + (f"{sign('…', stream)} ({len(raw):,} bytes)" if len(raw) > _SHOWN_BYTES else "")


class Progress:
    """Shows the events of a replay, as its `emit`: one line redrawn on a terminal, one line per letter in a pipe."""

    def __init__(self, *, dry_run: bool = False, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._verb = "valid" if dry_run else "replayed"
        self._started = self._drawn = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draw("")

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        if not self._live:
            self._stream.write(self._line(event) + "\n")
        elif isinstance(event, Replayed) and (now := time.monotonic()) - self._drawn > 0.25:
            self._drawn = now
            rate = event.number / (now - self._started)
            self._draw(f"{sign('●', self._stream)} {event.number:,} of {event.of:,}  {rate:,.0f}/s")

    def _line(self, event: Event) -> str:
        match event:
            case Replayed(letter):
                return f"{self._verb}  {letter.id}  {letter.task}  {letter.task_id}"
            case Refused(letter, flaws):
                return f"stays  {letter.id}  {'; '.join(map(str, flaws))}"
            case Gone(letter_id):
                return f"not there  {letter_id}"

    def _draw(self, line: str) -> None:
        if self._live:
            self._stream.write("\r\x1b[K" + line)
            self._stream.flush()


def show_replay(report: Report, option: str = "", stream: IO[str] | None = None) -> None:
    """What became of the letters; those that stay by what is wrong with them."""
    stream = stream or sys.stdout
    paint = Paint(stream)
    dot = f" {sign('·', stream)} "
    queues = Counter(one.queue for one in report.replayed)
    if report.replayed:
        verb = "would be replayed" if report.dry_run else f"replayed in {milliseconds(report.seconds)}"
        where = dot.join(f"{queue} {count:,}" for queue, count in queues.items())
        stream.write(f"{paint(sign('✔', stream), 'green')} {_letters(len(report.replayed))} {verb}  {where}\n")
    if report.refused:
        stay = "stays" if len(report.refused) == 1 else "stay"
        head = f"{_letters(len(report.refused))} {stay}: not valid today"
        stream.write(f"{paint(sign('✘', stream), 'red')} {head}\n")
        _refused(report.refused, stream)
    if not (report.replayed or report.refused or report.gone):
        stream.write("no dead letter matches: nothing to replay\n")
    stream.flush()
    _gone(report.gone)
    if report.left:
        sys.stderr.write(f"{sign('!', sys.stderr)} {_letters(report.left)} not looked at: as many as --max allows\n")
    if report.dry_run and report.replayed:
        _next([("the same without --dry-run", "replays them")])
    elif report.replayed:
        _next([(f"devctl queues{option}", "where they wait")])


def _refused(refused: Sequence[Refused], stream: IO[str]) -> None:
    kinds: dict[tuple[str | None, Any], list[Letter]] = {}
    for one in refused:
        kinds.setdefault((one.letter.task, one.flaws), []).append(one.letter)
    ordered = sorted(kinds.items(), key=lambda kind: -len(kind[1]))
    for (task, flaws), letters in ordered[:_KINDS]:
        ids = ", ".join(letter.id for letter in letters[:_IDS])
        more = f" and {len(letters) - _IDS:,} more" if len(letters) > _IDS else ""
        stream.write(f"  {Paint(stream)(task or '-', 'cyan')}  {ids}{more}\n")
        stream.write("".join(f"    {clean(str(flaw))}\n" for flaw in flaws))
    if len(ordered) > _KINDS:
        stream.write(f"  and {len(ordered) - _KINDS:,} other kinds of problems: --json has them all\n")


def show_drop(dropped: int, gone: Sequence[str], stream: IO[str] | None = None) -> None:
    """How many are gone for ever."""
    stream = stream or sys.stdout
    symbol = Paint(stream)(sign("✔", stream), "green") + " " if dropped else ""
    stream.write(f"{symbol}{_letters(dropped)} dropped\n")
    stream.flush()
    _gone(gone)


def document(letters: Iterable[Letter]) -> dict[str, Any]:
    """devctl.dead-letters/1."""
    return {"schema": "devctl.dead-letters/1", "letters": [_letter(one) for one in letters]}


def _letter(letter: Letter) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": letter.id,
        "task_id": letter.task_id,
        "task": letter.task,
        "queue": letter.queue,
        "reason": letter.reason,
        "error": letter.error,
        "starts": letter.starts,
        "retries": letter.retries,
        "replays": letter.replays,
        "time": _time(letter.time),
        "worker": letter.worker,
        "published_at": None if letter.published_at is None else _time(letter.published_at),
        "correlation_id": letter.correlation_id,
        "bytes": letter.size,
    }
    if letter.raw is not None:
        told |= {"message": arguments(letter), "raw": b64encode(letter.raw).decode()}
    return told


def replay_document(report: Report) -> dict[str, Any]:
    """devctl.dead-letters-replay/1."""
    return {
        "schema": "devctl.dead-letters-replay/1",
        "dry_run": report.dry_run,
        "replayed": [one.id for one in report.replayed],
        "refused": [
            {
                "id": one.letter.id,
                "task_id": one.letter.task_id,
                "task": one.letter.task,
                "problems": [{"field": flaw.field, "problem": flaw.problem} for flaw in one.flaws],
            }
            for one in report.refused
        ],
        "gone": list(report.gone),
        "left": report.left,
        "seconds": round(report.seconds, 3),
    }


def drop_document(dropped: int, gone: Sequence[str]) -> dict[str, Any]:
    """devctl.dead-letters-drop/1."""
    return {"schema": "devctl.dead-letters-drop/1", "dropped": dropped, "gone": list(gone)}


def _gone(ids: Sequence[str]) -> None:
    if ids:
        shown = ", ".join(ids[:_IDS]) + (f" and {len(ids) - _IDS:,} more" if len(ids) > _IDS else "")
        text = "\n".join(_wrapped(f"! not there: {shown} (replayed or dropped before, or never existed)"))
        sys.stderr.write(Paint(sys.stderr)(text[0], "yellow") + text[1:] + "\n")


def _letters(count: int) -> str:
    return f"{count:,} dead letter{'' if count == 1 else 's'}"


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _next(steps: Sequence[tuple[str, str]]) -> None:
    """What to type next; without the reasons where they would not fit: ids are long."""
    longest = max(len(command) for command, _ in steps) + max(len(why) for _, why in steps) + len("->    ")
    fits = not sys.stderr.isatty() or longest <= shutil.get_terminal_size().columns
    show_next(steps if fits else [(command, "") for command, _ in steps])


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, shutil.get_terminal_size().columns) if sys.stderr.isatty() else [text]


def _one_line(text: str | None) -> str:
    return " ".join(clean(part) for part in (text or "").split())


def _cut(text: str, width: int, stream: IO[str]) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)].rstrip() + sign("…", stream)
