"""A snapshot as JSON: what `devctl dash --json` writes and the browser gets."""

from __future__ import annotations

from typing import Any

from devctl.dash.model import QueueRow, RunningTask, Snapshot


def document(snapshot: Snapshot) -> dict[str, Any]:
    """Devctl.dash/1. Made once a second while a browser looks: so not by `asdict`, which copies all histories."""
    return {
        "schema": "devctl.dash/1",
        **vars(snapshot),
        "at": round(snapshot.at, 3),
        "broker": vars(snapshot.broker),
        "services": [vars(one) for one in snapshot.services],
        "queues": [_queue(one) for one in snapshot.queues],
        "workers": [{**vars(one), "running": [_run(run) for run in one.running]} for one in snapshot.workers],
        "failures": [vars(one) for one in snapshot.failures],
    }


def _run(one: RunningTask) -> dict[str, Any]:
    return {**vars(one), "seconds": round(one.seconds, 2)}


def _queue(one: QueueRow) -> dict[str, Any]:
    seconds = {name: getattr(one, name) for name in ("oldest_seconds", "rate_in", "rate_out")}
    return {
        **vars(one),
        **{name: None if value is None else round(value, 2) for name, value in seconds.items()},
        "history": [[round(at, 1), depth, round(oldest, 2)] for at, depth, oldest in one.history],
    }
