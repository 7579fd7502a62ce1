"""Results that nobody can read, or that are kept for ever."""

from __future__ import annotations

from collections.abc import Iterator

from devctl.doctor.celery.evidence import Evidence
from devctl.doctor.celery.rule import Finding, Rule

_TABLES = ("db+", "django-db", "database")
_KEPT = ("redis", "rediss", "sentinel", *_TABLES)


def results_off(evidence: Evidence) -> Iterator[Finding]:
    """A result is asked for, and there is no result backend."""
    if evidence.results != "disabled://":
        return
    for mark in evidence.of("join", "join in a task", "by id"):
        yield Finding("there is no result backend: this call fails, or waits for ever", mark.place)
        return


def chord_backend(evidence: Evidence) -> Iterator[Finding]:
    """A chord without a result backend, or with rpc://."""
    lacks = {"disabled://": "no result backend", "rpc": "the rpc result backend"}
    scheme = evidence.results if evidence.results == "disabled://" else (evidence.results or "").partition(":")[0]
    if scheme in lacks:
        for mark in evidence.of("chord"):
            yield Finding(f"a chord needs results that are stored, and there is {lacks[scheme]}: it fails", mark.place)
            return


def chord_ignored(evidence: Evidence) -> Iterator[Finding]:
    """A chord whose results are ignored waits for ever (not on Redis)."""
    marks = list(evidence.of("chord"))
    scheme = (evidence.results or "").partition(":")[0]
    if not marks or evidence.results is None or scheme in ("redis", "rediss", "sentinel", "disabled", "rpc"):
        return
    if evidence.settings.get("task_ignore_result"):
        yield Finding("results are ignored: a chord waits for ever for those of its header", marks[0].place)


def results_elsewhere(evidence: Evidence) -> Iterator[Finding]:
    """rpc:// gives each result once, to the process that sent the task; others ask in vain."""
    if not (evidence.results or "").startswith("rpc"):
        return
    for mark in evidence.of("by id"):
        yield Finding(
            "with rpc:// only the process that sent a task can read its result, once: asked by id, it stays PENDING",
            mark.place,
        )
        return


def results_amqp(evidence: Evidence) -> Iterator[Finding]:
    """Celery 5 has no amqp result backend any more."""
    old = any(pin.name == "celery" and pin.numbers and pin.numbers < (5,) for pin in evidence.pins)
    if (evidence.results or "").startswith(("amqp", "pyamqp")) and not old:
        yield Finding(
            "Celery 5 has no amqp result backend: the first call of a task fails",
            evidence.settings.place("result_backend"),
        )


def results_endless(evidence: Evidence) -> Iterator[Finding]:
    """With result_expires off, results fill the store."""
    if not (evidence.results or "").startswith(_KEPT) or evidence.settings.get("task_ignore_result"):
        return
    if evidence.settings.get("result_expires") in (None, 0, False):
        yield Finding("result_expires is off: every result is kept for ever", evidence.settings.place("result_expires"))


def results_cleanup(evidence: Evidence) -> Iterator[Finding]:
    """In a database a task of beat removes old results; without a beat, nobody does."""
    if not (evidence.results or "").startswith(_TABLES) or not evidence.services_known:
        return
    if evidence.beats or evidence.other_beats:
        return
    if not evidence.settings.get("task_ignore_result"):
        yield Finding(
            "results are stored in a table, and without a beat nobody removes old ones: it only grows",
            evidence.settings.place("result_backend"),
        )


def started_state(evidence: Evidence) -> Iterator[Finding]:
    """The code asks for the state STARTED, and task_track_started is off."""
    marks = list(evidence.of("started"))
    if not marks or evidence.settings.get("task_track_started"):
        return
    if any(task.options.get("track_started") for task in evidence.tasks):
        return
    yield Finding("no task is ever in the state STARTED: task_track_started is off", marks[0].place)


RULES = (
    Rule("results-off", "problem", results_off, "result_backend = …"),
    Rule("chord-backend", "problem", chord_backend, "result_backend: Redis, or a database"),
    Rule("chord-ignored", "problem", chord_ignored, "ignore_result=False for the tasks of a chord's header"),
    Rule("results-elsewhere", "problem", results_elsewhere, "result_backend: Redis, or a database"),
    Rule("results-amqp", "problem", results_amqp, "result_backend: Redis, a database, or rpc://"),
    Rule("results-endless", "warning", results_endless, "result_expires = 86400"),
    Rule("results-cleanup", "warning", results_cleanup, "a service with celery -A … beat, or task_ignore_result"),
    Rule("started-state", "warning", started_state, "task_track_started = True"),
)
