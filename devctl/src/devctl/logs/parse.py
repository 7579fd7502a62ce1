"""One line to one entry: JSON and logfmt, the heads of Celery, Python, Redis and other logs, and anything else."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from devctl.logs.entry import Entry, level_named
from devctl.stack.port import LogLine

_TIME_KEYS = ("timestamp", "time", "@timestamp", "ts", "asctime", "datetime", "date")
_LEVEL_KEYS = ("level", "levelname", "severity", "log.level", "level_name", "loglevel", "lvl")
_EVENT_KEYS = ("event", "message", "msg", "text", "body", "log")

# Escape sequences (CSI, OSC, two-character ones), then every control character but the tab, and the characters
# that turn the direction of text round: a log must not be able to move the cursor, set a title or disguise itself.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\^_=>()][0-9A-B]?")
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_SURROGATES = re.compile("[\ud800-\udfff]")

_REDIS = re.compile(r"\d+:[XCSM] (\d{2} \w{3} \d{4} \d{2}:\d{2}:\d{2}\.\d{3}) ([.\-*#]) ")
_REDIS_LEVELS = {".": "debug", "-": "debug", "*": "info", "#": "warning"}
_ISO = re.compile(r"\[?(\d{4}([-/])\d{2}\2\d{2}[T ]\d{2}:\d{2}:\d{2}(?:[.,]\d+)?(?: ?(?:Z|[+-]\d{2}:?\d{2}))?)")
_WORD = re.compile(r"\b(TRACE|DEBUG|INFO|SUCCESS|NOTICE|WARNING|WARN|ERROR|CRITICAL|FATAL)\b")
_BRACKETED = re.compile(r"\[ ?(trace|debug|info|notice|warning|warn|error|critical|fatal|crit)\b *\]")
_TORNADO = re.compile(r"\[([DIWEC]) (\d{6} \d{2}:\d{2}:\d{2})[ \]]")
_TORNADO_LEVELS = {"D": "debug", "I": "info", "W": "warning", "E": "error", "C": "critical"}
_LOGFMT = re.compile(r'([\w.@-]+)=("(?:[^"\\]|\\.)*"|[^\s"=]*)(?:\s+|$)')
_RAISED = "raised unexpected: "  # Celery's line about a task that failed, whatever its format says before it
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
    document = _document(text) or _logfmt(text)
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
    return _flat(document) if isinstance(document, dict) else None


def _flat(document: dict[str, object]) -> dict[str, object] | None:
    """The document, with time, level and message where they are looked for; None where it is no log entry."""
    record, log = document.get("record"), document.get("log")
    if isinstance(record, dict) and isinstance(record.get("message"), str):  # loguru's
        level, time, extra = (record.get(key) for key in ("level", "time", "extra"))
        return {
            "message": record["message"],
            "level": level.get("name") if isinstance(level, dict) else level,
            "time": time.get("timestamp") if isinstance(time, dict) else time,
            **({"exception": record["exception"]} if record.get("exception") else {}),
            **(extra if isinstance(extra, dict) else {}),
        }
    if isinstance(log, dict) and isinstance(log.get("level"), str):  # ECS
        document = {**document, "level": log["level"]}
    level = document.get("level")
    if isinstance(level, int) and {"pid", "hostname"} <= document.keys():  # pino's and bunyan's, ten above Python's
        document = {**document, "level": level - 10}
    if any(isinstance(document.get(key), str) for key in _EVENT_KEYS):
        return document
    timed = any(seconds(document[key]) is not None for key in _TIME_KEYS if key in document)
    return document if timed and any(level_named(document.get(key)) for key in _LEVEL_KEYS) else None


def _logfmt(text: str) -> dict[str, object] | None:
    """`time=… level=info msg="…" task_id=…`: a whole line of pairs."""
    at, pairs = 0, {}
    while found := _LOGFMT.match(text, at):
        value = found[2]
        pairs[found[1]] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        at = found.end()
    if at != len(text) or len(pairs) < 2 or not pairs.keys() & {*_LEVEL_KEYS, *_EVENT_KEYS}:  # prose with an = in it
        return None
    return _flat(dict(pairs))


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
    if tornado := _TORNADO.match(text):
        moment = datetime.strptime(tornado[2], "%y%m%d %H:%M:%S")  # noqa: DTZ007 – local time, as Redis's
        return moment.astimezone().timestamp(), _TORNADO_LEVELS[tornado[1]]
    time = None
    if iso := _ISO.match(text):
        try:
            written = iso[1].replace(",", ".").replace("/", "-").replace(" +", "+").replace(" Z", "Z")
            time = datetime.fromisoformat(written).astimezone().timestamp()
        except ValueError:
            time = None
    if belongs_to_traceback(text):
        return time, ""
    return time, _level(text, headed=iso is not None)


def _level(text: str, *, headed: bool) -> str:
    """The level near the start of a line; `headed`: the line begins with a time."""
    word = _WORD.search(text, 0, _WORD_WITHIN)
    if word and (headed or word.start() == 0):
        return level_named(word[1])
    bracketed = _BRACKETED.search(text, 0, _WORD_WITHIN)
    if bracketed and (headed or bracketed.start() == 0):
        return level_named(bracketed[1])
    return "error" if _RAISED in text else ""
