"""Each rule once: what it finds, where, and what it keeps quiet about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from devctl.discovery.model import (
    Answer,
    Binding,
    CeleryCommand,
    FoundCache,
    FoundService,
    FoundTask,
    Launch,
    Setting,
    Unreadable,
)
from devctl.doctor.celery.evidence import Entry, Evidence, Mark, Pin, Runner, Settings, spoken
from devctl.doctor.celery.rules import RULES, clean, judge
from devctl.stack.model import Service

GOOD = {
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "worker_prefetch_multiplier": 1,
    "task_time_limit": 300,
    "broker_transport_options": {"socket_timeout": 5, "visibility_timeout": 900, "confirm_publish": True},
    "worker_cancel_long_running_tasks_on_connection_loss": True,
    "task_track_started": True,
}


def settings(**changed: Any) -> Settings:
    """Those of a good app, and these; None: not set."""
    values = {key: value for key, value in {**GOOD, **changed}.items() if value is not None}
    written = {name: Setting(name, value, "app/settings.py", at) for at, (name, value) in enumerate(values.items(), 1)}
    return Settings(written, home="app/celery.py:3")


def task(name: str = "images.resize", queue: str | None = "celery", line: int = 7, **options: Any) -> FoundTask:
    return FoundTask(name, Answer(queue, ""), (), "images/tasks.py", line, "resize", options=options)


def runner(*argv: str, name: str = "jobs", replicas: int = 1, **command: Any) -> Runner:
    words = ("celery", "-A", "app", "worker", *argv)
    read = CeleryCommand(command.pop("subcommand", "worker"), words, **command)
    found = FoundService(name, ("worker",), f"compose.yml: command of {name}", Launch(words, ""), read)
    return Runner(found, Service(name, replicas=replicas))


def good(**changed: Any) -> Evidence:
    given: dict[str, Any] = {
        "settings": settings(),
        "broker": "redis",
        "results": "redis://redis/1",
        "workers": (runner(),),
        "beats": (runner(name="clock", subcommand="beat"),),
        "services_known": True,
        "tasks": (task(),),
        "tasks_lack": "",
        "names_known": True,
        "code_known": True,
        "pins": (Pin("celery", "5.4.0", bounded=True, file="requirements.txt", line=1),),
    }
    return Evidence(**{**given, **changed})


def mark(kind: Any, text: str = "resize.delay", seconds: float = 0.0) -> Evidence:
    return good(marks=(Mark(kind, "images/views.py", 9, text, seconds),))


def with_marks(evidence: Evidence, kind: Any) -> Evidence:
    return replace(evidence, marks=(Mark(kind, "images/views.py", 9, "resize"),))


def pin(name: str, version: str = "", *, bounded: bool = True) -> Evidence:
    celery = Pin("celery", "5.4.0", bounded=True, file="uv.lock", line=1)
    return good(pins=(*(() if name == "celery" else (celery,)), Pin(name, version, bounded, "requirements.txt", 2)))


def beat(*argv: str, replicas: int = 1, name: str = "clock") -> Runner:
    return runner(*argv, name=name, replicas=replicas, subcommand="beat")


AMQP = good(broker="amqp", results="rpc://")
WRONG: dict[str, list[tuple[Evidence, str, str]]] = {
    "acks-early": [
        (good(settings=settings(task_acks_late=False)), "a killed worker loses them", "app/settings.py:1"),
        (good(settings=settings(task_acks_late=None)), "tasks are acknowledged", "app/celery.py:3"),
        (
            good(settings=settings(task_acks_late=None), tasks=(task(acks_late=True), task("b"))),
            "1 of 2 tasks",
            "app/celery.py:3",
        ),
    ],
    "worker-lost": [
        (good(settings=settings(task_reject_on_worker_lost=None)), "acknowledged and lost", "app/settings.py:1"),
        (
            good(
                settings=settings(task_acks_late=None, task_reject_on_worker_lost=None), tasks=(task(acks_late=True),)
            ),
            "acknowledged and lost",
            "images/tasks.py:7",
        ),
    ],
    "reject-early": [(good(settings=settings(task_acks_late=None)), "does nothing", "app/settings.py:1")],
    "eager": [(good(settings=settings(task_always_eager=True)), "workers get nothing", "app/settings.py:8")],
    "serializer": [(good(settings=settings(task_serializer="pickle")), "discard every message", "app/settings.py:8")],
    "pickle": [
        (good(settings=settings(accept_content=["json", "pickle"])), "unpickling", "app/settings.py:8"),
        (
            good(settings=settings(accept_content=["application/x-python-serialize"])),
            "unpickling",
            "app/settings.py:8",
        ),
    ],
    "transient": [
        (replace(AMQP, settings=settings(task_default_delivery_mode=1)), "loses what waits", "app/settings.py:8")
    ],
    "publish-confirm": [
        (replace(AMQP, settings=settings(broker_transport_options=None)), "nobody waits", "app/celery.py:3")
    ],
    "publish-retry": [(good(settings=settings(task_publish_retry=False)), "first lost", "app/settings.py:8")],
    "startup-retry": [
        (good(settings=settings(broker_connection_retry_on_startup=False)), "ends", "app/settings.py:8"),
        (good(settings=settings(broker_connection_retry=False)), "ends", "app/settings.py:8"),
    ],
    "cache-shared": [
        (
            good(
                broker_url=Answer("redis://:secret@redis/0", "jobs: CELERY_BROKER_URL"),
                caches=(FoundCache("default", "redis://redis:6379?db=0", "shop/settings.py", 9),),
            ),
            "the cache 'default' is in the broker's database (redis:6379/0, jobs: CELERY_BROKER_URL): cache.clear()",
            "shop/settings.py:9",
        )
    ],
    "visibility-limit": [
        (
            good(settings=settings(task_time_limit=1000)),
            "may run 1000 s, longer than visibility_timeout (15 min)",
            "app/settings.py:4",
        ),
        (good(tasks=(task(time_limit=7200),)), "images.resize may run 2 h", "images/tasks.py:7"),
    ],
    "visibility-unlimited": [
        (good(settings=settings(task_time_limit=None)), "longer than 15 min is given", "images/tasks.py:7")
    ],
    "long-wait": [
        (mark("wait", seconds=3600), "waits 1 h: after 15 min", "images/views.py:9"),
        (good(tasks=(task(default_retry_delay=1800),)), "a retry of images.resize waits 30 min", "images/tasks.py:7"),
        (replace(mark("wait", seconds=7200), broker="amqp"), "closes the worker's channel", "images/views.py:9"),
    ],
    "consumer-timeout": [
        (replace(AMQP, tasks=(task(time_limit=7200),)), "gives it away after 30 min", "images/tasks.py:7")
    ],
    "connection-loss": [
        (
            replace(AMQP, settings=settings(worker_cancel_long_running_tasks_on_connection_loss=None)),
            "another worker runs it, too",
            "app/celery.py:3",
        )
    ],
    "beat-twice": [
        (good(beats=(beat(replicas=2),)), "clock has beat and 2 replicas", "compose.yml: command of clock"),
        (good(beats=(beat(), beat(name="timer"))), "clock, timer: each", "compose.yml: command of clock"),
    ],
    "beat-embedded": [(good(beats=(runner("-B", beat=True),)), "with a second replica", "compose.yml")],
    "queue-copies": [
        (
            good(bindings=(Binding("a", "x", "topic", "k"), Binding("b", "x", "topic", "k"))),
            "a, b take the same messages, k of the exchange x (topic): each task that is sent to one of them runs 2",
            "app/celery.py:3",
        )
    ],
    "node-name": [
        (
            good(workers=(runner(hostname="w@here"), runner(name="more", hostname="w@here"))),
            "jobs and more have one node name",
            "compose.yml: command of more",
        ),
        (good(workers=(runner(hostname="w@here", replicas=3),)), "the replicas of jobs", "compose.yml"),
    ],
    "time-limit": [
        (good(settings=settings(task_time_limit=None)), "tasks have no time limit", "app/celery.py:3"),
        (
            good(settings=settings(task_time_limit=None), tasks=(task(time_limit=5), task("b"))),
            "1 of 2 tasks have no time limit",
            "app/celery.py:3",
        ),
    ],
    "soft-limit": [
        (
            good(settings=settings(task_soft_time_limit=300)),
            "a task is killed after 5 min, before its soft limit (5 min)",
            "app/settings.py:8",
        ),
        (good(tasks=(task(time_limit=10, soft_time_limit=60),)), "images.resize is killed", "images/tasks.py:7"),
    ],
    "limit-ignored": [(good(workers=(runner(pool="threads"),)), "the threads pool of jobs", "compose.yml")],
    "prefetch": [
        (good(settings=settings(worker_prefetch_multiplier=None)), "several messages at once", "app/celery.py:3"),
        (good(settings=settings(worker_prefetch_multiplier=0)), "the whole queue", "app/settings.py:3"),
    ],
    "endless-retry": [
        (mark("endless retry", "resize"), "resize retries for ever", "images/views.py:9"),
        (good(tasks=(task(max_retries=None),)), "images.resize retries for ever", "images/tasks.py:7"),
    ],
    "retry-backoff": [(good(tasks=(task(autoretry_for="(OSError,)"),)), "the same 3 min", "images/tasks.py:7")],
    "socket-timeout": [(good(settings=settings(broker_transport_options={})), "waits for ever", "app/settings.py:5")],
    "priority": [(replace(mark("priority"), broker="amqp"), "is ignored", "images/views.py:9")],
    "beat-missing": [
        (good(settings=settings(beat_schedule={"a": {"task": "images.resize"}}), beats=()), "nothing of it", "app/")
    ],
    "beat-unknown": [
        (
            good(schedule=(Entry("nightly", "images.risize", "app/celery.py:12"),)),
            "beat sends images.risize (nightly)",
            "app/celery.py:12",
        )
    ],
    "route-unknown": [
        (good(settings=settings(task_routes={"pictures.resize": {"queue": "a"}})), "never taken", "app/settings.py:8")
    ],
    "queue-unconsumed": [
        (good(tasks=(task(queue="thumbs"),)), "no worker consumes 'thumbs': images.resize", "images/tasks.py:7"),
        (
            with_marks(good(workers=(runner(queues=("fast",)),)), "sent"),
            "no worker consumes 'celery'",
            "images/tasks.py:7",
        ),
    ],
    "results-off": [(replace(mark("join"), results="disabled://"), "no result backend", "images/views.py:9")],
    "chord-backend": [
        (replace(mark("chord"), results="disabled://"), "there is no result backend", "images/views.py:9"),
        (replace(mark("chord"), results="rpc://"), "the rpc result backend", "images/views.py:9"),
    ],
    "chord-ignored": [
        (
            with_marks(good(settings=settings(task_ignore_result=True), results="db+sqlite://"), "chord"),
            "waits for ever",
            "images/views.py:9",
        )
    ],
    "results-elsewhere": [(replace(mark("by id"), results="rpc://"), "stays PENDING", "images/views.py:9")],
    "results-amqp": [(good(results="amqp://broker//"), "no amqp result backend", "app/celery.py:3")],
    "results-endless": [(good(settings=settings(result_expires=0)), "kept for ever", "app/settings.py:8")],
    "results-cleanup": [(good(results="django-db", beats=()), "only grows", "app/celery.py:3")],
    "started-state": [
        (
            with_marks(good(settings=settings(task_track_started=None)), "started"),
            "task_track_started is off",
            "images/views.py:9",
        )
    ],
    "join-in-task": [(mark("join in a task", "resize"), "resize waits for another task", "images/views.py:9")],
    "async-task": [(mark("async", "resize"), "resize is async", "images/views.py:9")],
    "unbound-self": [(mark("unbound", "resize"), "resize takes self and is not bound", "images/views.py:9")],
    "bind-nothing": [(mark("no parameter", "resize"), "every call fails", "images/views.py:9")],
    "unsent": [(mark("unsent", "this chain"), "this chain is never called", "images/views.py:9")],
    "swallowed-retry": [(mark("swallowed retry", "resize"), "self.retry() of resize raises", "images/views.py:9")],
    "model-argument": [
        (mark("model", "user, given to resize.delay,"), "JSON cannot hold it", "images/views.py:9"),
        (
            with_marks(good(settings=settings(task_serializer="pickle", accept_content=["pickle"])), "model"),
            "a copy that is old by then",
            "images/views.py:9",
        ),
    ],
    "before-commit": [(mark("before commit"), "before the commit, or after a rollback", "images/views.py:9")],
    "request-timeout": [
        (
            with_marks(good(settings=settings(task_time_limit=None)), "no timeout"),
            "may wait for ever",
            "images/views.py:9",
        )
    ],
    "detached": [
        (good(workers=(runner("--detach"),)), "in the background", "compose.yml"),
        (good(workers=(runner(subcommand="multi"),)), "in the background", "compose.yml"),
    ],
    "logfile": [(good(workers=(runner(logfile="/var/log/celery.log"),)), "/var/log/celery.log", "compose.yml")],
    "green-driver": [
        (replace(pin("psycopg2"), workers=(runner(pool="gevent"),)), "blocks in C: with gevent", "requirements.txt:2")
    ],
    "celery-unpinned": [(pin("celery", bounded=False), "in any version", "requirements.txt:2")],
    "kombu-deaf": [(pin("kombu", "5.3.7"), "may take no more tasks", "requirements.txt:2")],
    "redis-excluded": [(pin("redis", "5.0.2"), "kombu excludes", "requirements.txt:2")],
    "celery-cve": [(pin("celery", "5.1.2"), "CVE-2021-23727", "requirements.txt:2")],
}


def found(evidence: Evidence, id_: str) -> list[tuple[str, str]]:
    (verdict,) = (one for one in judge(evidence) if one.rule.id == id_)
    return [(one.message, one.place) for one in verdict.findings]


@pytest.mark.parametrize(
    ("id_", "evidence", "words", "place"),
    [(id_, *one) for id_, cases in WRONG.items() for one in cases],
    ids=[f"{id_}-{at}" for id_, cases in WRONG.items() for at in range(len(cases))],
)
def test_a_rule_finds_what_it_is_for(id_: str, evidence: Evidence, words: str, place: str) -> None:
    said = found(evidence, id_)
    assert said, f"{id_} found nothing"
    assert any(words in message for message, _ in said), said
    assert any(where.startswith(place) for _, where in said), said


def test_every_rule_has_its_case_and_its_own_id() -> None:
    assert sorted(WRONG) == sorted(rule.id for rule in RULES)


def test_nothing_is_found_in_a_good_app() -> None:
    assert [] == [(one.rule.id, one.findings, one.unknown) for one in judge(good()) if one.findings or one.unknown]


def test_nothing_is_found_in_a_good_app_on_rabbitmq() -> None:
    assert [] == [(one.rule.id, one.findings) for one in judge(AMQP) if one.findings]


def test_a_task_that_is_only_sent_to_named_queues_does_not_wait_in_the_usual_one() -> None:
    assert [] == found(good(workers=(runner(queues=("fast",)),)), "queue-unconsumed")


def test_what_cannot_be_read_is_not_clean() -> None:
    unread = settings(task_acks_late=Unreadable('env.bool("LATE")'))
    verdicts = list(judge(good(settings=unread)))
    (early,) = (one for one in verdicts if one.rule.id == "acks-early")
    assert early.unknown is not None
    assert ("task_acks_late", 'app/settings.py:1: env.bool("LATE")') == (early.unknown.what, early.unknown.why)
    assert "acks-early" not in clean(verdicts)
    assert "pickle" in clean(verdicts)


def test_an_app_that_cannot_be_read_whole_proves_nothing_by_what_it_lacks() -> None:
    part = Settings({}, complete=False, home="app/celery.py:3")
    assert [] == [one.rule.id for one in judge(good(settings=part)) if one.findings]
    unknown = {one.unknown.what for one in judge(good(settings=part)) if one.unknown}
    assert {"task_acks_late", "accept_content", "broker_transport_options"} <= unknown


def test_without_the_code_nothing_of_it_is_clean() -> None:
    away = good(tasks=(), tasks_lack="the code is not here", code_known=False, pins=())
    verdicts = list(judge(away))
    assert {"join-in-task", "async-task", "retry-backoff", "celery-unpinned", "kombu-deaf"}.isdisjoint(clean(verdicts))
    assert {"eager", "detached", "logfile"} <= set(clean(verdicts))


def test_a_living_worker_wins_over_the_code_and_the_code_gives_the_line() -> None:
    alive = replace(settings(), live={"task_acks_late": False})
    assert [("tasks are acknowledged before they run: a killed worker loses them", "app/settings.py:1")] == found(
        good(settings=alive), "acks-early"
    )


def test_what_nobody_sets_is_celerys_default() -> None:
    assert 4 == Settings().get("worker_prefetch_multiplier")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(90, "90 s"), (300, "5 min"), (3600, "1 h"), (86_400, "24 h"), (172_800, "2 days"), (0.5, "0.5 s")],
)
def test_times_are_spoken(seconds: float, words: str) -> None:
    assert words == spoken(seconds)


@pytest.mark.parametrize(
    "bindings",
    [
        (Binding("a", "x", "direct", "k"), Binding("b", "x", "direct", "k")),  # then Celery sends to the queue itself
        (Binding("a", "x", "topic", "a"), Binding("b", "x", "topic", "b")),
        (Binding("a", "x", "topic", "k"), Binding("b", "y", "topic", "k")),
        (Binding("a", "x", "fanout", "k"), Binding("b", "x", "fanout", "k")),  # to all is what it is for
    ],
)
def test_queues_that_get_only_what_is_for_them_are_no_finding(bindings: tuple[Binding, ...]) -> None:
    assert "queue-copies" in clean(list(judge(good(bindings=bindings))))


@pytest.mark.parametrize(
    "url", ["redis://redis:6379/1", "redis://other:6379/0", "redis://redis:6380/0", "unix:///r", "redis://redis:x/0"]
)
def test_a_cache_in_a_database_of_its_own_is_no_finding(url: str) -> None:
    here = good(
        broker_url=Answer("redis://redis:6379/0", "jobs: BROKER"),
        caches=(FoundCache("default", url, "settings.py", 9),),
    )
    assert "cache-shared" in clean(list(judge(here)))


def test_what_a_worker_consumes_is_not_known_where_only_running_it_tells_its_words() -> None:
    (verdict,) = (
        one
        for one in judge(good(workers=(runner("${words}", open=True),), tasks=(task(queue="orders"),)))
        if one.rule.id == "queue-unconsumed"
    )
    assert () == verdict.findings
    assert verdict.unknown is not None
    assert "only running it tells its words" in verdict.unknown.why
