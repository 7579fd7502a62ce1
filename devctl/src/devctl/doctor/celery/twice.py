"""Work that is done twice."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from devctl.discovery.model import FoundTask
from devctl.doctor.celery.evidence import Evidence, NotKnown, place, spoken
from devctl.doctor.celery.rule import Finding, Rule

_VISIBILITY = 3600.0  # seconds, kombu's for Redis
_CONSUMER_TIMEOUT = 1800.0  # seconds, RabbitMQ's: it closes the channel of who acknowledges later


def visibility_limit(evidence: Evidence) -> Iterator[Finding]:
    """A task may run longer than visibility_timeout: a second worker runs it meanwhile."""
    if not evidence.redis:
        return
    timeout = _visibility(evidence)
    unknown: NotKnown | None = None
    for task in chain([None], evidence.all_tasks()):
        try:
            longest = evidence.limit(task)
        except NotKnown as one:
            unknown = unknown or one
            continue
        if 0 < timeout < longest:
            where = place(task) if task else evidence.settings.place("task_time_limit")
            yield Finding(
                f"{_who(task)} may run {spoken(longest)}, longer than visibility_timeout ({spoken(timeout)}): "
                "it would be given to a second worker meanwhile",
                where,
            )
            if task is None:
                return
    if unknown:
        raise unknown


def visibility_unlimited(evidence: Evidence) -> Iterator[Finding]:
    """A late task without a time limit may run longer than visibility_timeout."""
    if not evidence.redis:
        return
    timeout = _visibility(evidence)
    late = list(evidence.acknowledged_late())
    for task in evidence.all_tasks() if None in late else late:
        if not evidence.limit(task):
            where = place(task) or evidence.settings.place("task_acks_late")
            yield Finding(
                f"{_who(task)} that runs longer than {spoken(timeout)} is given to a second worker, and no time limit"
                " ends it before",
                where,
            )
            return


def long_wait(evidence: Evidence) -> Iterator[Finding]:
    """A countdown or an eta beyond visibility_timeout (Redis) or consumer_timeout (RabbitMQ)."""
    if not (evidence.redis or evidence.broker == "amqp"):
        return
    longest = _visibility(evidence) if evidence.redis else _CONSUMER_TIMEOUT
    for mark in evidence.of("wait"):
        if mark.seconds > longest:
            yield _waits(evidence, f"{mark.text} waits {spoken(mark.seconds)}", longest, mark.place)
    for task in evidence.all_tasks():
        delay = task.options.get("default_retry_delay")
        if isinstance(delay, int | float) and delay > longest:
            yield _waits(evidence, f"a retry of {task.name} waits {spoken(delay)}", longest, place(task))


def _waits(evidence: Evidence, what: str, longest: float, where: str) -> Finding:
    if evidence.redis:
        does = f"after {spoken(longest)} (visibility_timeout) a second worker has it, too: it runs more than once"
        return Finding(f"{what}: {does}", where)
    does = f"after {spoken(longest)} (consumer_timeout) RabbitMQ closes the worker's channel and returns its messages"
    return Finding(f"{what}: {does}", where, "a beat that looks for what is due, or a longer consumer_timeout")


def consumer_timeout(evidence: Evidence) -> Iterator[Finding]:
    """A late task may run longer than RabbitMQ waits for an acknowledgement."""
    if evidence.broker != "amqp":
        return
    late = list(evidence.acknowledged_late())
    for task in (*late, *(one for one in evidence.tasks if None in late and one not in late)):
        longest = evidence.limit(task)
        if longest > _CONSUMER_TIMEOUT:
            yield Finding(
                f"{_who(task)} may run {spoken(longest)}, and RabbitMQ gives it away after "
                f"{spoken(_CONSUMER_TIMEOUT)} (consumer_timeout)",
                place(task) if task else evidence.settings.place("task_time_limit"),
            )


def connection_loss(evidence: Evidence) -> Iterator[Finding]:
    """RabbitMQ returns what a lost connection held, and the worker goes on with it."""
    setting = "worker_cancel_long_running_tasks_on_connection_loss"
    if evidence.broker == "amqp" and list(evidence.acknowledged_late()) and not evidence.settings.get(setting):
        yield Finding(
            "a connection to RabbitMQ that breaks while a task runs: the task goes on, and another worker runs it, too",
            evidence.settings.place(setting),
        )


def beat_twice(evidence: Evidence) -> Iterator[Finding]:
    """Several beats, or a beat with several replicas: each sends every periodic task."""
    if _locked(evidence):
        return
    for beat in evidence.beats:
        if beat.service.replicas > 1:
            kind = "a beat in its worker (-B)" if beat.command and beat.command.subcommand == "worker" else "beat"
            yield Finding(
                f"{beat.name} has {kind} and {beat.service.replicas} replicas: each sends every periodic task",
                beat.found.source,
            )
    if len(evidence.beats) > 1:
        names = ", ".join(one.name for one in evidence.beats)
        yield Finding(
            f"{names}: each runs a beat of the same app, and sends every periodic task", evidence.beats[0].found.source
        )


def beat_embedded(evidence: Evidence) -> Iterator[Finding]:
    """A beat in a worker (-B) is scaled with it."""
    for beat in evidence.beats:
        embedded = beat.command is not None and beat.command.subcommand == "worker"
        if embedded and beat.service.replicas == 1 and not _locked(evidence):
            yield Finding(
                f"{beat.name} has the beat in its worker (-B): with a second replica, each periodic task is sent twice",
                beat.found.source,
            )


def node_name(evidence: Evidence) -> Iterator[Finding]:
    """Two workers with one node name: Celery tells nodes apart by nothing else."""
    seen: dict[str, str] = {}
    for worker in evidence.workers:
        name = worker.command.hostname if worker.command else ""
        if "@" not in name or "%" in name.partition("@")[2] or "$" in name:
            continue
        if name in seen or worker.service.replicas > 1:
            both = f"{seen[name]} and {worker.name}" if name in seen else f"the replicas of {worker.name}"
            yield Finding(
                f"{both} have one node name, {name}: control commands, mingle and Flower take them for one",
                worker.found.source,
            )
        seen[name] = worker.name


def queue_copies(evidence: Evidence) -> Iterator[Finding]:
    """Queues of one topic exchange with one routing key: a message for one of them goes into all."""
    shared: dict[tuple[str, str], list[str]] = {}
    for one in evidence.bindings:
        if one.kind == "topic":
            shared.setdefault((one.exchange, one.key), []).append(one.queue)
    for (exchange, key), queues in shared.items():
        if len(queues) > 1:
            yield Finding(
                f"{', '.join(queues)} take the same messages, {key} of the exchange {exchange} (topic): "
                f"each task that is sent to one of them runs {len(queues)} times",
                evidence.settings.place("task_queues"),
                fix=f'Queue("{queues[0]}", …, routing_key="{queues[0]}"), and so on; or an exchange of the type direct',
            )


def _visibility(evidence: Evidence) -> float:
    value = evidence.settings.transport("visibility_timeout")
    return float(value) if isinstance(value, int | float) else _VISIBILITY


def _locked(evidence: Evidence) -> bool:
    """Whether several beats agree on who sends."""
    schedulers = [one.option("-S", "--scheduler") for one in evidence.beats]
    text = " ".join([*schedulers, str(evidence.settings.get("beat_scheduler") or "")])
    return "redbeat" in text.lower()


def _who(task: FoundTask | None) -> str:
    return task.name if task else "a task"


_LONGER = 'broker_transport_options = {"visibility_timeout": …}, above it'
RULES = (
    Rule("visibility-limit", "problem", visibility_limit, _LONGER),
    Rule("visibility-unlimited", "warning", visibility_unlimited, "task_time_limit, below visibility_timeout"),
    Rule("long-wait", "problem", long_wait, _LONGER),
    Rule("consumer-timeout", "problem", consumer_timeout, "consumer_timeout of RabbitMQ above the time limit"),
    Rule(
        "connection-loss",
        "warning",
        connection_loss,
        "worker_cancel_long_running_tasks_on_connection_loss = True, or tasks that may run twice",
    ),
    Rule("beat-twice", "problem", beat_twice, "one beat, in one replica"),
    Rule("beat-embedded", "warning", beat_embedded, "a service of its own: celery -A … beat"),
    Rule("queue-copies", "problem", queue_copies, "a routing_key of its own for each queue"),
    Rule("node-name", "warning", node_name, "-n NAME@%h"),
)
