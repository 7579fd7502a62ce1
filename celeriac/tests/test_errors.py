"""Errors are stored as JSON by Celery, and pickled between the processes of a pool."""

import pickle

import pytest
from celery import Celery

from celeriac import errors
from celeriac.errors import CircuitOpen, TaskError, TransientError

KINDS = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, TaskError)]


@pytest.fixture
def app() -> Celery:
    return Celery("test", backend="cache+memory://", set_as_current=False)


@pytest.mark.parametrize("kind", KINDS)
def test_it_reaches_the_caller_as_what_it_was(kind: type[TaskError], app: Celery) -> None:
    stored = app.backend.prepare_exception(kind("the text"), "json")
    read = app.backend.exception_to_python(stored)
    assert (kind, ("the text",)) == (type(read), read.args)


@pytest.mark.parametrize("kind", [TransientError, CircuitOpen])
def test_what_is_said_by_keyword_is_no_argument(kind: type[TransientError], app: Celery) -> None:
    error = kind("busy", retry_after_seconds=30)
    assert ("busy",) == error.args
    assert ["busy"] == list(app.backend.prepare_exception(error, "json")["exc_message"])


def test_a_pool_of_processes_passes_on_what_was_said_by_keyword() -> None:
    assert 30 == pickle.loads(pickle.dumps(TransientError("busy", retry_after_seconds=30))).retry_after_seconds
