"""A command line of Celery, in all the ways people write it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devctl.discovery.celery_command import read
from devctl.discovery.model import CeleryCommand


def command(line: str, environment: Mapping[str, str] | None = None) -> CeleryCommand:
    found = read(shlex.split(line), environment or {})
    assert found is not None
    return found


@pytest.mark.parametrize(
    "line",
    [
        "celery -A proj worker -Q a,b -c 4 -P threads",
        "celery -Aproj worker -Qa,b -c4 -Pthreads",
        "celery --app proj worker --queues a,b --concurrency 4 --pool threads",
        "celery --app=proj worker --queues=a,b --concurrency=4 --pool=threads",
        "celery worker -A proj -Q a,b -c 4 -P threads",
        "celery worker -l info -A proj -E -B -Q a,b -c=4 -P threads",
        "/venv/bin/celery -A proj worker -Ofair -Q a,b -c4 -P threads --without-gossip",
        "python -m celery -A proj worker -Q a,b -c 4 -P threads",
        "python3.12 -X dev -m celery -A proj worker -Q a,b -c 4 -P threads",
        "python /venv/bin/celery -A proj worker -Q a,b -c 4 -P threads",
        "celeryd -A proj -Q a,b -c 4 -P threads",
        "celery -A proj worker -EBQ a,b -c 4 -P threads",
    ],
)
def test_the_same_worker_in_every_spelling(line: str) -> None:
    found = command(line)
    assert (found.subcommand, found.app, found.queues) == ("worker", "proj", ("a", "b"))
    assert (found.concurrency, found.pool) == (4, "threads")


@pytest.mark.parametrize(
    ("line", "subcommand"),
    [
        ("celery -A proj beat -l info --scheduler django_celery_beat.schedulers:DatabaseScheduler", "beat"),
        ("celery beat -A proj", "beat"),
        ("celery -A proj flower --port=5555", "flower"),
        ("celery --broker=redis://r:6379/0 flower", "flower"),
        ("flower -A proj --port=5555", "flower"),
        ("celery -A proj inspect ping -d celery@host", "inspect"),
        ("celery -A worker beat", "beat"),
        ("celery -A proj events", "events"),
        ("celery multi start w1 w2 -A proj -Q a", "worker"),
        ("celery multi stopwait w1 -A proj", "multi"),
        ("python manage.py celery worker -c 3", "worker"),
        ("./manage.py celerybeat", "beat"),
        ("celery --help", "help"),
    ],
)
def test_what_it_does_is_its_subcommand(line: str, subcommand: str) -> None:
    assert command(line).subcommand == subcommand


def test_other_options_are_read_too() -> None:
    found = command("celery -b amqp://b// --result-backend rpc:// --workdir /srv -A p worker -n w@%h -f l.log -X c -B")
    assert (found.broker, found.result_backend, found.workdir) == ("amqp://b//", "rpc://", "/srv")
    assert (found.hostname, found.logfile, found.excluded_queues, found.beat) == ("w@%h", "l.log", ("c",), True)


def test_what_the_command_line_leaves_out_celery_takes_from_the_environment() -> None:
    environment = {"CELERY_APP": "proj", "CELERY_WORKER_QUEUES": "a", "CELERY_WORKER_CONCURRENCY": "2"}
    found = command("celery worker", environment)
    assert (found.app, found.queues, found.concurrency) == ("proj", ("a",), 2)
    assert command("celery -A other worker -Q b", environment).app == "other"
    assert command("celery -A other worker -Q b", environment).queues == ("b",)
    assert command("celery beat", environment).queues == ()


@pytest.mark.parametrize(
    "line", ["gunicorn celery:app", "python manage.py migrate", "python -m uvicorn x", "sh x", "python"]
)
def test_another_program_is_none(line: str) -> None:
    assert read(shlex.split(line), {}) is None


@given(st.lists(st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=8), max_size=8))
def test_no_words_are_an_error(words: list[str]) -> None:
    read(words, {})
    found = read(["celery", *words], {})
    assert found is not None
    assert found.argv == ("celery", *words)


@pytest.mark.parametrize(
    ("words", "open_"),
    [
        ("celery worker ${words}", True),
        ("celery -A p worker -E $OPTIONS", True),
        ("celery worker -Q a,$MORE", True),
        ("celery worker -Q a $OPTIONS", False),
        ("celery worker -n w@$HOSTNAME -c $COUNT", False),
        ("celery beat $OPTIONS", False),
    ],
)
def test_a_worker_some_of_whose_words_nobody_can_read_may_consume_more_queues(words: str, open_: bool) -> None:
    command = read(words.split(), {})
    assert command is not None
    assert open_ == command.open
