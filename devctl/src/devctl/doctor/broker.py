"""The broker: reachable, and of a kind that keeps what it was given."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from devctl.broker.port import ServerInfo
from devctl.doctor.check import Check
from devctl.doctor.delivery import settings_of
from devctl.doctor.facts import Facts
from devctl.errors import DevctlError
from devctl.stack.model import Service

_SLOW_SECONDS = 0.02  # a server on this machine takes a fraction of a millisecond
_FULL, _NEARLY_FULL = 0.95, 0.8
# Of an order of the examples, with its place in the tables of Redis: python tools/order_memory.py
RECORD_BYTES, RESULT_BYTES, MESSAGE_BYTES = 171, 508, 1_700
NOT_STARTED = "not started"
_ASK = "devctl up, then devctl doctor asks Redis itself"


def broker(facts: Facts) -> Iterator[Check]:
    """It answers, and quickly."""
    if not facts.readable:
        yield Check("broker", "skipped", "not checked: the Compose file cannot be read")
        return
    if not facts.started:
        yield Check("broker", "skipped", NOT_STARTED, "devctl up")
        return
    try:
        info, seconds = facts.server
    except DevctlError as away:
        hint = away.hint.replace("\n", "; ")
        name = facts.stack.broker
        itself = "devctl doctor" in hint  # that is where we are
        yield Check("broker", "problem", away.problem, f"devctl logs {name}, devctl restart {name}" if itself else hint)
        return
    took = "" if facts.broker_kind == "amqp" else f", {seconds * 1000:.1f} ms"  # there it was said with the greeting
    message = f"{info.product} {info.version} at {_place(facts.subject.broker.url)}{took}"
    if seconds > _SLOW_SECONDS:
        yield Check("broker", "warning", f"{message}: slow", "is it, or this machine, overloaded? devctl ps")
    else:
        yield Check("broker", "ok", message)


def persistence(facts: Facts) -> Iterator[Check]:
    """What was accepted is still there after a crash of the broker."""
    if facts.broker_kind != "redis":
        return
    info = _server(facts)
    says, source = (info.persistence, "") if info else _written_persistence(facts)
    if says.startswith("AOF"):
        yield Check("persistence", "ok", f"{says}{source}")
    elif says == "RDB only":
        yield Check(
            "persistence",
            "warning",
            f"snapshots only{source}: a crash loses what came since the last",
            "--appendonly yes",
        )
    elif says:
        yield Check("persistence", "warning", f"none{source}: a crash loses every queued task", "--appendonly yes")
    else:
        yield Check("persistence", "skipped", f"not known{source}", _ASK)


def eviction(facts: Facts) -> Iterator[Check]:
    """A full broker refuses, instead of forgetting."""
    if facts.broker_kind != "redis":
        return
    info, written = _server(facts), _options(facts)
    if info is None and written is None:
        yield Check("eviction", "skipped", "not known: what Redis is started with cannot be read", _ASK)
        return
    policy = info.eviction_policy if info else (written or {}).get("maxmemory-policy", "noeviction")
    if policy == "noeviction":
        yield Check("eviction", "ok", f"{policy}: when full, it refuses writes and removes nothing")
    else:
        lost = "queued tasks" if policy.startswith("allkeys") else "results"
        fix = f"--maxmemory-policy noeviction in {facts.settings.compose_file.name}"
        yield Check("eviction", "warning", f"policy {policy}: {lost} can vanish", fix)


def broker_memory(facts: Facts) -> Iterator[Check]:
    """There is room for more messages."""
    info = _server(facts)
    if info is None or facts.broker_kind != "redis":
        return
    used = f"{info.used_memory_bytes / 1024**2:,.0f} MB"
    if not info.maxmemory_bytes:
        yield Check(
            "broker memory",
            "warning",
            f"{used} used, no limit: it grows until the system kills it",
            "--maxmemory 512mb",
        )
        return
    share = info.used_memory_bytes / info.maxmemory_bytes
    message = f"{used} of {info.maxmemory_bytes / 1024**2:,.0f} MB ({share:.0%})"
    fix = f"raise {_limit_of(facts)}, then let workers empty the queues (devctl queues)"
    if share >= _FULL:
        yield Check("broker memory", "problem", f"{message}: publishing is refused, or soon will be", fix)
    elif share >= _NEARLY_FULL:
        yield Check("broker memory", "warning", f"{message}: nearly full", fix)
    else:
        yield Check("broker memory", "ok", message)


def capacity(facts: Facts) -> Iterator[Check]:
    """What tasks leave behind fits, and for how many a second."""
    info = _server(facts)
    if facts.broker_kind != "redis" or not facts.stack.contracts:
        return
    room = info.maxmemory_bytes if info else _bytes((_options(facts) or {}).get("maxmemory", "0"))
    settings = settings_of(facts)
    if not room or not facts.contracts or not settings:
        return
    queue = int(settings["broker_transport_options"].get("queue_bound", 0))
    waiting = queue * MESSAGE_BYTES
    kept = sum(_kept(one, float(settings.get("result_expires") or 0)) for one in facts.contracts)
    left = room - waiting
    megabytes = f"{room / 1024**2:,.0f} MB"
    if left <= 0:
        yield Check(
            "capacity",
            "warning",
            f"{queue:,} messages of a full queue take some {waiting / 1024**2:,.0f} MB, and Redis has {megabytes}",
            f"raise {_limit_of(facts)}, or lower CELERY_QUEUE_BOUND",
        )
        return
    yield Check(
        "capacity",
        "ok",
        f"{megabytes} hold one full queue ({waiting / 1024**2:,.0f} MB), and records and results of some "
        f"{left / kept:,.0f} tasks a second of each contract",
    )


def _kept(contract: Any, result_seconds: float) -> float:
    """Bytes that one task of it a second keeps in Redis for good."""
    record = (getattr(contract, "record_seconds", None) or 0) * RECORD_BYTES
    return record + (0 if getattr(contract, "ignore_result", False) else result_seconds * RESULT_BYTES)


def _bytes(text: str) -> int:
    """Redis's spelling of a size; 0 for none, and for what it would not take."""
    found = re.fullmatch(r"([0-9]+)([kmg]?b?)", text.strip().lower())
    powers = {"": 1, "b": 1, "k": 1_000, "kb": 1_024, "m": 10**6, "mb": 1_024**2, "g": 10**9, "gb": 1_024**3}
    return int(found[1]) * powers[found[2]] if found else 0


