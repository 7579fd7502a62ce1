"""Celery settings with which tasks are lost, or run twice, or wait for nothing: what is wrong, and what it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from devctl.doctor.check import Status


@dataclass(frozen=True)
class Rule:
    """When a setting is wrong, what then happens, and what it should be."""

    wrong: Callable[[Mapping[str, Any]], bool]
    status: Status
    message: str
    fix: str


def transport(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings of the transport; empty where there are none."""
    options = settings.get("broker_transport_options")
    return options if isinstance(options, Mapping) else {}


def longest_run(settings: Mapping[str, Any]) -> float:
    """Seconds a task may run, by Celery's time limits; 0 where there is none."""
    return float(settings.get("task_time_limit") or settings.get("task_soft_time_limit") or 0)


def claims(settings: Mapping[str, Any]) -> bool:
    """Whether workers take messages with claims that they renew: a run may last, and how much they take is bounded by
    the time it needs. Stock ones renew nothing and count messages."""
    return str(settings.get("broker_transport") or "").startswith("celeriac.")


RULES = (
    Rule(
        lambda s: not s.get("task_acks_late"),
        "problem",
        "tasks are acknowledged before they run: a killed worker loses them",
        "task_acks_late = True",
    ),
    Rule(
        lambda s: bool(s.get("task_acks_late")) and not s.get("task_reject_on_worker_lost"),
        "problem",
        "a task whose process dies (out of memory, SIGKILL) is acknowledged and lost",
        "task_reject_on_worker_lost = True",
    ),
    Rule(
        lambda s: set(s.get("accept_content") or ["json"]) - {"json", "application/json"} != set(),
        "problem",
        "workers accept more than JSON: unpickling runs whatever the sender likes",
        'accept_content = ["json"]',
    ),
    Rule(
        lambda s: not claims(s) and s.get("worker_prefetch_multiplier", 4) != 1,
        "warning",
        "a worker takes several messages at once: those behind a slow task wait, and run twice when their time is up",
        "worker_prefetch_multiplier = 1",
    ),
    Rule(
        lambda s: not transport(s).get("socket_timeout"),
        "warning",
        "no socket_timeout: with a paused Redis, whoever publishes waits for ever",
        'broker_transport_options = {"socket_timeout": 5, …}',
    ),
    Rule(
        lambda s: not claims(s) and 0 < transport(s).get("visibility_timeout", 3600) < longest_run(s),
        "problem",
        "a task may run longer than visibility_timeout: it would be given to a second worker meanwhile",
        "visibility_timeout above the time limit",
    ),
)
