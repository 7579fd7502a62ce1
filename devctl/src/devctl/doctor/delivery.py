"""Celery settings with which tasks are lost, or run twice, or wait for nothing."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from devctl.doctor.check import Check, Status
from devctl.doctor.facts import Facts
from devctl.errors import DevctlError

_CELERY = "CELERY_"
_UNSET = "\0"  # a prefix no variable has: our own environment must not mix with a service's


@dataclass(frozen=True)
class Rule:
    """When a setting is wrong, what then happens, and what it should be."""

    wrong: Callable[[Mapping[str, Any]], bool]
    status: Status
    message: str
    fix: str


def _transport(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    options = settings.get("broker_transport_options")
    return options if isinstance(options, Mapping) else {}


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
        lambda s: s.get("worker_prefetch_multiplier", 4) != 1,
        "warning",
        "a worker takes several messages at once: those behind a slow task wait, and run twice when their time is up",
        "worker_prefetch_multiplier = 1",
    ),
    Rule(
        lambda s: not _transport(s).get("socket_timeout"),
        "warning",
        "no socket_timeout: with a paused Redis, whoever publishes waits for ever",
        'broker_transport_options = {"socket_timeout": 5, …}',
    ),
    Rule(
        lambda s: 0 < _transport(s).get("visibility_timeout", 3600) < _longest(s),
        "problem",
        "a task may run longer than visibility_timeout: it would be given to a second worker meanwhile",
        "visibility_timeout above the time limit",
    ),
)


def delivery(facts: Facts) -> Iterator[Check]:
    """No setting loses or doubles work."""
    try:
        by_service = _settings_by_service(facts)
    except _NotOurs as other:
        yield Check("delivery", "skipped", str(other))
        return
    found = False
    for settings in _different(by_service.values()):
        for rule in RULES:
            if rule.wrong(settings):
                found = True
                yield Check("delivery", rule.status, rule.message, f"{rule.fix} ({_place(facts)})")
    if not found:
        yield Check("delivery", "ok", "acknowledged when done, one message at a time, JSON only")


def visibility(facts: Facts) -> Iterator[Check]:
    """A message is given to a second worker only when the first must be dead."""
    try:
        by_service = _settings_by_service(facts)
    except _NotOurs:
        return
    seconds = {name: float(_transport(s).get("visibility_timeout", 3600)) for name, s in by_service.items()}
    if len(set(seconds.values())) > 1:
        each = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
        yield Check(
            "visibility", "problem", f"the shortest wins for all: {each}", "one CELERY_VISIBILITY_TIMEOUT for all"
        )
        return
    shortest = min(seconds.values(), default=3600.0)
    wait = _longest_wait(facts)
    if shortest <= wait:
        yield Check(
            "visibility",
            "problem",
            f"a retry may wait {wait:.0f} s, and after {shortest:.0f} s a second worker has its message: it runs twice",
            f"CELERY_VISIBILITY_TIMEOUT={wait * 2 + 60:.0f} or more",
        )
    else:
        yield Check(
            "visibility",
            "ok",
            f"{shortest:.0f} s: a killed worker's tasks are back then; retries {wait:.0f} s",
        )


def service_settings(facts: Facts) -> Iterator[Check]:
    """Every service would accept what the Compose file gives it."""
    try:
        module = _module(facts)
    except _NotOurs:
        return
    wrong = False
    for name, service in facts.stack.services.items():
        given = {key: value for key, value in service.environment.items() if key.startswith(_CELERY) and value}
        for problem in _refused(module, given):
            wrong = True
            yield Check(
                "settings",
                "problem",
                f"{name} will not start: {problem}",
                f"look at {name} in the Compose file, and at .env",
            )
    if not wrong:
        yield Check("settings", "ok", "every service accepts its settings")


class _NotOurs(Exception):
    """The contracts do not say how they configure Celery."""


def settings_of(facts: Facts) -> Mapping[str, Any]:
    """The Celery settings of the workers; empty where they cannot be known."""
    try:
        by_service = _settings_by_service(facts)
    except _NotOurs:
        return {}
    return next((by_service[name] for name in facts.stack.workers if name in by_service), {})


def _settings_by_service(facts: Facts) -> dict[str, dict[str, Any]]:
    module = _module(facts)
    found = {}
    for name, service in facts.stack.services.items():
        given = {key: value for key, value in service.environment.items() if key.startswith(_CELERY) and value}
        if given and not list(_refused(module, given)):
            found[name] = dict(module.celery_settings(_read(module, given)))
    return found


def _module(facts: Facts) -> ModuleType:
    contracts = facts.stack.contracts
    if not contracts:
        raise _NotOurs("the Compose file names no contracts")
    try:
        module = importlib.import_module(f"{contracts}.settings")
    except ModuleNotFoundError as missing:
        if not str(missing.name).startswith(contracts):
            raise DevctlError(f"{contracts} cannot be imported: {missing}", hint="make setup") from missing
        raise _NotOurs(f"{contracts} has no module settings") from missing
    if not (hasattr(module, "celery_settings") and hasattr(module, "CelerySettings")):
        raise _NotOurs(f"{contracts}.settings has no celery_settings()")
    return module


def _read(module: ModuleType, given: Mapping[str, str]) -> Any:
    fields = {key.removeprefix(_CELERY).lower(): value for key, value in given.items()}
    return module.CelerySettings(_env_prefix=_UNSET, **fields)


def _refused(module: ModuleType, given: Mapping[str, str]) -> Iterator[str]:
    """Each variable that is wrong, and why; never its value, which may hold a password."""
    import pydantic

    try:
        _read(module, given)
    except pydantic.ValidationError as wrong:
        for one in wrong.errors(include_url=False, include_input=False, include_context=False):
            name = _CELERY + "_".join(str(part) for part in one["loc"]).upper()
            if one["type"] == "extra_forbidden":
                yield f"{name} is no setting of it"
            else:
                yield f"{name}: {one['msg'].removeprefix('Value error, ')}"


def _longest(settings: Mapping[str, Any]) -> float:
    return float(settings.get("task_time_limit") or settings.get("task_soft_time_limit") or 0)


def _longest_wait(facts: Facts) -> float:
    """Seconds a retry waits at most, by the contracts."""
    waits = [getattr(getattr(one, "retries", None), "cap_seconds", 0) for one in facts.contracts]
    return float(max(waits, default=0))


def _different(settings: Any) -> list[Mapping[str, Any]]:
    """Without repetitions: services that share their settings share the findings."""
    found: list[Mapping[str, Any]] = []
    for one in settings:
        if one not in found:
            found.append(one)
    return found


def _place(facts: Facts) -> str:
    from pathlib import Path

    file = Path(_module(facts).__file__ or "")
    root = facts.settings.root
    return str(file.relative_to(root)) if file.is_relative_to(root) else str(file)