def _server(facts: Facts) -> ServerInfo | None:
    """What the server says of itself; None where it does not run or answer, which is a check of its own."""
    try:
        return facts.server[0] if facts.started else None
    except DevctlError:
        return None


def _options(facts: Facts) -> dict[str, str] | None:
    """What the broker's Redis is started with, by its command line and its file; None where that cannot be read."""
    service = facts.broker_service
    if service is None:
        return None
    words = [word for text in service.command for word in (shlex.split(text) if " " in text else [text])]
    found: dict[str, str] = {}
    for name, value in pairwise([*words, ""]):
        if name.endswith(".conf") and not name.startswith("--"):
            file = _on_this_machine(service, name)
            if file is None or not file.is_file():
                return None
            lines = (line.partition("#")[0].split(None, 1) for line in file.read_text(errors="replace").splitlines())
            found |= {line[0]: line[1].strip().strip("\"'") for line in lines if len(line) == 2}
        elif name.startswith("--"):
            found[name.removeprefix("--")] = value
    if service.build is not None and not words:
        return None  # an image of their own: its command may say anything
    return found


def _on_this_machine(service: Service, path: str) -> Path | None:
    """Where a file of the container lies here, by its mounts."""
    for mount in service.mounts:
        if mount.kind == "bind" and (path == mount.target or path.startswith(f"{mount.target.rstrip('/')}/")):
            return Path(mount.source) / path.removeprefix(mount.target).lstrip("/")
    return None


def _written_persistence(facts: Facts) -> tuple[str, str]:
    """What the files say of it, and which; Redis takes snapshots where nobody tells it otherwise."""
    written = _options(facts)
    if written is None:
        return "", ": what Redis is started with cannot be read"
    source = ", by the Compose file"
    if written.get("appendonly") == "yes":
        return "AOF", source
    return ("none" if written.get("save", "default") in ("", '""') else "RDB only"), source


def _limit_of(facts: Facts) -> str:
    """What sets the limit of Redis's memory here: a variable, or the option itself."""
    words = str(facts.document.data.get("services", {}).get(facts.stack.broker, {}).get("command", ""))
    found = re.search(r"--maxmemory['\", ]+\$\{?([A-Z_]+)", words)
    return found[1] if found else "--maxmemory"


def _place(url: str) -> str:
    parts = urlsplit(url)  # without the password
    return f"{parts.hostname or 'localhost'}:{parts.port or (5672 if 'amqp' in parts.scheme else 6379)}"
