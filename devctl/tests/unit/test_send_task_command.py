from __future__ import annotations

import dataclasses
import io
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from devctl.__main__ import main
from devctl.broker.memory import MemoryBroker
from devctl.broker.port import Acceptance, TaskResult
from devctl.broker.sending import Progressed
from devctl.cli import options
from devctl.clock import FakeClock
from devctl.contracts.catalog import Catalog
from devctl.contracts.owners import owners
from devctl.logs import own
from devctl.settings import Settings
from devctl.stack.fake import Behaviour, FakeRuntime
from devctl.stack.model import Build, Service, Stack
from devctl.ui.sent import Progress

ID = "0b9d1c1e-6f0a-4a52-9d53-6c1b7f2c8a11"
DOCS = Path(__file__).parents[3] / "docs/json"


class Bench:
    """The workbench with a broker and a runtime in memory, over the contracts of this repository."""

    runtime_choice = ("fake", "a test")

    def __init__(self, folder: Path) -> None:
        owned = folder / "worker/src/worker"
        owned.mkdir(parents=True)
        (owned / "handlers.py").write_text("@implements(process_order)\ndef f(): ...\n@implements(health_check)\n")
        services = {"redis": Service("redis"), "worker": Service("worker", build=Build(folder / "worker"))}
        self.settings = Settings(folder, folder / "docker-compose.yml", "auto", "", {})
        self.stack = Stack("x", services, "redis", ("worker",), {}, "shop")
        self.runtime = FakeRuntime(self.stack, clock=FakeClock(time.time()))
        self.tasks = Catalog.load("shop")
        self.owners = owners(self.tasks, self.stack)
        self.broker = MemoryBroker()

    def work(self, **bodies: Callable[..., Any]) -> None:
        self.runtime.start("worker")
        named = {f"tasks.{name}": body for name, body in bodies.items()}
        self.broker.add_worker("worker@host-1", queues=["orders", "default"], bodies=named)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    monkeypatch.setattr(options, "open_workbench", lambda *_: bench)
    return bench


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


