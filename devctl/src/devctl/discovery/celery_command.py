"""A command line of Celery, read as its own parser reads it: the new order and the old, all spellings of an option."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence

from devctl.discovery.model import CeleryCommand

_SUBCOMMANDS = {
    *("amqp", "beat", "call", "control", "events", "flower", "graph", "inspect", "list", "logtool", "migrate"),
    *("multi", "purge", "report", "result", "shell", "status", "upgrade", "worker"),
}
_TAKES = {
    "-A": "app",
    "-b": "broker",
    "-Q": "queues",
    "-X": "exclude-queues",
    "-P": "pool",
    "-c": "concurrency",
    "-n": "hostname",
    "-f": "logfile",
    "-l": "loglevel",
    "-O": "optimization",
    "-s": "schedule",
    "-S": "statedb",
    "-I": "include",
    "-t": "timeout",
    "-d": "destination",
    "-F": "frequency",
    "-r": "maxrate",
}
"""Short options with a value, and their long names."""
_FLAGS = {
    *("--no-color", "--quiet", "--version", "--skip-checks", "--detach", "--disable-prefetch", "--task-events"),
    *("--events", "--purge", "--discard", "--without-gossip", "--without-mingle", "--without-heartbeat", "--beat"),
    *("--help", "--json", "--persistent", "--debug", "--dump", "--force", "--no-enable-remote-control"),
    *("--enable-remote-control",),
}
_LEGACY = {"celeryd": "worker", "celerybeat": "beat", "celeryev": "events", "flower": "flower"}
"""Programs of their own that are subcommands."""
_MODULES = {
    "celery": "",
    "celery.bin.celery": "",
    "celery.__main__": "",
    "flower": "flower",
    "celery.bin.worker": "worker",
}
_MULTI = {"start", "restart"}


def read(words: Sequence[str], environment: Mapping[str, str]) -> CeleryCommand | None:
    """Return the command that begins with `celery`, `python -m celery` or `manage.py celery`; None for any other."""
    found = _program(words)
    if found is None:
        return None
    begin, implied = found
    rest = [*words[begin:]]
    options: dict[str, str] = {}
    subcommand = implied
    unread = False
    for option, value in _options(rest):
        unread = unread or (not option and value.startswith("$"))
        if option:
            options[option] = value
        elif not subcommand and value in _SUBCOMMANDS:
            subcommand = value
    if subcommand == "multi" and _MULTI & {*rest}:  # and not stop, kill, names, …
        subcommand = "worker"
    where = environment if subcommand == "worker" else {}
    queues = _names(options.get("queues") or where.get("CELERY_WORKER_QUEUES", ""))
    return CeleryCommand(
        subcommand=subcommand or "help",
        argv=(implied or "celery", *rest),
        app=options.get("app") or environment.get("CELERY_APP") or environment.get("APP") or "",
        queues=queues,
        open=subcommand == "worker" and (any("$" in name for name in queues) or (unread and not queues)),
        excluded_queues=_names(options.get("exclude-queues", "")),
        pool=options.get("pool") or where.get("CELERY_WORKER_POOL", ""),
        concurrency=_number(options.get("concurrency") or where.get("CELERY_WORKER_CONCURRENCY", "")),
        hostname=options.get("hostname") or where.get("CELERY_WORKER_HOSTNAME", ""),
        logfile=options.get("logfile", ""),
        loglevel=(options.get("loglevel") or where.get("CELERY_WORKER_LOGLEVEL", "")).upper(),
        workdir=options.get("workdir", ""),
        beat="beat" in options and subcommand == "worker",
        broker=options.get("broker") or environment.get("BROKER_URL", ""),
        result_backend=options.get("result-backend") or environment.get("RESULT_BACKEND", ""),
    )


def _program(words: Sequence[str]) -> tuple[int, str] | None:
    """Return where Celery's own words begin, and the subcommand that the program's name implies."""
    if not words:
        return None
    name = posixpath.basename(words[0])
    if name == "celery":
        return 1, ""
    if name in _LEGACY:
        return 1, _LEGACY[name]
    if re.fullmatch(r"python[\d.]*|pypy[\d.]*", name):
        at = 1
        while at < len(words) and words[at].startswith("-") and words[at] not in ("-m", "-c"):
            at += 2 if words[at] in ("-W", "-X") else 1
        if words[at : at + 1] == ["-m"] or (at < len(words) and words[at].startswith("-m")):
            module = words[at][2:] or (words[at + 1] if at + 1 < len(words) else "")
            if module in _MODULES:
                return at + (1 if words[at][2:] else 2), _MODULES[module]
            return None
        return None if at >= len(words) else _of_program(words, at)
    return _of_program(words, 0)


def _of_program(words: Sequence[str], at: int) -> tuple[int, str] | None:
    """`manage.py celery worker`, and `python /venv/bin/celery worker`."""
    name = posixpath.basename(words[at])
    following = words[at + 1] if at + 1 < len(words) else ""
    if name in ("manage.py", "django-admin") and following == "celery" and at + 2 < len(words):
        return at + 2, ""
    if name in ("manage.py", "django-admin") and following in _LEGACY and following != "flower":
        return at + 2, _LEGACY[following]
    return (at + 1, "") if at and name == "celery" else None


def _options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield option and value; a word that is no option comes with the option ""."""
    at = 0
    while at < len(words):
        word, following = words[at], words[at + 1] if at + 1 < len(words) else ""
        at += 1
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            takes = not equals and name not in _FLAGS and following and not following.startswith("-")
            if takes and (_known(name) or following not in _SUBCOMMANDS):
                value, at = following, at + 1
            yield _long(name), value
        elif word.startswith("-") and len(word) > 1:
            for index, letter in enumerate(word[1:], 2):
                if f"-{letter}" in _TAKES:
                    rest = word[index:]
                    if not rest:
                        rest, at = following, at + 1
                    yield _TAKES[f"-{letter}"], rest.removeprefix("=")
                    break
                yield "beat" if letter == "B" else letter, ""
        else:
            yield "", word


def _known(name: str) -> bool:
    return name[2:] in {*_TAKES.values(), "result-backend", "workdir", "config", "loader", "autoscale"}


def _long(name: str) -> str:
    return {"discard": "purge"}.get(name[2:], name[2:])


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None
