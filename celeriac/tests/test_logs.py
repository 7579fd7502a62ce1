import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from celeriac import correlation, logs
from celeriac.events import emit, own_events
from celeriac.redaction import redact


class Output(io.StringIO):
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Iterator[Output]:
    """The stdout of a service that logs as JSON."""
    root = logging.getLogger()
    handlers, level, filters = root.handlers[:], root.level, {}
    for name in ("celery.app.trace", "celery.worker.strategy"):
        filters[name] = logging.getLogger(name).filters[:]
    out = Output()
    monkeypatch.setattr(sys, "stdout", out)
    logs.configure("service1", "INFO", "json")
    yield out
    root.handlers[:], root.level = handlers, level
    for name, kept in filters.items():
        logging.getLogger(name).filters[:] = kept
    logging.captureWarnings(False)
    structlog.reset_defaults()


def test_ours_and_every_librarys_events_are_lines_of_one_shape(output: Output) -> None:
    structlog.get_logger("x").info("order.taken", items=2)
    logging.getLogger("library").warning("slow: %d ms", 70)
    emit("task.started", queue_seconds=0.1)
    assert [
        {"level": "info", "service": "service1", "event": "order.taken", "items": 2},
        {"level": "warning", "service": "service1", "event": "slow: 70 ms"},
        {"level": "info", "service": "service1", "event": "task.started", "queue_seconds": 0.1},
    ] == [{name: value for name, value in line.items() if name != "timestamp"} for line in output.lines()]


def test_times_are_utc_with_microseconds(output: Output) -> None:
    structlog.get_logger().info("now")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", output.lines()[0]["timestamp"])


def test_a_traceback_is_a_field_of_its_line(output: Output) -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger().exception("ours")
        logging.getLogger("library").exception("theirs")
    assert ["ours", "theirs"] == [line["event"] for line in output.lines()]
    assert all("ValueError: broken" in line["exception"] for line in output.lines())


def test_the_level_is_that_of_the_environment(output: Output) -> None:
    structlog.get_logger().debug("not shown")
    logging.getLogger("library").debug("not shown")
    assert [] == output.lines()


def test_the_correlation_id_that_is_bound_is_in_every_line(output: Output) -> None:
    with correlation.bind("c-1"):
        structlog.get_logger().info("ours")
        logging.getLogger("library").info("theirs")
    structlog.get_logger().info("after")
    assert ["c-1", "c-1", None] == [line.get("correlation_id") for line in output.lines()]


def test_a_field_of_the_event_wins_over_the_context(output: Output) -> None:
    with correlation.bind("c-1"):
        emit("task.published", correlation_id="c-2")
    assert "c-2" == output.lines()[0]["correlation_id"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://:hunter2@h:6379/0", "redis://***@h:6379/0"),
        ("redis://user:hunter2@h/0 and rediss://u:hunter2@i/1", "redis://***@h/0 and rediss://***@i/1"),
        ("sentinel://:hunter2@a:1;sentinel://:hunter2@b:2", "sentinel://***@a:1;sentinel://***@b:2"),
        ("redis://:hun@ter2@h/0", "redis://***@h/0"),
        ("http://h/path?mail=a@b", "http://h/path?mail=a@b"),
        ("mail a@b", "mail a@b"),
    ],
)
def test_the_password_of_an_address_is_hidden(text: str, shown: str) -> None:
    assert shown == redact(text)


def test_a_planted_secret_is_in_no_line_whoever_logs_it(output: Output) -> None:
    url = "redis://user:hunter2@host:6379/0"
    structlog.get_logger().warning(f"cannot reach {url}", url=url, nested={"urls": [url]})
    logging.getLogger("library").error("cannot reach %s", url)
    try:
        raise ConnectionError(url)
    except ConnectionError:
        structlog.get_logger().exception("failed")
    assert 3 == len(output.lines())
    assert "hunter2" not in output.getvalue()


def test_celery_is_silent_about_tasks_that_tell_their_own_events(output: Output) -> None:
    own_events.add("tasks.told")
    trace = logging.getLogger("celery.app.trace")
    for name in ("tasks.told", "tasks.plain"):
        trace.info("Task %(name)s succeeded", {"name": name}, extra={"data": {"name": name}})
    assert ["Task tasks.plain succeeded"] == [line["event"] for line in output.lines()]


def test_a_console_gets_columns_not_json(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", output)  # pytest has put its own there since
    logs.configure("service1", "INFO", "console")
    structlog.get_logger().info("order.taken", items=2)
    text = output.getvalue()
    assert "order.taken" in text
    assert "items=2" in text
    assert "\x1b[" not in text  # not a terminal
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


def test_nothing_is_said_before_the_logs_are_configured(capsys: pytest.CaptureFixture[str]) -> None:
    emit("task.failed", level=logging.ERROR)
    assert ("", "") == tuple(capsys.readouterr())


def test_binding_ends_with_its_block_and_a_new_id_is_made_where_none_is_given() -> None:
    with correlation.bind("outer"):
        with correlation.bind() as made:
            assert made == correlation.current()
            assert 32 == len(made)
        assert "outer" == correlation.current()
    assert correlation.current() is None


def test_a_message_is_stamped_with_the_bound_id_else_with_its_own_else_with_a_new_one() -> None:
    own: dict[str, Any] = {correlation.HEADER: "own"}
    correlation.stamp(own)
    new: dict[str, Any] = {}
    correlation.stamp(new)
    with correlation.bind("bound"):
        bound: dict[str, Any] = {correlation.HEADER: "own"}
        correlation.stamp(bound)
    assert ("own", 32, "bound") == (own[correlation.HEADER], len(new[correlation.HEADER]), bound[correlation.HEADER])
