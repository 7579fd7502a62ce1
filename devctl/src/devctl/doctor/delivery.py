"""How the services set Celery: does any of them lose or double work."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from devctl.doctor.celery.evidence import Evidence, Settings
from devctl.doctor.celery.rules import judge
from devctl.doctor.check import Check
from devctl.doctor.facts import Facts

_CELERY = "CELERY_"


def delivery(facts: Facts) -> Iterator[Check]:
    """No setting loses or doubles work: of services that celeriac's loaders set up; of others, see celery/."""
    if not facts.stack.contracts:
        return
    try:
        by_service = _settings_by_service(facts)
    except _NotOurs as other:
        yield Check("delivery", "skipped", str(other))
        return
    found = False
    for settings in _different(by_service.values()):
        read = Settings(live=settings, home=_place(facts))
        for verdict in judge(Evidence(read, broker="redis")):
            for one in verdict.findings:
                found = True
                yield Check(verdict.rule.id, verdict.rule.status, one.message, one.fix or verdict.rule.fix, one.place)
    if not found:
        yield Check("delivery", "ok", f"{_way(by_service)}, JSON only")


def visibility(facts: Facts) -> Iterator[Check]:
    """A message is given to a second worker only when the first must be dead."""
    try:
        by_service = _settings_by_service(facts)
    except _NotOurs:
        return
    ways = {name: "atomic" if claims(s) else "stock" for name, s in by_service.items()}
    if len(set(ways.values())) > 1:
        each = ", ".join(f"{name} {way}" for name, way in ways.items())
        yield Check(
            "visibility",
            "warning",
            f"two transports on one broker: only what stock Celery promises holds for all tasks: {each}",
            "set the same CELERY_TRANSPORT for all services",
        )
    elif "atomic" in ways.values():
        yield from _lease(by_service)
    else:
        yield from _timeout(facts, by_service)


def _lease(by_service: Mapping[str, Mapping[str, Any]]) -> Iterator[Check]:
    """Whoever lives renews it, and what waits for its due time is claimed by nobody: no length is wrong."""
    longest = max(float(transport(s).get("lease_seconds", 0)) for s in by_service.values())
    yield Check("visibility", "ok", f"{longest:g} s after its worker died a task goes to another; leases are renewed")


def _timeout(facts: Facts, by_service: Mapping[str, Mapping[str, Any]]) -> Iterator[Check]:
    """The worker that has a message renews nothing: not while it runs, nor while it waits for its due time."""
    seconds = {name: float(transport(s).get("visibility_timeout", 3600)) for name, s in by_service.items()}
    if len(set(seconds.values())) > 1:
        each = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
        yield Check(
            "visibility",
            "problem",
            f"the shortest is used for all: {each}",
            "set the same CELERY_VISIBILITY_TIMEOUT for all services",
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


def transport(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings of the transport; empty where there are none."""
    options = settings.get("broker_transport_options")
    return options if isinstance(options, Mapping) else {}


def longest_run(settings: Mapping[str, Any]) -> float:
    """Seconds a task may run, by Celery's time limits; 0 where there is none."""
    return float(settings.get("task_time_limit") or settings.get("task_soft_time_limit") or 0)


def claims(settings: Mapping[str, Any]) -> bool:
    """Whether workers renew what they have claimed, as celeriac's do."""
    return Settings(live=settings).claims


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
    if not facts.stack.contracts:
        raise _NotOurs("the Compose file names no contracts")
    if not any(one.of_celeriac for one in facts.contracts):
        raise _NotOurs(f"{facts.stack.contracts} has no contract of celeriac")
    return importlib.import_module("celeriac.app.settings")


def _known(module: ModuleType) -> set[str]:
    return {_CELERY + name.upper() for name in getattr(module.CelerySettings, "model_fields", ())}


def _read(module: ModuleType, given: Mapping[str, str]) -> Any:
    known = _known(module)
    fields = {key.removeprefix(_CELERY).lower(): value for key, value in given.items() if key in known}
    return module.CelerySettings(_environ={}, **fields)  # our own environment must not mix with a service's


def _refused(module: ModuleType, given: Mapping[str, str]) -> Iterator[str]:
    """Each variable that is wrong, and why; never its value, which may hold a password."""
    import pydantic

    try:
        _read(module, given)
    except pydantic.ValidationError as wrong:
        for one in wrong.errors(include_url=False, include_input=False, include_context=False):
            name = "_".join(str(part) for part in one["loc"]).upper()
            yield (f"{_CELERY}{name}: " if name else "") + one["msg"].removeprefix("Value error, ")


def _way(by_service: Mapping[str, Mapping[str, Any]]) -> str:
    """How messages end."""
    if not by_service or not all(map(claims, by_service.values())):
        return "acknowledged when done, one message at a time"
    if any(one.get("result_backend") != one.get("broker_url") for one in by_service.values()):
        return "acknowledged when done, in one step with all but the result"
    return "acknowledged in one step with what a task did"


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
