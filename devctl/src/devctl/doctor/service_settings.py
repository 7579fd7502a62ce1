"""Would each service accept what the Compose file gives it? Asked of the loaders with which the services read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from celeriac.typos import typos
from devctl.contracts.owners import owners
from devctl.doctor.check import Check
from devctl.doctor.facts import Facts

if TYPE_CHECKING:
    from celeriac.environment import Settings

_CELERY = "CELERY_"


def service_settings(facts: Facts) -> Iterator[Check]:
    """Every service would start with its settings, and none of them is misspelt."""
    if not facts.stack.contracts or not any(one.of_celeriac for one in facts.contracts):
        return
    owner = owners(facts.subject.catalog, facts.stack)
    fine = True
    for name, service in facts.stack.services.items():
        # A path is one of its container, where this machine cannot look.
        given = {key: text for key, text in service.environment.items() if text and not text.startswith("/")}
        if not any(key.startswith(_CELERY) for key in given):
            continue
        own = [one for one in facts.contracts if owner.get(one.queue) == name]
        if not own and name in facts.stack.workers:
            own = list(facts.contracts)
        for check in _of(name, given, own, here=not facts.containers):
            fine = False
            yield check
    if fine:
        yield Check("settings", "ok", "every service accepts its settings")


def _of(name: str, given: Mapping[str, str], own: Sequence[Any], *, here: bool) -> Iterator[Check]:
    """What is wrong with a service's settings; `own`: contracts whose tasks it runs; `here`: not in a container."""
    from celeriac import environment
    from celeriac.retry import policy

    kinds = _kinds(runs_tasks=bool(own))
    known: dict[str, set[str]] = {kind.prefix: environment.variables(kind) for kind in kinds}
    problems = [problem for kind in kinds for problem in environment.problems(kind, given, here=here)]
    with_policy = [one for one in own if isinstance(one.retries, policy.RetryPolicy)]
    problems += policy.read(with_policy, given)[1]
    known[policy.PREFIX] = {policy.variable(one.name) for one in with_policy}
    for problem in problems:
        fix = f"look at {name} in the Compose file, and at .env"
        yield Check("settings", "problem", f"{name} will not start: {problem}", fix)
    for prefix, names in known.items():
        for typo, meant in typos(prefix, names, given).items():
            message = f"{typo} of {name} is not a setting, and is ignored"
            yield Check("settings", "warning", message, f"did you mean {meant}?")


def _kinds(*, runs_tasks: bool) -> list[type[Settings]]:
    from celeriac.app.settings import CelerySettings, HttpSettings, LogSettings, WorkerSettings

    return [CelerySettings, LogSettings, HttpSettings, *([WorkerSettings] if runs_tasks else [])]
