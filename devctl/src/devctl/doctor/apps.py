"""The Celery apps of a repository that is not laid out like ours: what the rules find in each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from devctl.broker import nodes
from devctl.discovery.code.names import setting
from devctl.discovery.code.read import Code
from devctl.discovery.model import Answer, FoundTask
from devctl.doctor.celery import code as python
from devctl.doctor.celery import pins
from devctl.doctor.celery.evidence import NO_CODE, Entry, Evidence, Mark, NotKnown, Pin, Runner, Settings
from devctl.doctor.celery.rules import Verdict, clean, judge
from devctl.doctor.check import Check
from devctl.doctor.facts import Facts
from devctl.errors import DevctlError

_SHOWN = 6
"""Settings that are not known, by name."""
_ASK = "devctl up, then devctl doctor asks the worker"


def celery(facts: Facts) -> Iterator[Check]:
    """What the rules find in each app, said once; what they could not know."""
    if not facts.readable or facts.stack.contracts:  # celeriac's loaders say it all: see delivery.py
        return
    if not facts.having("worker"):
        hint = "devctl doctor --all shows what each service was taken for; devctl init writes down what it is"
        yield Check("celery", "skipped", "not known: no service is seen to run a worker", hint)
    said: set[tuple[str, str, str]] = set()
    for name, evidence in _apps(facts):
        verdicts = list(judge(evidence))
        for verdict in verdicts:
            for one in verdict.findings:
                key = (verdict.rule.id, one.message, one.place)
                if key not in said:
                    said.add(key)
                    fix = one.fix or verdict.rule.fix
                    yield Check(verdict.rule.id, verdict.rule.status, one.message, fix, one.place)
        yield from _unknown(name, verdicts, live=evidence.settings.live is not None)
        if any(one.unknown for one in verdicts):
            continue  # not "in order"
        asked = "asked of its worker" if evidence.settings.live is not None else "by its code"
        yield Check("celery", "ok", f"{len(clean(verdicts))} rules found nothing in {name}, {asked}")


def _unknown(name: str, verdicts: Sequence[Verdict], *, live: bool) -> Iterator[Check]:
    """What would have to be known for a clean bill, by the reason why it is not."""
    reasons: dict[str, dict[str, bool]] = {}
    for lack in (one.unknown for one in verdicts if one.unknown is not None):
        reasons.setdefault(lack.why, {})[lack.what] = lack.asked
    for why, whats in reasons.items():
        wide = sorted(whats, key=lambda one: whats[one])  # whole subjects first, then single settings
        shown = ", ".join(wide[:_SHOWN]) + (f" and {len(wide) - _SHOWN} more" if len(wide) > _SHOWN else "")
        fix = _ASK if any(whats.values()) and not live else ""
        yield Check("celery", "skipped", f"not known of {name}: {shown} ({why})", fix)


def _apps(facts: Facts) -> Iterator[tuple[str, Evidence]]:
    """Each app that a service runs, with what is known of it."""
    groups: dict[tuple[Path | None, tuple[Path, ...], str], list[Runner]] = {}
    for service in facts.having("worker", "beat"):
        found = facts.found.services[service.name]
        app = found.celery.app if found.celery else ""
        groups.setdefault((found.code, found.paths, app), []).append(Runner(found, service))
    roles = [set(one.roles) for one in facts.found.services.values()]
    conf = _conf(facts)
    done: dict[Path | None, tuple[tuple[Mark, ...], tuple[Pin, ...]]] = {None: ((), ())}
    for (root, paths, app), runners in groups.items():
        read = facts.code(runners[0].found) if root else Code()
        if root not in done:
            assert root is not None, "it is in there from the beginning"
            done[root] = python.read(facts.settings.root, [root]), pins.read(facts.settings.root, [root])
        settings = _settings(read, [one.name for one in runners], facts, conf, alone=len(groups) == 1)
        known = [task for task in read.tasks if not read.served or task.name in read.served]
        certain = root is not None and _is_there(root, paths, app)
        here = bool(read.apps or read.tasks)
        unread = [one for one in read.unreadable if not one.startswith("settings of ")]
        yield (
            app or (read.app.module if read.app else runners[0].name),
            Evidence(
                settings=settings,
                broker=facts.broker_kind or _scheme(settings, "broker_url"),
                results=_results(facts, settings),
                workers=tuple(one for one in runners if "worker" in one.found.roles),
                beats=tuple(one for one in runners if "beat" in one.found.roles),
                other_beats=bool(facts.having("beat")),
                services_known=not any("unknown" in one for one in roles),
                tasks=tuple(known if certain else _without_queues(known)),
                tasks_lack=(unread[0] if unread else "") if here else NO_CODE,
                names_known=certain,
                code_known=here,
                declared=read.queues.get(f"{read.app.module}:{read.app.variable}", ()) if read.app else (),
                bindings=read.bindings,
                caches=read.caches,
                broker_url=facts.found.broker_url,
                schedule=tuple(Entry(one.entry, one.task, f"{one.file}:{one.line}") for one in read.schedule),
                marks=done[root][0],
                pins=done[root][1],
            ),
        )


def _is_there(root: Path, paths: Sequence[Path], app: str) -> bool:
    """Whether `-A` names a module where Python looks: from another folder, tasks would have other names than seem."""
    parts = app.partition(":")[0].split(".")
    for folder in paths or (root, root / "src", *(path for path in root.iterdir() if path.is_dir())):
        for end in (len(parts), len(parts) - 1):  # the last part may be an attribute
            path = folder.joinpath(*parts[:end])
            if end and (path.is_dir() or path.with_suffix(".py").is_file()):
                return True
    return not app


def _without_queues(tasks: Iterable[FoundTask]) -> Iterator[FoundTask]:
    for task in tasks:
        yield replace(task, queue=Answer(None, "the names of tasks are not certain"))


def _settings(
    read: Code, services: Sequence[str], facts: Facts, conf: Mapping[str, Mapping[str, Any]], *, alone: bool
) -> Settings:
    app = read.app
    live = next((said for node, said in conf.items() if alone or _is_of(node, services, facts)), None)
    return Settings(
        written=app.settings if app else {},
        complete=bool(app and app.complete),
        home=f"{app.file}:{app.line}" if app else "",
        lack="" if app else NO_CODE,
        live=None if live is None else _named(live),
    )


def _named(live: Mapping[str, Any]) -> dict[str, Any]:
    """By today's names: a worker tells them as its code has them."""
    found = {}
    for name, value in live.items():
        new = setting(name, "CELERY") or setting(name)
        if new:
            found[new] = value
    return found


def _is_of(node: str, services: Sequence[str], facts: Facts) -> bool:
    return nodes.service_of(node, facts.replicas, facts.stack.services) in services


def _conf(facts: Facts) -> Mapping[str, Mapping[str, Any]]:
    """What living workers say of their settings; nothing where none does."""
    try:
        return facts.conf if facts.started else {}
    except DevctlError:  # that the broker does not answer is a check of its own
        return {}


def _results(facts: Facts, settings: Settings) -> str | None:
    if facts.found.result_url.value is not None:
        return facts.found.result_url.value
    try:
        return str(settings.get("result_backend") or "disabled://")
    except NotKnown:
        return None


def _scheme(settings: Settings, name: str) -> str:
    try:
        scheme = str(settings.get(name) or "").partition(":")[0].partition("+")[0]
    except NotKnown:
        return ""
    return {"rediss": "redis", "sentinel": "redis", "amqps": "amqp", "pyamqp": "amqp"}.get(scheme, scheme)
