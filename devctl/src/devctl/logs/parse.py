"""One line to one entry: JSON lines of services, the heads of Redis, Celery and Python logs, and anything else."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from devctl.logs.entry import Entry, level_named
from devctl.stack.port import LogLine

_TIME_KEYS = ("timestamp", "time", "@timestamp", "ts")
_LEVEL_KEYS = ("level", "levelname", "severity")
_EVENT_KEYS = ("event", "message", "msg")

# Escape sequences (CSI, OSC, two-character ones), then every control character but the tab, and the characters
# that turn the direction of text round: a log must not be able to move the cursor, set a title or disguise itself.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\^_=>()][0-9A-B]?")
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_SURROGATES = re.compile("[\ud800-\udfff]")

_REDIS = re.compile(r"\d+:[XCSM] (\d{2} \w{3} \d{4} \d{2}:\d{2}:\d{2}\.\d{3}) ([.\-*#]) ")
_REDIS_LEVELS = {".": "debug", "-": "debug", "*": "info", "#": "warning"}
_ISO = re.compile(r"\[?(\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:[.,]\d+)?(?:Z|[+-]\d{2}:?\d{2})?)")
_WORD = re.compile(r"\b(DEBUG|INFO|NOTICE|WARNING|WARN|ERROR|CRITICAL|FATAL)\b")
_WORD_WITHIN = 60  # a level stands near the start; further on it is prose
_TRACEBACK = "Traceback (most recent call last):"
_LINKS = ("During handling of the above exception", "The above exception was the direct cause")


def clean(text: str) -> str:
    """The text without escape sequences and control characters, safe for any terminal."""
    if not text.isprintable():
        text = _CONTROLS.sub("", _ESCAPES.sub("", text))
        text = _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)
    return text


def parse(line: LogLine) -> Entry:
    """Read one line; what is not recognised keeps its text and the time the runtime gave it."""
    text = clean(line.text.rstrip("\r\n"))
    document = _document(text)
    if document is not None:
        return _structured(line, text, document)
    time, level = _head(text)
    return Entry(line.service, line.replica, (text,), line.time if line.time is not None else time, level)


def starts_a_record(entry: Entry) -> bool:
    """Whether a line says by itself that something new begins: JSON, or a head with a time or a level."""
    return entry.structured or (bool(entry.level) and not is_traceback(entry)) or _head(entry.lines[0])[0] is not None


def is_traceback(entry: Entry) -> bool:
    """Whether an entry begins with Python's traceback."""
    return entry.lines[0].startswith(_TRACEBACK)


def links_errors(text: str) -> bool:
    """Whether a line announces the next traceback of a chain."""
    return text.startswith(_LINKS)


def belongs_to_traceback(text: str) -> bool:
    """Whether a line can only be a part of something begun before: indented, empty, or the link between two errors."""
    return not text.strip() or text[0] in " \t" or links_errors(text)


def seconds(value: object) -> float | None:
    """Unix seconds of an ISO time (naive is UTC) or a number; None for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) / (1000 if value > 1e11 else 1)  # beyond the year 5138 it is milliseconds
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.replace(",", "."))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _document(text: str) -> dict[str, object] | None:
    if not text.startswith("{"):
        return None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(document, dict) and any(isinstance(document.get(key), str) for key in _EVENT_KEYS):
        return document
    return None


def _structured(line: LogLine, text: str, document: Mapping[str, object]) -> Entry:
    rest = dict(document)
    time = _take(rest, _TIME_KEYS, lambda value: seconds(value) is not None)
    level = _take(rest, _LEVEL_KEYS, level_named)
    event = _take(rest, _EVENT_KEYS, lambda value: isinstance(value, str))
    if rest.get("service") == line.service:
        del rest["service"]  # stands beside the line anyway
    return Entry(
        line.service,
        line.replica,
        (text,),
        time=seconds(time) if time is not None else line.time,
        level=level_named(level) if level is not None else "",
        event=str(event) or "-",
        fields=rest,
    )


def _take(rest: dict[str, object], keys: tuple[str, ...], fits: object) -> object:
    assert callable(fits)
    for key in keys:
        if key in rest and fits(rest[key]):
            return rest.pop(key)
    return None


def _head(text: str) -> tuple[float | None, str]:
    """Time and level that a plain line begins with; naive times are this machine's."""
    if redis := _REDIS.match(text):
        moment = datetime.strptime(redis[1], "%d %b %Y %H:%M:%S.%f")  # noqa: DTZ007 – Redis writes local time
        return moment.astimezone().timestamp(), _REDIS_LEVELS[redis[2]]
    if text.startswith(_TRACEBACK):
        return None, "error"
    time = None
    if iso := _ISO.match(text):
        try:
            time = datetime.fromisoformat(iso[1].replace(",", ".")).astimezone().timestamp()
        except ValueError:
            time = None
    if belongs_to_traceback(text):
        return time, ""
    word = _WORD.search(text, 0, _WORD_WITHIN)
    return time, level_named(word[1]) if word and (iso or word.start() == 0) else ""
