"""Work that waits for nothing, or for longer than it must."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from itertools import chain

from devctl.discovery.model import Unreadable
from devctl.doctor.celery.evidence import Evidence, NotKnown, place, spoken
from devctl.doctor.celery.rule import Finding, Rule

_UNENFORCED = {"threads", "solo", "eventlet"}
_SLOW = 60.0  # seconds: a task that a neighbour would be glad not to wait for


def time_limit(evidence: Evidence) -> Iterator[Finding]:
    """A task that hangs holds a place in its worker for ever."""
    unlimited = [task for task in evidence.tasks if not evidence.limit(task)]
    if (evidence.tasks and evidence.tasks_known and not unlimited) or evidence.limit():
        return
    if not evidence.tasks:
        if evidence.tasks_known:
            return
        raise NotKnown("all tasks", evidence.tasks_lack)
    some = len(unlimited) < len(evidence.tasks)
    who = f"{len(unlimited)} of {len(evidence.tasks)} tasks have" if some else "tasks have"
    yield Finding(
        f"{who} no time limit: one that hangs holds its place in the worker until somebody kills it",
        evidence.settings.place("task_time_limit"),
    )


def soft_limit(evidence: Evidence) -> Iterator[Finding]:
    """A soft limit that is not below the hard one never comes."""
    for task in chain([None], evidence.all_tasks()):
        if task is None:
            soft, hard = (evidence.settings.get(f"task_{kind}time_limit") for kind in ("soft_", ""))
            where = evidence.settings.place("task_soft_time_limit")
        else:
            soft, hard = (evidence.option(task, f"{kind}time_limit") for kind in ("soft_", ""))
            where = place(task)
        if isinstance(soft, int | float) and isinstance(hard, int | float) and 0 < hard <= soft:
            who = task.name if task else "a task"
            yield Finding(
                f"{who} is killed after {spoken(hard)}, before its soft limit ({spoken(soft)}) lets it clean up", where
            )


def limit_ignored(evidence: Evidence) -> Iterator[Finding]:
    """Time limits in a pool that ends no task: threads, solo, eventlet."""
    if not evidence.limit() and not any(evidence.limit(task) for task in evidence.tasks):
        return
    for worker in evidence.workers:
        pool = worker.command.pool if worker.command else ""
        if pool in _UNENFORCED:
            yield Finding(f"the {pool} pool of {worker.name} ends no task at its time limit", worker.found.source)


def prefetch(evidence: Evidence) -> Iterator[Finding]:
    """What a busy worker has taken in advance, an idle one cannot run."""
    if evidence.settings.claims:
        return
    taken = evidence.settings.get("worker_prefetch_multiplier")
    options = [one.option("--prefetch-multiplier") for one in evidence.workers]
    if options and all(options):
        taken = max(int(one) if one.isdigit() else 4 for one in options)
    if taken == 1 or evidence.settings.get("worker_disable_prefetch"):
        return
    where = evidence.settings.place("worker_prefetch_multiplier")
    if taken == 0:
        yield Finding("one worker takes the whole queue at once, and the others get nothing", where)
    elif list(evidence.acknowledged_late()) or evidence.limit() >= _SLOW:
        again = ", and run twice when their time is up" if evidence.redis else ""
        yield Finding(f"a worker takes several messages at once: those behind a slow task wait{again}", where)


def endless_retry(evidence: Evidence) -> Iterator[Finding]:
    """With max_retries=None, what never works is tried for ever."""
    for mark in evidence.of("endless retry"):
        yield Finding(f"{mark.text} retries for ever (max_retries=None)", mark.place)
    for task in evidence.all_tasks():
        if "max_retries" in task.options and task.options["max_retries"] is None:
            yield Finding(f"{task.name} retries for ever (max_retries=None)", place(task))


def retry_backoff(evidence: Evidence) -> Iterator[Finding]:
    """autoretry_for without retry_backoff: what failed together comes back together."""
    for task in evidence.all_tasks():
        if "autoretry_for" not in task.options or task.options.get("retry_backoff"):
            continue
        given = task.options.get("retry_kwargs")
        if isinstance(given, Unreadable) or (isinstance(given, str) and "countdown" not in given):
            continue  # what they are, only running the code would tell
        delay = task.options.get("default_retry_delay", 180)
        if given:
            inner = given.get("countdown", delay) if isinstance(given, Mapping) else delay
            delay = inner if isinstance(inner, int | float) else delay
        if not isinstance(delay, int | float):
            continue
        yield Finding(
            f"{task.name} retries each time after the same {spoken(delay)}: what failed together returns together",
            place(task),
        )


def socket_timeout(evidence: Evidence) -> Iterator[Finding]:
    """A Redis that is paused answers nobody, and who publishes waits."""
    if evidence.broker == "redis" and not evidence.settings.transport("socket_timeout"):
        yield Finding(
            "no socket_timeout: with a paused Redis, whoever publishes waits for ever",
            evidence.settings.place("broker_transport_options"),
        )


def priority(evidence: Evidence) -> Iterator[Finding]:
    """priority= on RabbitMQ, where no queue was declared with priorities."""
    if evidence.broker != "amqp":
        return
    marks = list(evidence.of("priority"))
    if not marks or evidence.settings.get("task_queue_max_priority"):
        return
    if evidence.settings.get("task_queues"):
        raise NotKnown("task_queues", evidence.settings.place("task_queues"))
    yield Finding("priority= is ignored: no queue was declared with priorities", marks[0].place)


def beat_missing(evidence: Evidence) -> Iterator[Finding]:
    """A beat_schedule, and no service that runs a beat."""
    if evidence.beats or evidence.other_beats or not evidence.services_known:
        return
    written = evidence.settings.written.get("beat_schedule")
    if evidence.schedule or (written is not None and written.value):
        yield Finding(
            "there is a beat_schedule, and no service of the Compose file runs a beat: nothing of it is ever sent",
            evidence.schedule[0].place if evidence.schedule else evidence.settings.place("beat_schedule"),
        )


def beat_unknown(evidence: Evidence) -> Iterator[Finding]:
    """A beat_schedule names a task that nobody has: workers discard it."""
    for entry in evidence.schedule:
        if meant := _misspelt(evidence, entry.task):
            yield Finding(
                f"beat sends {entry.task} ({entry.name}), and no task has this name: workers discard it",
                entry.place,
                f"did you mean {meant}?",
            )


def route_unknown(evidence: Evidence) -> Iterator[Finding]:
    """task_routes names a task that nobody has."""
    routes = evidence.settings.get("task_routes") or {}
    if not isinstance(routes, Mapping):
        return
    for name in routes:
        if isinstance(name, str) and not set(name) & set("*?[") and (meant := _misspelt(evidence, name)):
            yield Finding(
                f"task_routes has {name}, and no task has this name: the route is never taken",
                evidence.settings.place("task_routes"),
                f"did you mean {meant}?",
            )


def queue_unconsumed(evidence: Evidence) -> Iterator[Finding]:
    """Tasks are sent to a queue that no worker takes from."""
    if not evidence.workers or not evidence.services_known:
        return
    consumed: set[str] = set()
    for worker in evidence.workers:
        if worker.command is None:
            raise NotKnown(f"the queues of {worker.name}", worker.found.source)
        if worker.command.open:
            raise NotKnown(f"the queues of {worker.name}", f"{worker.found.source}: only running it tells its words")
        consumed |= {*worker.command.queues} or _usual(evidence)
    usual = str(evidence.settings.get("task_default_queue") or "celery")
    sent = {mark.text for mark in evidence.of("sent")} | {one.task for one in evidence.schedule}
    waiting: dict[str, list[str]] = {}
    for task in evidence.tasks:
        if task.queue.value == usual and not {task.name, task.function} & sent:
            continue  # whoever sends it may say another queue
        if task.queue.value is not None and task.queue.value not in consumed:
            waiting.setdefault(task.queue.value, []).append(task.name)
    for queue, names in waiting.items():
        what = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
        one = next(task for task in evidence.tasks if task.name == names[0])
        yield Finding(
            f"no worker consumes '{queue}': {what} would wait there for ever",
            place(one),
            f"-Q …,{queue} in the command of {evidence.workers[0].name}",
        )


def _usual(evidence: Evidence) -> set[str]:
    """The queues that a worker without -Q consumes."""
    if evidence.declared:
        return {*evidence.declared}
    queues = evidence.settings.get("task_queues")
    if queues:
        if isinstance(queues, Mapping):
            return set(queues)
        raise NotKnown("task_queues", evidence.settings.place("task_queues"))
    return {str(evidence.settings.get("task_default_queue") or "celery")}


def _misspelt(evidence: Evidence, name: str) -> str:
    """The task that was surely meant by a name that no task has; "" where nothing is sure."""
    names = [task.name for task in evidence.tasks]
    if not (evidence.tasks_known and evidence.names_known) or name in names or name.startswith("celery."):
        return ""
    same = [one for one in names if one.rpartition(".")[2] == name.rpartition(".")[2]]
    if len(same) == 1:
        return same[0]
    return next(iter(difflib.get_close_matches(name, names, n=1, cutoff=0.85)), "")


RULES = (
    Rule("time-limit", "warning", time_limit, "task_time_limit = 300, or as long as the longest needs"),
    Rule("soft-limit", "warning", soft_limit, "task_soft_time_limit below task_time_limit"),
    Rule("limit-ignored", "warning", limit_ignored, "the prefork pool, or a timeout of its own in the task"),
    Rule("prefetch", "warning", prefetch, "worker_prefetch_multiplier = 1"),
    Rule("endless-retry", "warning", endless_retry, "a number: max_retries=10"),
    Rule("retry-backoff", "warning", retry_backoff, "retry_backoff=True"),
    Rule("socket-timeout", "warning", socket_timeout, 'broker_transport_options = {"socket_timeout": 5, …}'),
    Rule("priority", "warning", priority, "task_queue_max_priority = 10, and a new queue"),
    Rule("beat-missing", "problem", beat_missing, "a service with celery -A … beat"),
    Rule("beat-unknown", "problem", beat_unknown, "the name of a task: devctl tasks"),
    Rule("route-unknown", "warning", route_unknown, "the name of a task: devctl tasks"),
    Rule("queue-unconsumed", "problem", queue_unconsumed, "-Q in the command of a worker"),
)
