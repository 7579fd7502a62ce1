"""Logs of somebody else: one task by its id, its level and its time, whatever the format."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import pytest

from devctl.logs.order import Order
from devctl.logs.parse import parse
from devctl.logs.ran import Ran, find
from devctl.logs.selection import Selection, wanted
from devctl.stack.port import LogLine
from devctl.ui.logs import Page

ID = "0190b3c2-1111-4222-8333-abcdefabcdef"
OTHER = "7f1e0000-1111-5222-8333-abcdefabcdef"
TRACEBACK = ["Traceback (most recent call last):", '  File "/app/tasks.py", line 9, in resize', "OSError: no space"]


def line(text: str, number: int = 0) -> LogLine:
    return LogLine("worker", "worker-1", text, 1000 + number / 1000)


def shown(texts: list[str], identity: str = ID, level: str | None = None) -> list[str]:
    asked = wanted(since=None, level=level, grep=None, identity=identity)
    order, selection = Order(), Selection(asked)
    for number, text in enumerate(texts):
        selection.learn(order.add(line(text, number)))
    return ["\n".join(entry.lines) for entry in order.release() if selection.wants(entry)]


FORMATS = {
    "celery": (
        "[2026-11-23 10:15:02,123: INFO/MainProcess] Task images.resize[{id}] received",
        "info",
        datetime(2026, 11, 23, 10, 15, 2, 123_000).astimezone().timestamp(),
    ),
    "celery, a task's own line": (
        "[2026-11-23 10:15:02,123: WARNING/ForkPoolWorker-1] images.resize[{id}]: the disk is nearly full",
        "warning",
        datetime(2026, 11, 23, 10, 15, 2, 123_000).astimezone().timestamp(),
    ),
    "celery, its format changed": ("Task images.resize[{id}] raised unexpected: OSError('no space')", "error", None),
    "python-json-logger": (
        '{{"asctime": "2026-11-23 10:15:02,123", "levelname": "ERROR", "message": "Task images.resize[{id}] failed"}}',
        "error",
        datetime(2026, 11, 23, 10, 15, 2, 123_000, tzinfo=UTC).timestamp(),
    ),
    "structlog, JSON": (
        '{{"task": "images.resize", "celery_task": {{"id": "{id}"}}, "event": "resized", "level": "warning"}}',
        "warning",
        None,
    ),
    "JSON without a message": ('{{"ts": 1700000000.5, "severity": "WARN", "taskId": "{id}"}}', "warning", 1700000000.5),
    "structlog, console": (
        "2026-11-23T10:15:02.123000Z [warning  ] resized                        task_id={id} width=200",
        "warning",
        datetime(2026, 11, 23, 10, 15, 2, 123_000, tzinfo=UTC).timestamp(),
    ),
    "logfmt": (
        'time=2026-11-23T10:15:02Z level=error msg="no \\"space\\" left" task_id={id}',
        "error",
        datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC).timestamp(),
    ),
    "loguru": (
        "2026-11-23 10:15:02.123 | SUCCESS  | app.tasks:resize:12 - resized {id}",
        "info",
        datetime(2026, 11, 23, 10, 15, 2, 123_000).astimezone().timestamp(),
    ),
    "loguru, JSON": (
        (
            '{{"record": {{"message": "m", "level": {{"name": "ERROR"}}, "time": {{"timestamp": 1.5}},'
            ' "extra": {{"t": "{id}"}}}}}}'
        ),
        "error",
        1.5,
    ),
    "ECS": (
        '{{"@timestamp": "2026-11-23T10:15:02Z", "log": {{"level": "error"}}, "message": "m", "t": {{"id": "{id}"}}}}',
        "error",
        datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC).timestamp(),
    ),
    "pino": (
        '{{"level": 40, "time": 1700000000500, "pid": 1, "hostname": "web", "taskId": "{id}", "msg": "slow"}}',
        "warning",
        1700000000.5,
    ),
    "python": ("ERROR:app.tasks:cannot resize {id}", "error", None),
    "python, with a time": (
        "2026-11-23 10:15:02,123 - app.tasks - ERROR - cannot resize {id}",
        "error",
        datetime(2026, 11, 23, 10, 15, 2, 123_000).astimezone().timestamp(),
    ),
    "gunicorn": (
        "[2026-11-23 10:15:02 +0000] [7] [INFO] asked for {id}",
        "info",
        datetime(2026, 11, 23, 10, 15, 2, tzinfo=UTC).timestamp(),
    ),
    "rabbitmq": (
        "2026-11-23 10:15:02.123456+00:00 [error] <0.684.0> closing connection of {id}",
        "error",
        datetime(2026, 11, 23, 10, 15, 2, 123_456, tzinfo=UTC).timestamp(),
    ),
    "nginx": (
        "2026/11/23 10:15:02 [error] 29#29: upstream timed out: GET /results/{id}",
        "error",
        datetime(2026, 11, 23, 10, 15, 2).astimezone().timestamp(),
    ),
    "flower": (
        "[W 261123 10:15:02 inspector:42] no answer about {id}",
        "warning",
        datetime(2026, 11, 23, 10, 15, 2).astimezone().timestamp(),
    ),
    "anything": ("resized picture of task {id}, 200 wide", "", None),
}


@pytest.mark.parametrize(("text", "level", "time"), FORMATS.values(), ids=FORMATS.keys())
def test_a_task_is_found_by_its_id_with_its_level_and_its_time(text: str, level: str, time: float | None) -> None:
    mine, other = text.format(id=ID), text.format(id=OTHER)
    assert [mine] == shown([other, mine])
    assert [mine] == shown([other, mine], ID[:8])
    entry = parse(LogLine("worker", "worker-1", mine))
    assert (level, time) == (entry.level, entry.time)


@pytest.mark.parametrize(
    "head", [text for text, level, _ in FORMATS.values() if level == "error" and "rec" not in text]
)
def test_a_traceback_stays_with_the_line_that_has_the_id(head: str) -> None:
    mine = [head.format(id=ID), *TRACEBACK]
    after = "[2026-11-23 10:15:09,123: INFO/MainProcess] Task images.resize[x] received"
    assert ["\n".join(mine)] == shown(["INFO before", *mine, after])
    assert ["\n".join(mine)] == shown([*mine, after], level="error")


def test_the_traceback_after_a_json_line_is_shown_under_it() -> None:
    order = Order()
    for number, text in enumerate([json.dumps({"level": "error", "message": "failed", "id": ID}), *TRACEBACK]):
        order.add(line(text, number))
    stream = io.StringIO()
    (entry,) = order.release()
    Page(["worker"], stream).write(entry)
    assert ["OSError: no space"] == [one[-17:] for one in stream.getvalue().splitlines()[-1:]]


def test_a_few_letters_are_no_id_unless_they_are_the_whole_of_it() -> None:
    lines = ["Task images.resize[12] received", "Task images.resize[1234] received", "took 0.12 s"]
    assert lines[:1] + lines[2:] == shown(lines, "12")
    assert [] == shown(["Task images.resize[a0190b3c2] received"], "0190b3c2")


@pytest.mark.parametrize(
    "text", ["a=b", "the answer: x=1 level high", "GET /?level=3&msg=4 HTTP/1.1", "level= =", "x=1"]
)
def test_prose_with_an_equals_sign_is_no_logfmt(text: str) -> None:
    assert not parse(LogLine("s", "s-1", text)).structured


class Runtime:
    """Has these lines in its logs."""

    def __init__(self, *lines: str) -> None:
        self._lines = [LogLine("worker", "worker-2", text) for text in lines]

    def logs(self, *_: object, **__: object) -> Runtime:
        return self

    def __enter__(self) -> list[LogLine]:
        return self._lines

    def __exit__(self, *_: object) -> None: ...


@pytest.mark.parametrize(
    ("text", "ran"),
    [
        (
            f"[…: INFO/ForkPoolWorker-1] Task images.resize[{ID}] succeeded in 0.512s: None",
            Ran(None, 0.512, "worker-2"),
        ),
        (f"[…: ERROR/ForkPoolWorker-1] Task images.resize[{ID}] raised unexpected: X()", Ran(None, None, "worker-2")),
        (f"Task images.resize[{OTHER}] succeeded in 0.512s: '{ID[:7]}'", None),
    ],
)
def test_celerys_own_lines_say_how_long_a_task_ran_and_where(text: str, ran: Ran | None) -> None:
    assert ran == find(Runtime("other", text), ["worker"], ID, 0, sleep=lambda _: None)  # type: ignore[arg-type]  # it has what find asks for
