"""`serve`, the whole main of a service that owns tasks."""

import os
import socket

import pytest

from celeriac import implements, serve
from shop.tasks import health_check


@implements(health_check)
def check_health(_):
    raise AssertionError("no worker runs here")


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("CELERY_", "HTTP_", "LOG_", "WORKER_", "RETRY_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_port_that_is_taken_is_one_line_and_exit_1(taken, monkeypatch, capsys):
    monkeypatch.setenv("HTTP_PORT", str(taken))

    assert 1 == serve("mails", [check_health])
    assert capsys.readouterr().err.startswith(
        f"mails cannot start: HTTP_HOST=127.0.0.1, HTTP_PORT={taken}: Address already in use"
    )


def test_its_own_port_is_taken_where_the_environment_names_none(taken, capsys):
    assert 1 == serve("mails", [check_health], http_port=taken)
    assert f"HTTP_PORT={taken}: Address already in use" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value"),
    [("HTTP_PORT", "hunter2"), ("WORKER_CONCURRENCY", "hunter2"), ("RETRY_TASKS_HEALTH_CHECK", "hunter2")],
)
def test_a_wrong_environment_is_one_line_that_names_the_variable(name, value, monkeypatch, capsys):
    monkeypatch.setenv(name, value)

    assert 1 == serve("mails", [check_health])
    out, err = capsys.readouterr()
    assert ("", 1, True, False) == (out, err.count("\n"), f"{name} is wrong" in err, "hunter2" in err)
