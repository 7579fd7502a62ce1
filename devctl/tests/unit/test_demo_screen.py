"""The demo's timeline: what a row says, and that it fits the screen."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from types import SimpleNamespace

import pytest

from devctl.broker.memory import MemoryBroker
from devctl.contracts.catalog import Catalog
from devctl.demo.events import Answered, Begun, Started
from devctl.demo.journey import Journey, Note, Span
from devctl.demo.sample import Sample
from devctl.stack.model import Service, Stack
from devctl.stack.report import ServiceStart, StartReport
from devctl.ui import demo
from devctl.ui.demo import remark
from devctl.ui.paint import Paint
from devctl.ui.units import milliseconds

ORDER = Span("worker", "tasks.process_order", "a", published=0.001, started=0.002, ended=0.014, state="succeeded")
NOTICE = Span("service2", "tasks.send_notification", "b", 0.013, 0.015, 0.016, "succeeded")
REQUEST = Note("service1", "http.request", 0.005, {"status": 202})
JOURNEY = Journey((ORDER, NOTICE), (REQUEST,))


class Utf8(io.StringIO):
    encoding = "utf-8"


class Ascii(io.StringIO):
    encoding = "ascii"


def rows(journey: Journey, notes: Mapping[str, str], width: int, stream: io.StringIO | None = None) -> list[str]:
    stream = stream or Utf8()
    return demo.rows(journey, notes, width, Paint(stream), stream)


def test_the_publisher_comes_first_then_a_row_for_each_task() -> None:
    services = [line.split()[0] for line in rows(JOURNEY, {}, 80)]
    assert ["service1", "worker", "service2"] == services


def test_a_row_says_how_long_a_task_waited_and_ran() -> None:
    assert "wait 1.0ms · run 12.0ms" in rows(JOURNEY, {}, 80)[1]


def test_a_note_stands_at_the_end_of_its_services_row() -> None:
    assert rows(JOURNEY, {"service2": "EMAIL delivered"}, 80)[2].endswith("EMAIL delivered")


def test_every_row_fits_80_columns_with_its_indent() -> None:
    lines = rows(JOURNEY, {"service2": "EMAIL to c…1 delivered"}, 80)
    assert [] == [line for line in lines if len(line) + 2 > 80]


def test_a_note_for_which_a_row_has_no_room_stands_below_it() -> None:
    lines = rows(JOURNEY, {"service2": "a remark that is longer than the row has room for"}, 80)
    assert [] == [line for line in lines if len(line) + 2 > 80]
    assert "a remark that is longer than the row has room for" == lines[-1].strip()


def test_what_is_told_of_a_step_is_folded_between_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Utf8()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(demo, "talk", lambda: SimpleNamespace(width=40))
    story = demo.Story(stream)
    story(Begun("start", "every service"))
    services = tuple(ServiceStart(name, "ready", seconds=1.5) for name in ("redis", "service1", "service2", "worker"))
    story(Started(StartReport("local", services, 2.0)))
    written = re.sub(r"\x1b\[\d+m", "", stream.getvalue())
    assert "1 start    ✔ redis 1.5s · service1 1.5s\n             service2 1.5s · worker 1.5s\n" == written


def test_bars_are_to_scale_and_never_empty() -> None:
    order, notice = rows(JOURNEY, {}, 80)[1:]
    assert order.count("█") > 5 * notice.count("█") > 0


def test_a_task_that_has_not_ended_says_so() -> None:
    running = Journey((Span("worker", "tasks.process_order", "a", 0.001, 0.002, None, "running"),))
    assert "process_order: running" in rows(running, {}, 80)[1]


def test_a_remark_names_kind_recipient_and_what_happened() -> None:
    note = Note("service2", "notification.delivered", 0.02, {"notification_type": "EMAIL", "recipient": "c…1"})
    assert "EMAIL to c…1 delivered" == remark(note)


def test_durations_have_a_digit_where_it_matters() -> None:
    assert ["0.8ms", "12.4ms", "240ms", "1.3s"] == [milliseconds(s) for s in (0.0008, 0.0124, 0.24, 1.31)]


def test_a_terminal_without_utf8_gets_ascii() -> None:
    assert [] == [line for line in rows(JOURNEY, {}, 80, Ascii()) if not line.isascii()]


def test_a_task_that_devctl_published_itself_has_a_row_for_its_run_and_none_for_a_publisher() -> None:
    alone = Journey((Span("worker", "tasks.health_check", "a", None, 0.002, 0.014, "succeeded"),))
    (row,) = rows(alone, {}, 80)
    assert row.startswith("worker  run 12.0ms")


def test_a_task_of_any_kind_is_what_comes_next() -> None:
    stack = Stack("x", {name: Service(name) for name in ("redis", "worker")}, "redis", ("worker",), {}, "shop")
    for kept in (True, False):
        assert "publish a task" in [why for _, why in demo._next_steps(stack, "", kept=kept)]


def test_the_order_of_a_stack_that_is_kept_can_be_traced() -> None:
    stack = Stack("x", {name: Service(name) for name in ("redis", "worker")}, "redis", ("worker",), {}, "shop")
    order = "0190b3c2-aaaa-4000-8000-000000000001"

    assert ("devctl trace 0190b3c2 --stack demo", "its way, to scale") == demo._next_steps(stack, order, kept=True)[0]
    assert not any("trace" in command for command, _ in demo._next_steps(stack, order, kept=False))


def test_without_a_request_in_the_compose_file_the_first_contract_is_sent() -> None:
    broker = MemoryBroker()
    sample = Sample.of(Catalog.load("shop"))
    answer = sample.send(broker)
    assert "tasks.process_order → orders" == str(sample)
    assert {"task": "tasks.process_order", "queue": "orders"} == sample.document()
    assert {"task_id": answer.correlation_id} == answer.body
    assert [1] == [one.waiting for one in broker.queues(["orders"])]
    stream = Utf8()
    demo.Story(stream)(Answered(sample, answer))
    assert "tasks.process_order → orders in " in stream.getvalue()
    assert f"task {answer.correlation_id}" in stream.getvalue()