class Shown:
    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
        self.code = main(["send-task", *arguments])
        self.out, self.err = capsys.readouterr()

    @property
    def json(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        if document["schema"] == "devctl.send-task/1":
            jsonschema.validate(document, json.loads((DOCS / "send-task.schema.json").read_text()))
        return document


def done(payload: dict[str, Any]) -> dict[str, Any]:
    return {"status": "completed", "order_id": payload["order_id"]}


def broken(_: dict[str, Any]) -> None:
    raise LookupError("no such book")


def test_a_sample_of_the_first_contract_is_sent_off_a_terminal(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.work(process_order=done)
    shown = Shown(capsys)
    (message,) = bench.broker.published
    assert 0 == shown.code
    assert ("tasks.process_order", message.args[0]["task_id"]) == (message.task, message.task_id)
    assert f"✔ tasks.process_order  {message.task_id}  queue orders" == shown.out.splitlines()[0]
    assert "runtime  fake (a test)" == shown.err.splitlines()[0]
    assert f"devctl trace {message.task_id[:8]}" in shown.err


def test_wait_shows_the_result(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.work(process_order=done)
    shown = Shown(capsys, "process_order", "--wait")
    assert 0 == shown.code
    assert "completed" == json.loads(shown.out.splitlines()[2])["status"]


def test_wait_shows_in_lines_how_far_the_task_is(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.work(process_order=done)
    bench.broker.eager = False
    steps = [lambda one: bench.broker.says(one, 0.25), lambda one: bench.broker.says(one, 0.5, "half\x1b[2J")]
    known = bench.broker.results

    def results(task_ids: Sequence[str]) -> list[TaskResult]:
        if steps:
            steps.pop(0)(task_ids[0])
        else:
            bench.broker.work()
        return known(task_ids)

    bench.broker.results = results  # type: ignore[method-assign]  # the worker goes on with each look
    shown = Shown(capsys, "process_order", "--wait")
    assert 0 == shown.code
    assert ["  25%", "  50%  half [2J"] == [line for line in shown.err.splitlines() if "%" in line]


def test_a_timeout_says_how_far_the_task_was(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.work(process_order=done)
    bench.broker.eager = False
    known = bench.broker.results

    def results(task_ids: Sequence[str]) -> list[TaskResult]:
        bench.broker.says(task_ids[0], 0.5, "half")
        return known(task_ids)

    bench.broker.results = results  # type: ignore[method-assign]  # it runs, and does not end
    shown = Shown(capsys, "process_order", "--wait", "--timeout", "0.01")
    assert 3 == shown.code
    assert "started, no result yet · 50%: half" in shown.out
    (task,) = Shown(capsys, "process_order", "--wait", "--timeout", "0.01", "--json").json["tasks"]
    assert (0.5, "half") == (task["progress"], task["note"])


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_it_is_a_bar_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    with Progress(several=False, stream=stream) as progress:
        progress(Progressed("id", 0.25, "one"))
        progress(Progressed("id", 0.5, "a note that is longer than the line"))
    first, second, end = stream.getvalue().split("\r\x1b[2K")
    assert f"  {'█' * 5}{'░' * 15} 25%  one" == first
    assert (39, "") == (len(second), end)
    assert second.startswith(f"  {'█' * 10}{'░' * 10} 50%  a note")


def test_json_is_exactly_as_documented(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.work(process_order=done)
    document = Shown(capsys, "--wait", "--json").json
    (task,) = document["tasks"]
    assert {"schema", "tasks"} == document.keys()
    assert ["id", "name", "queue", "state", "result"] == list(task)
    assert ("tasks.process_order", "orders", "succeeded") == (task["name"], task["queue"], task["state"])
    assert {"status": "completed", "order_id": task["id"]} == task["result"]


def test_a_failed_task_shows_type_and_message(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.work(process_order=broken)
    shown = Shown(capsys, "--wait")
    assert 1 == shown.code
    assert ["✘ tasks.process_order", "  LookupError: no such book"] == [
        shown.out.splitlines()[0][:21], shown.out.splitlines()[2]
    ]  # fmt: skip
    document = Shown(capsys, "--wait", "--json")
    assert 1 == document.code
    assert {"type": "LookupError", "message": "no such book"} == document.json["tasks"][0]["error"]


def test_set_changes_the_sample(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.work(process_order=done)
    assert 0 == Shown(capsys, "process_order", "--set", "items.0.quantity=3", "--set", "customer_id=c-9").code
    (message,) = bench.broker.published
    assert (3, "c-9") == (message.args[0]["items"][0]["quantity"], message.args[0]["customer_id"])


def test_a_wrong_value_names_the_field_and_publishes_nothing(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    shown = Shown(capsys, "--set", "items.0.quantity=0")
    assert (2, "", []) == (shown.code, shown.out, bench.broker.published)
    assert [
        "✘ not published: 1 field is wrong",
        "  items.0.quantity  0  must be at least 1",
        "→ devctl tasks process_order     its fields and an example",
    ] == shown.err.splitlines()


def test_an_error_with_json_is_a_document(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    shown = Shown(capsys, "--json", "--set", "items.0.quantity=0")
    assert ("devctl.error/1", 2, 2) == (shown.json["schema"], shown.json["exit_code"], shown.code)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["proces_order"], "did you mean process_order?"),
        (["--count", "0"], "0 is not in the range"),
        (["--timeout", "nan", "--wait"], "--timeout nan must be more than 0"),
        (["--json-file", "x", "--count", "2"], "--json-file brings its own"),
        (["--json-file", "no/such/file"], "cannot read no/such/file: No such file"),
        (["--set", "itms.0=1"], "did you mean items?"),
        (["x", "--args", "[]"], "no task 'x'"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_published(
    bench: Bench, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    shown = Shown(capsys, *arguments)
    assert (2, []) == (shown.code, bench.broker.published)
    assert words in shown.err


def test_of_many_lines_with_one_bad_nothing_is_sent(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    item = {"product_id": "p", "quantity": 1}
    good = {"source_service": "t", "customer_id": "c", "items": [item], "total_amount": "1.00"}
    lines = [json.dumps(good)] * 1_000
    typed(monkeypatch, "\n".join([*lines[:416], json.dumps(good | {"items": []}), *lines[417:]]))
    shown = Shown(capsys, "--json-file", "-")
    assert (2, []) == (shown.code, bench.broker.published)
    assert "line 417: items  []  must have at least 1 entry" in shown.err

    typed(monkeypatch, "\n".join(lines))
    assert 0 == Shown(capsys, "--json-file", "-").code
    assert 1_000 == len(bench.broker.published)


def test_many_are_summed_up(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.work(process_order=broken)
    shown = Shown(capsys, "--count", "1200", "--seed", "1", "--wait")
    assert 1 == shown.code
    assert "✘ 1,200 tasks.process_order  queue orders" == shown.out.splitlines()[0]
    assert "1,200 failed" in shown.out.splitlines()[1]
    assert "  1,200 × LookupError: no such book" == shown.out.splitlines()[2]


def test_nobody_consumes_is_a_warning_with_the_service_to_start(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = Shown(capsys)
    assert (0, 1) == (shown.code, len(bench.broker.published))
    assert "! nothing consumes 'orders': the task waits until something does" in shown.err
    assert "devctl up worker" in shown.err


def test_waiting_for_a_service_that_does_not_run_ends_at_once(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    shown = Shown(capsys, "--wait", "--timeout", "60", "--json")
    assert 1 == shown.code
    assert "pending" == shown.json["tasks"][0]["state"]


def test_waiting_for_one_that_may_only_be_busy_ends_with_the_timeout(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.runtime.start("worker")
    shown = Shown(capsys, "--wait", "--timeout", "0.05")
    assert 3 == shown.code
    assert "no worker says that it consumes 'orders': worker runs, but may be starting, or busy" in shown.err
    assert "pending, no result yet" in shown.out


def test_a_worker_in_a_terminal_is_waited_for_and_none_is_advised_beside_it(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeRuntime, "in_terminal", lambda _: ["worker"])
    shown = Shown(capsys, "--wait", "--timeout", "0.05")
    assert 3 == shown.code
    assert "worker runs in a terminal (devctl run), and may be starting, busy, or stopped in a debugger" in shown.err
    assert "devctl up worker" not in shown.err


def test_a_worker_that_ends_again_and_again_is_not_said_to_run(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    services: dict[str, Service] = bench.stack.services  # type: ignore[assignment]  # the test's own dictionary
    services["worker"] = dataclasses.replace(services["worker"], restart="always")
    bench.runtime.behaviours["worker"] = Behaviour(exits_after=0, back_off=60)
    bench.runtime.start("worker")
    shown = Shown(capsys)
    assert 0 == shown.code
    assert "no worker says that it consumes 'orders': worker ends again after each start" in shown.err
    assert "→ devctl logs worker   why it ends" in shown.err


def test_a_queue_whose_owner_is_unknown_is_not_certain(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    shown = Shown(capsys, "send_notification", "--wait", "--timeout", "0.05")
    assert 3 == shown.code
    assert "no worker says that it consumes 'notifications'" in shown.err


def test_a_task_without_contract_is_sent_by_name(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.broker.add_worker("w@1", queues=["sums"], bodies={"math.add": lambda a, b: a + b})
    document = Shown(capsys, "math.add", "--args", "[1]", "--kwargs", '{"b": 2}', "--queue", "sums", "--wait", "--json")
    assert 3 == document.json["tasks"][0]["result"]


def test_a_broker_that_is_away_is_one_clear_error(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.broker.away = "the broker does not answer"
    shown = Shown(capsys)
    assert 1 == shown.code
    assert "✘ the broker does not answer" in shown.err


def test_the_times_come_from_the_log_of_the_worker(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    def logged(payload: dict[str, Any]) -> str:
        told = {"task_id": payload["task_id"], "level": "info"}
        started, ended = {"queue_seconds": 0.0009}, {"run_seconds": 0.0124}
        for more in ({"event": "task.started", **started}, {"event": "task.succeeded", **ended}):
            bench.runtime.say("worker", json.dumps(told | more))
        return "ok"

    bench.work(process_order=logged)
    assert "· waited 0.9ms · ran 12.4ms on worker-1" in Shown(capsys, "--wait").out


def test_what_was_sent_is_a_line_in_the_logs_and_a_repeat_is_none(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.work(process_order=done)
    for _ in range(2):
        Shown(capsys, "process_order", "--set", f"task_id={ID}")

    (line,) = own.file(bench.settings).read_text().splitlines()
    known = json.loads(line)
    del known["timestamp"]
    assert {
        "level": "info",
        "service": "devctl",
        "event": "task.published",
        "task": "tasks.process_order",
        "queue": "orders",
        "task_id": ID,
        "correlation_id": ID,
    } == known


def test_a_repeat_is_said_to_be_one_and_changes_nothing(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.work(process_order=done)
    arguments = ["process_order", "--set", f"task_id={ID}", "--set", f"order_id={ID}", "--seed", "1"]
    first, second = Shown(capsys, *arguments), Shown(capsys, *arguments)
    assert [0, 0] == [first.code, second.code]
    assert "published " in first.out.splitlines()[1]
    assert [f"! tasks.process_order  {ID}  queue orders", "  already published: nothing was done"] == (
        second.out.splitlines()
    )
    assert 1 == len(bench.broker.published)
    task = Shown(capsys, *arguments, "--wait", "--json").json["tasks"][0]
    assert (True, "succeeded") == (task["already_published"], task["state"])  # its result is its result still


def test_how_many_of_many_were_repeats_is_said(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.work(process_order=done)
    Shown(capsys, "--count", "3")
    payloads = [dict(one.args[0]) for one in bench.broker.published]
    payloads.append({name: value for name, value in payloads[0].items() if name not in {"task_id", "order_id"}})
    typed(monkeypatch, "\n".join(json.dumps(one) for one in payloads))
    assert "· 3 already published" in Shown(capsys, "--json-file", "-").out


def test_a_repeat_whose_message_is_gone_is_said_to_be_one(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(messages: Any) -> Acceptance:
        ids = frozenset(one.task_id for one in messages)
        return Acceptance(0.0, ids, ids)

    monkeypatch.setattr(bench.broker, "publish_once", gone)
    named = ["process_order", "--set", f"task_id={ID}", "--set", f"order_id={ID}", "--seed", "1"]
    text = f"  already published, but its message is gone: DEL celery-once-{ID} in Redis, and send it again"
    assert text == Shown(capsys, *named).out.splitlines()[1]
    assert Shown(capsys, *named, "--json").json["tasks"][0]["gone"]
    assert "· 3 of them gone (DEL celery-once-<task_id>)" in Shown(capsys, "--count", "3").out


def test_other_work_under_an_id_is_one_clear_error(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    named = ["--set", f"task_id={ID}", "--set", f"order_id={ID}", "--seed", "1"]
    Shown(capsys, *named)
    shown = Shown(capsys, *named, "--set", "customer_id=another")
    assert (1, 1) == (shown.code, len(bench.broker.published))
    assert f"✘ not published: {ID} was published before, with other content" in shown.err


def test_a_full_queue_is_one_clear_error(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.broker.queue_bound = 0
    shown = Shown(capsys)
    assert (1, 0) == (shown.code, len(bench.broker.published))
    assert "✘ not published: queue orders is full" in shown.err
