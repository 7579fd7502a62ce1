"""What the code of tasks, and that which calls them, does wrong."""

from __future__ import annotations

from collections.abc import Iterator

from devctl.doctor.celery.evidence import Evidence
from devctl.doctor.celery.rule import Finding, Rule


def join_in_task(evidence: Evidence) -> Iterator[Finding]:
    """A task waits for another's result: it holds the place that the other needs."""
    for mark in evidence.of("join in a task"):
        yield Finding(
            f"{mark.text} waits for another task: Celery refuses it, and where it is allowed, workers wait for"
            " each other",
            mark.place,
        )


def async_task(evidence: Evidence) -> Iterator[Finding]:
    """An async def as a task: Celery's pools await nothing."""
    if any(pin.name.startswith(("celery-aio", "celery-pool-asyncio", "aio-celery")) for pin in evidence.pins):
        return
    for mark in evidence.of("async"):
        yield Finding(f"{mark.text} is async: Celery calls it and awaits nothing, so nothing of it runs", mark.place)


def unbound_self(evidence: Evidence) -> Iterator[Finding]:
    """A task that takes self and has no bind=True."""
    for mark in evidence.of("unbound"):
        yield Finding(f"{mark.text} takes self and is not bound: the first argument of a call becomes self", mark.place)


def bind_nothing(evidence: Evidence) -> Iterator[Finding]:
    """A task with bind=True and no parameter."""
    for mark in evidence.of("no parameter"):
        yield Finding(f"{mark.text} is bound and takes no parameter: every call fails", mark.place)


def unsent(evidence: Evidence) -> Iterator[Finding]:
    """A chain, a group or a delay that is written and never called: nothing is sent."""
    for mark in evidence.of("unsent"):
        yield Finding(f"{mark.text} is never called: nothing is sent", mark.place)


def swallowed_retry(evidence: Evidence) -> Iterator[Finding]:
    """retry() raises; caught by the same try, the task goes on, and runs again, too."""
    for mark in evidence.of("swallowed retry"):
        yield Finding(
            f"self.retry() of {mark.text} raises, and its own try catches that: the task goes on, and runs again, too",
            mark.place,
        )


def model_argument(evidence: Evidence) -> Iterator[Finding]:
    """An object of the ORM as an argument: JSON cannot hold it, pickle makes an old copy."""
    for mark in evidence.of("model"):
        pickled = evidence.settings.get("task_serializer") == "pickle"
        does = "the worker gets a copy that is old by then" if pickled else "JSON cannot hold it: the call fails"
        yield Finding(f"{mark.text} is an object of the ORM: {does}", mark.place)


def before_commit(evidence: Evidence) -> Iterator[Finding]:
    """A task is sent inside transaction.atomic: the worker may be quicker than the commit."""
    for mark in evidence.of("before commit"):
        yield Finding(
            f"{mark.text} is sent inside a transaction: the worker may run before the commit, or after a rollback",
            mark.place,
        )


def request_timeout(evidence: Evidence) -> Iterator[Finding]:
    """requests without timeout, in a task without a time limit."""
    marks = list(evidence.of("no timeout"))
    if marks and not evidence.limit():
        for mark in marks:
            yield Finding(
                f"{mark.text} without timeout, in a task without a time limit: it may wait for ever", mark.place
            )


RULES = (
    Rule("join-in-task", "problem", join_in_task, "a chain or a chord; or call the function itself"),
    Rule("async-task", "problem", async_task, "a plain function; asyncio.run(…) inside it"),
    Rule("unbound-self", "problem", unbound_self, "bind=True"),
    Rule("bind-nothing", "problem", bind_nothing, "def …(self), or without bind=True"),
    Rule("unsent", "problem", unsent, "….delay() or .apply_async()"),
    Rule("swallowed-retry", "problem", swallowed_retry, "except Retry: raise, before the other"),
    Rule("model-argument", "problem", model_argument, "pass its id, and read it in the task"),
    Rule("before-commit", "warning", before_commit, "transaction.on_commit(lambda: …delay(…))"),
    Rule("request-timeout", "warning", request_timeout, "timeout=10"),
)
