"""What containers use now, asked of the engine over its socket.

`docker stats` takes two seconds for the same figures; it remains the way where the engine is on another machine.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from devctl.stack.engine import Daemon
from devctl.stack.port import Usage

_BETWEEN_SAMPLES_SECONDS = 0.25
_AT_A_TIME = 16
_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def measure(daemon: Daemon, ids: Sequence[str]) -> dict[str, Usage]:
    """Container id -> usage, from two samples."""

    def sample(id_: str) -> dict[str, Any]:
        return {**daemon.sample(id_), "taken": time.monotonic()}

    with ThreadPoolExecutor(max_workers=min(len(ids), _AT_A_TIME)) as pool:
        first = list(pool.map(sample, ids))
        time.sleep(_BETWEEN_SAMPLES_SECONDS)
        second = list(pool.map(sample, ids))
    pairs = zip(ids, first, second, strict=True)
    return {id_: usage for id_, before, after in pairs if (usage := between(before, after)) is not None}


def between(before: Mapping[str, Any], after: Mapping[str, Any]) -> Usage | None:
    """Usage from two samples of the engine, the second with the time that lies between; None for what is gone."""
    memory = after.get("memory_stats") or {}
    if "usage" not in memory or "cpu_stats" not in before:
        return None
    used = after["cpu_stats"]["cpu_usage"]["total_usage"] - before["cpu_stats"]["cpu_usage"]["total_usage"]
    passed = (after["taken"] - before["taken"]) * 1e9
    cache = memory.get("stats") or {}  # as `docker stats`: pages that can go at any time are not used
    cache_bytes = cache.get("inactive_file", cache.get("total_inactive_file", 0))
    return Usage(max(0.0, 100 * used / passed) if passed > 0 else 0.0, max(0, memory["usage"] - cache_bytes))


def parse(output: str) -> dict[str, Usage]:
    """Read `docker stats --format '{{json .}}'`: container name -> usage; one that is gone (`--`) is left out."""
    found = {}
    for line in output.splitlines():
        one = json.loads(line)
        cpu, memory = one["CPUPerc"].rstrip("%"), one["MemUsage"].partition("/")[0].strip()
        if re.fullmatch(r"[\d.]+", cpu) and (amount := _bytes(memory)) is not None:
            found[one["Name"]] = Usage(float(cpu), amount)
    return found


def _bytes(text: str) -> int | None:
    match = re.fullmatch(r"([\d.]+)\s*([kmgt]?)(i?)b", text.lower())
    return int(float(match[1]) * (1024 if match[3] else 1000) ** _UNITS[match[2]]) if match else None
