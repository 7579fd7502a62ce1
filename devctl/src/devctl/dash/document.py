"""A snapshot as JSON: what `devctl dash --json` writes and the browser gets."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from devctl.dash.model import QueueRow, Snapshot


def document(snapshot: Snapshot) -> dict[str, Any]:
    """Devctl.dash/1."""
    found = asdict(snapshot)
    found["queues"] = [_queue(one) for one in snapshot.queues]
    for worker in found["workers"]:
        for run in worker["running"]:
            run["seconds"] = round(run["seconds"], 2)
    return {"schema": "devctl.dash/1", **found, "at": round(snapshot.at, 3)}


def _queue(one: QueueRow) -> dict[str, Any]:
    found = asdict(one)
    for name in ("oldest_seconds", "rate_in", "rate_out"):
        found[name] = None if found[name] is None else round(found[name], 2)
    found["history"] = [[round(at, 1), depth, round(oldest, 2)] for at, depth, oldest in one.history]
    return found
