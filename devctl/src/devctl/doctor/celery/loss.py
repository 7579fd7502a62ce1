"""Work that is lost."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

from devctl.doctor.celery.evidence import Evidence, NotKnown, place
from devctl.doctor.celery.rule import Finding, Rule

_PICKLE = {"pickle", "application/x-python-serialize"}
_SHORT = {"application/json": "json", "application/x-python-serialize": "pickle", "application/x-yaml": "yaml"}


def acks_early(evidence: Evidence) -> Iterator[Finding]:
    """A worker that is killed loses what it runs: tasks are acknowledged before they run."""
    explicit = [task.options.get("acks_late") is True for task in evidence.tasks]
    if evidence.settings.get("task_acks_late"):
        return
    if explicit and all(explicit):
        if not evidence.tasks_known:
            raise NotKnown("all tasks", evidence.tasks_lack)
        return
    late = sum(explicit)
    who = f"{len(explicit) - late} of {len(explicit)} tasks" if late else "tasks"
    yield Finding(
        f"{who} are acknowledged before they run: a killed worker loses them",
        evidence.settings.place("task_acks_late"),
    )


def worker_lost(evidence: Evidence) -> Iterator[Finding]:
    """A late task whose process alone dies (SIGKILL, out of memory) is acknowledged as failed."""
    if evidence.workers and "prefork" not in evidence.pools and not evidence.settings.claims:
        return  # no processes of a pool
    for task in evidence.acknowledged_late():
        if task is None:
            safe = evidence.settings.get("task_reject_on_worker_lost")
            where = evidence.settings.place("task_acks_late")
        else:
            safe = evidence.option(task, "reject_on_worker_lost", "task_reject_on_worker_lost")
            where = place(task)
        if not safe:
            yield Finding("a task whose process dies (out of memory, SIGKILL) is acknowledged and lost", where)
            return  # once is enough: the setting mends all


def reject_early(evidence: Evidence) -> Iterator[Finding]:
    """task_reject_on_worker_lost works only for tasks that are acknowledged late."""
    if evidence.settings.get("task_reject_on_worker_lost") and not list(evidence.acknowledged_late()):
        yield Finding(
            "task_reject_on_worker_lost does nothing without late acknowledgement",
            evidence.settings.place("task_reject_on_worker_lost"),
        )


def eager(evidence: Evidence) -> Iterator[Finding]:
    """With task_always_eager, the caller runs the task and no worker gets it."""
    if evidence.settings.get("task_always_eager"):
        yield Finding(
            "task_always_eager: whoever calls a task runs it, workers get nothing",
            evidence.settings.place("task_always_eager"),
        )


def serializer(evidence: Evidence) -> Iterator[Finding]:
    """task_serializer is not among accept_content: workers refuse what is sent."""
    accepted = _names(evidence.settings.get("accept_content") or ["json"])
    used = _name(evidence.settings.get("task_serializer") or "json")
    if used not in accepted:
        yield Finding(
            f"task_serializer is {used}, and workers accept {', '.join(sorted(accepted))} alone: "
            "they discard every message",
            evidence.settings.place("task_serializer"),
        )


def pickle(evidence: Evidence) -> Iterator[Finding]:
    """Workers that accept pickle run whatever the sender likes."""
    accepted = evidence.settings.get("accept_content") or ["json"]
    if "pickle" in _names(accepted):
        yield Finding(
            "workers accept pickle: unpickling runs whatever the sender likes",
            evidence.settings.place("accept_content"),
        )


def transient(evidence: Evidence) -> Iterator[Finding]:
    """RabbitMQ keeps a message over a restart only where it is persistent."""
    mode = evidence.settings.get("task_default_delivery_mode")
    if evidence.broker == "amqp" and mode in (1, "1", "transient"):
        yield Finding(
            "messages are transient: a restart of RabbitMQ loses what waits",
            evidence.settings.place("task_default_delivery_mode"),
        )


def publish_confirm(evidence: Evidence) -> Iterator[Finding]:
    """RabbitMQ says that it has a message only to who asks (confirm_publish)."""
    if evidence.broker == "amqp" and not evidence.settings.transport("confirm_publish"):
        yield Finding(
            "nobody waits until RabbitMQ has a message: what is sent while it stops is lost without an error",
            evidence.settings.place("broker_transport_options"),
        )


def publish_retry(evidence: Evidence) -> Iterator[Finding]:
    """With task_publish_retry off, a short outage of the broker is an error of the caller."""
    if evidence.settings.get("task_publish_retry") is False:
        yield Finding(
            "task_publish_retry is off: a call of delay() fails at the first lost connection",
            evidence.settings.place("task_publish_retry"),
        )


def startup_retry(evidence: Evidence) -> Iterator[Finding]:
    """A worker that does not find its broker at once ends."""
    for name in ("broker_connection_retry_on_startup", "broker_connection_retry"):
        if evidence.settings.get(name) is False:
            yield Finding(f"{name} is off: a worker that does not find its broker ends", evidence.settings.place(name))


def cache_shared(evidence: Evidence) -> Iterator[Finding]:
    """A cache of Django in the broker's Redis database: cache.clear() empties the database, queues included."""
    broker = _database(evidence.broker_url.value or "")
    for one in evidence.caches:
        if broker is not None and _database(one.url) == broker:
            host, port, number = broker
            yield Finding(
                f"the cache {one.name!r} is in the broker's database ({host}:{port}/{number}, "
                f"{evidence.broker_url.source}): cache.clear() removes what waits in the queues",
                f"{one.file}:{one.line}",
            )


def _database(url: str) -> tuple[str, int, str] | None:
    """Host, port and number of a database of Redis; None for any other URL, and one that cannot be read."""
    try:
        parts = urlsplit(url)
        port = parts.port or 6379
    except ValueError:
        return None
    if parts.scheme not in ("redis", "rediss", "valkey", "valkeys") or not parts.hostname:
        return None
    number = parse_qs(parts.query).get("db", [parts.path.strip("/") or "0"])[0]
    return parts.hostname, port, number


def _name(serializer: object) -> str:
    return _SHORT.get(str(serializer), str(serializer))


def _names(value: Any) -> Collection[str]:
    if isinstance(value, str):
        return {_name(value)}
    if not isinstance(value, list | tuple | set | frozenset):
        raise NotKnown("accept_content", str(value))
    return {_name(one) for one in value}


RULES = (
    Rule("acks-early", "problem", acks_early, "task_acks_late = True, and tasks that may run twice"),
    Rule("worker-lost", "problem", worker_lost, "task_reject_on_worker_lost = True"),
    Rule("reject-early", "warning", reject_early, "task_acks_late = True"),
    Rule("eager", "problem", eager, "only in tests: task_always_eager = False"),
    Rule("serializer", "problem", serializer, "accept_content with that of task_serializer"),
    Rule("pickle", "problem", pickle, 'accept_content = ["json"]'),
    Rule("transient", "problem", transient, 'task_default_delivery_mode = "persistent"'),
    Rule("publish-confirm", "warning", publish_confirm, 'broker_transport_options = {"confirm_publish": True}'),
    Rule("publish-retry", "warning", publish_retry, "task_publish_retry = True"),
    Rule("startup-retry", "warning", startup_retry, "broker_connection_retry_on_startup = True"),
    Rule("cache-shared", "warning", cache_shared, "another database for the cache: redis://HOST:6379/2"),
)
