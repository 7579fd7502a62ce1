"""The body of a plain task, as a task thread calls it."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from celery.exceptions import WorkerShutdown, WorkerTerminate

from celeriac.outcome.commit import NotCommitted
from celeriac.soft_limit import limited


def failure_of(error: BaseException) -> Exception:
    """What is stored of an error that is no Exception."""
    return error if isinstance(error, Exception) else RuntimeError(f"{type(error).__name__}: {error}")


def interruptible(run: Callable[..., Any]) -> Callable[..., Any]:
    """A task's `run` for Celery's tracer. A soft limit can interrupt it. SystemExit and its like, which the tracer lets
    pass, are a failure: a thread cannot end as a process does, and the caller is to be told."""

    @wraps(run)
    def called(*args: Any, **kwargs: Any) -> Any:
        try:
            return limited(run, *args, **kwargs)
        except BaseException as exc:
            if isinstance(exc, Exception | WorkerShutdown | WorkerTerminate | NotCommitted):
                raise
            raise failure_of(exc) from exc

    called.limits = run  # type: ignore[attr-defined]  # a mark for the runner
    return called
