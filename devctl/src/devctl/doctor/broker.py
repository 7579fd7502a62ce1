"""The broker: reachable, and of a kind that keeps what it was given."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from devctl.broker.port import ServerInfo
from devctl.doctor.check import Check
from devctl.doctor.delivery import settings_of
from devctl.doctor.facts import Facts
from devctl.errors import DevctlError

_SLOW_SECONDS = 0.02  # a server on this machine takes a fraction of a millisecond
_FULL, _NEARLY_FULL = 0.95, 0.8
# Of an order of the examples, with its place in the tables of Redis: python tools/order_memory.py
RECORD_BYTES, RESULT_BYTES, MESSAGE_BYTES = 171, 508, 1_700
NOT_STARTED = "not started"


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
    message = f"{info.product} {info.version} at {_place(facts.subject.broker.url)}, {seconds * 1000:.1f} ms"
    if seconds > _SLOW_SECONDS:
        yield Check("broker", "warning", f"{message}: slow", "is it, or this machine, overloaded? devctl ps")
    else:
        yield Check("broker", "ok", message)


def persistence(facts: Facts) -> Iterator[Check]:
    """What was accepted is still there after a crash of the broker."""
    info = _server(facts)
    says = info.persistence if info else _by_command(facts, "--appendonly", {"yes": "AOF"}, "none")
    source = "" if info else ", by the Compose file"
    if says.startswith("AOF"):
        yield Check("persistence", "ok", f"{says}{source}")
    elif says == "RDB only":
        yield Check(
            "persistence",
            "warning",
            f"snapshots only{source}: a crash loses what came since the last",
            "--appendonly yes",
        )
    else:
        yield Check("persistence", "warning", f"none{source}: a crash loses every queued task", "--appendonly yes")


def eviction(facts: Facts) -> Iterator[Check]:
    """A full broker refuses, instead of forgetting."""
    info = _server(facts)
    policy = info.eviction_policy if info else _by_command(facts, "--maxmemory-policy", {}, "noeviction")
    if policy == "noeviction":
        yield Check("eviction", "ok", f"{policy}: when full, it refuses writes and removes nothing")
    else:
        lost = "queued tasks" if policy.startswith("allkeys") else "results"
        fix = f"--maxmemory-policy noeviction in {facts.settings.compose_file.name}"
        yield Check("eviction", "warning", f"policy {policy}: {lost} can vanish", fix)


def broker_memory(facts: Facts) -> Iterator[Check]:
    """There is room for more messages."""
    info = _server(facts)
    if info is None:
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
    fix = "raise REDIS_MAXMEMORY, then let workers empty the queues (devctl queues)"
    if share >= _FULL:
        yield Check("broker memory", "problem", f"{message}: publishing is refused, or soon will be", fix)
    elif share >= _NEARLY_FULL:
        yield Check("broker memory", "warning", f"{message}: nearly full", fix)
    else:
        yield Check("broker memory", "ok", message)


def capacity(facts: Facts) -> Iterator[Check]:
    """What tasks leave behind fits, and for how many a second."""
    info = _server(facts)
    room = info.maxmemory_bytes if info else _bytes(_by_command(facts, "--maxmemory", {}, "0"))
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
            "raise REDIS_MAXMEMORY, or lower CELERY_QUEUE_BOUND",
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


def _by_command(facts: Facts, option: str, meaning: dict[str, str], default: str) -> str:
    """What an option of the broker's command line says."""
    command = facts.stack.services[facts.stack.broker].command
    for name, value in pairwise(command):
        if name == option:
            return meaning.get(value, value if not meaning else default)
    return default


def _place(url: str) -> str:
    parts = urlsplit(url)  # without the password
    return f"{parts.hostname or 'localhost'}:{parts.port or 6379}"
