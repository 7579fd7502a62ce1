from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from devctl.__main__ import main
from devctl.broker.memory import MemoryBroker
from devctl.broker.port import Message
from devctl.cli import options
from devctl.contracts.catalog import Catalog
from devctl.settings import Settings
from devctl.stack.fake import FakeRuntime
from devctl.stack.model import Build, Service, Stack

SCHEMA = json.loads((Path(__file__).parents[3] / "docs/json/queues.schema.json").read_text())


class Bench:
    runtime_choice = ("fake", "a test")

    def __init__(self, folder: Path) -> None:
        (folder / "worker/src").mkdir(parents=True)
        (folder / "worker/src/handlers.py").write_text("@implements(process_order)\ndef f(): ...\n")
        services = {"redis": Service("redis"), "worker": Service("worker", build=Build(folder / "worker"))}
        self.settings = Settings(folder, folder / "docker-compose.yml", "auto", "", {})
        self.stack = Stack("x", services, "redis", ("worker",), {}, "common_tasks")
        self.runtime = FakeRuntime(self.stack)
        self.catalog = Catalog.load("common_tasks")
        self.broker = MemoryBroker(eager=False, clock=lambda: 1_000.0)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench(tmp_path)
    monkeypatch.setattr(options, "open_workbench", lambda *_: bench)
    return bench


def test_the_table_tells_what_waits_who_consumes_and_what_nobody_does(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    for node in ("worker@a-1", "worker@b-1"):
        bench.broker.add_worker(node, queues=["orders"], bodies={})
    stamped = {"published_at": 999.7}
    bench.broker.publish([Message("t", "orders", str(n), headers=stamped) for n in range(1_013)])
    bench.broker.claim(["orders"])
    bench.broker.publish([Message("t", "other", "x", headers={"published_at": 1_000.0 - 7 * 3_600})])

    assert 0 == main(["queues"])

    out = capsys.readouterr().out
    assert [
        "QUEUE          WAITING  CLAIMED  CONSUMERS  OLDEST",
        "orders           1,012        1  worker ×2    0.3s",
        "notifications        0        0  -               -  ! nobody consumes it",
        "default              0        0  -               -  ! nobody consumes it",
        "other                1        0  -            7.0h  ! nobody consumes it",
    ] == out.splitlines()


def test_the_service_to_start_is_named(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["queues"])
    assert "→ devctl up worker   to have them consumed" in capsys.readouterr().err


def test_a_queue_of_the_past_that_is_empty_is_no_warning(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.broker.publish([Message("t", "past", "1")])
    bench.broker.claim(["past"])
    bench.broker.acknowledge(bench.broker.published[0])
    main(["queues"])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("past")]
    assert "!" not in line


def test_json_is_as_documented(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.broker.add_worker("worker@a-1", queues=["orders"], bodies={})
    bench.broker.publish([Message("t", "orders", "1", headers={"published_at": 998.75})])

    assert 0 == main(["queues", "--json"])

    out, err = capsys.readouterr()
    document = json.loads(out)
    jsonschema.validate(document, SCHEMA)
    assert "" == err
    assert {
        "name": "orders",
        "waiting": 1,
        "claimed": 0,
        "oldest_seconds": 1.25,
        "consumers": ["worker@a-1"],
        "tasks": ["tasks.process_order"],
    } == document["queues"][0]


def test_a_broker_that_is_away_is_one_clear_error(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.broker.away = "the broker does not answer"
    assert 1 == main(["queues"])
    assert "✘ the broker does not answer" in capsys.readouterr().err
