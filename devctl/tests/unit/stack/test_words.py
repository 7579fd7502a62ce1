"""What a worker says, heard; and the file that it says it into."""

from __future__ import annotations

import pytest

from devctl.stack.model import Mount, Service
from devctl.stack.words import Listener, here, logfile

REFUSED = [
    "[2026-11-29 10:00:01,000: ERROR/MainProcess] consumer: Cannot connect to amqp://guest:**@queue:5672//: refused.",
    "Trying again in 4.00 seconds... (1/100)",
    "",
]


@pytest.mark.parametrize(
    "line",
    [
        "[2026-11-29 10:00:01,000: INFO/MainProcess] celery@31e0c5 ready.",
        "[2026-11-29 10:00:01,000: INFO/MainProcess] mail@%31e0c5 ready.",
        '{"level": "info", "message": "mail@31e0c5.local ready."}',
    ],
)
def test_ready_is_heard_in_any_format(line: str) -> None:
    listener = Listener()

    listener.listen(["starting", line], 0.0)

    assert "said that it is ready" == listener.heard.ready


def test_a_line_about_something_else_that_is_ready_does_not_count() -> None:
    listener = Listener()

    listener.listen(["the model is ready.", "mail for anna@example.org: ready. set. go."], 0.0)

    assert "" == listener.heard.ready


def test_a_refused_connection_is_trouble_until_the_next_try_is_over() -> None:
    listener = Listener()

    listener.listen(REFUSED, 0.0)
    assert listener.heard.trouble.startswith("Cannot connect to amqp://guest:**@queue:5672//")
    listener.listen(REFUSED, 5.9)
    assert listener.heard.trouble
    listener.listen(REFUSED, 6.1)
    assert "" == listener.heard.trouble, "it warns, and says nothing of a connection that it got"


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/var/log/worker.log", "/var/log/worker.log"),
        ("logs/%n%I.log", "logs/mail.log"),
        ("%p.log", "mail@box.lan.log"),
        ("%h-%d-%i-%%.log", "box.lan-lan-0-%.log"),
        ("100%.log", "100%.log"),
    ],
)
def test_the_signs_in_a_log_file_are_those_of_celery(pattern: str, path: str) -> None:
    assert path == logfile(pattern, "mail@box.lan")


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/srv/app/logs/celery.log", "/checkout/project/logs/celery.log"),
        ("/srv/app/kept/celery.log", ""),
        ("/var/log/celery.log", ""),
    ],
)
def test_a_file_of_a_container_is_here_where_a_folder_of_here_is_mounted(path: str, place: str) -> None:
    mounts = (Mount("bind", "/checkout/project", "/srv/app"), Mount("volume", "kept", "/srv/app/kept"))

    assert place == here(Service("worker", mounts=mounts), path)
