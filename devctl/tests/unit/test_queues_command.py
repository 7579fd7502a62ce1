from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import jsonschema
import pytest

from celeriac.dead_letter.letters import Letter
from devctl.__main__ import main
from devctl.broker.memory import MemoryBroker
from devctl.broker.overview import overview
from devctl.broker.port import Message, QueueDepth
from devctl.cli import options
from devctl.contracts.catalog import Catalog
from devctl.contracts.owners import owners
from devctl.errors import DevctlError
from devctl.settings import Settings
from devctl.stack.fake import FakeRuntime
from devctl.stack.model import Build, Service, Stack
from devctl.stack.port import Replica
from devctl.ui import queues as ui

DOCS = Path(__file__).parents[3] / "docs/json"
SCHEMA = json.loads((DOCS / "queues.schema.json").read_text())


class Bench:
    runtime_choice = ("fake", "a test")

    def __init__(self, folder: Path) -> None:
        (folder / "worker/src").mkdir(parents=True)
        (folder / "worker/src/handlers.py").write_text("@implements(process_order)\ndef f(): ...\n")
        services = {"redis": Service("redis"), "worker": Service("worker", build=Build(folder / "worker"))}
        self.settings = Settings(folder, folder / "docker-compose.yml", "auto", "", {})
        self.stack = Stack("x", services, "redis", ("worker",), {}, "shop")
        self.runtime = FakeRuntime(self.stack)
        self.tasks = Catalog.load("shop")
        self.owners = owners(self.tasks, self.stack)
        self.broker = MemoryBroker(eager=False, clock=lambda: 1_000.0)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench(tmp_path)
    monkeypatch.setattr(options, "open_workbench", lambda *_: bench)
    return bench


def _bury(bench: Bench, count: int, queue: str = "orders") -> None:
    for n in range(count):
        bench.broker.bury(Letter(f"{queue}/1-{n}", queue, "permanent", 1.0, 0, raw=b""))


def test_the_table_tells_what_waits_who_consumes_and_what_nobody_does(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    for node in ("worker@a-1", "worker@b-1"):
        bench.broker.add_worker(node, queues=["orders"], bodies={})
    stamped = {"published_at": 999.7}
    bench.broker.publish([Message("t", "orders", str(n), headers=stamped) for n in range(1_013)])
    bench.broker.claim(["orders"])
    bench.broker.delay(Message("t", "orders", "d"))
    _bury(bench, 2)
    bench.broker.publish([Message("t", "other", "x", headers={"published_at": 1_000.0 - 7 * 3_600})])

    assert 0 == main(["queues"])

    out = capsys.readouterr().out
    assert [
        "QUEUE          WAITING  CLAIMED  DELAYED  DEAD  CONSUMERS  OLDEST",
        "orders           1,012        1        1     2  worker ×2    0.3s",
        "notifications        0        0        0     0  -               -  ! no worker consumes it",
        "default              0        0        0     0  -               -  ! no worker consumes it",
        "other                1        0        0     0  -            7.0h  ! no worker consumes it",
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


def test_a_worker_that_runs_and_does_not_answer_yet_is_no_missing_one(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.runtime.start("worker")

    assert 0 == main(["queues"])

    out, err = capsys.readouterr()
    (line,) = [line for line in out.splitlines() if line.startswith("orders")]
    assert line.endswith("! worker runs, but does not answer: it may be connecting, or busy")
    assert "devctl up worker" not in err


def test_a_queue_with_too_many_dead_letters_says_so_and_where_to_look(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.broker.dead_bound = 3
    bench.broker.add_worker("worker@a", queues=["orders", "default"], bodies={})
    _bury(bench, 3)

    assert 0 == main(["queues"])

    out, err = capsys.readouterr()
    row = "orders               0        0        0     3  worker ×1       -"
    assert f"{row}  ! stopped: too many dead letters" in out.splitlines()
    assert "→ devctl dead-letters list   what died, and why" in err


def test_expired_claims_are_shown_and_only_restore_returns_them(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.broker.publish([Message("t", "orders", str(n)) for n in range(2)])
    for _ in range(2):
        message = bench.broker.claim(["orders"])
        assert message is not None
        bench.broker.abandon(message)

    for _ in range(2):  # a look changes nothing
        assert 0 == main(["queues"])
        out, err = capsys.readouterr()
        assert "orders               0        2        0     0" in out
        assert "! 2 expired claims, and no worker returns them" in err.splitlines()
        assert "→ devctl restore   return to the queue what its dead worker had claimed" in err.splitlines()

    assert 0 == main(["restore"])
    assert "✔ returned 2 expired claims to the queue\n" == capsys.readouterr().out
    assert 0 == main(["restore", "--json"])
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, json.loads((DOCS / "restore.schema.json").read_text()))
    assert {"schema": "devctl.restore/1", "restored": 0} == document
    assert 0 == main(["restore"])
    assert "✔ no expired claims\n" == capsys.readouterr().out
    assert 0 == main(["queues"])
    assert "expired" not in capsys.readouterr().err


def test_watch_looks_again_until_ctrl_c(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([None, None])

    def sleep(_seconds: float) -> None:
        if next(looks, "over") == "over":
            raise KeyboardInterrupt
        bench.broker.publish([Message("t", "orders", "x")])

    monkeypatch.setattr("devctl.ui.live.sleep", sleep)

    with pytest.raises(SystemExit) as ended:
        main(["queues", "--watch"])

    assert 130 == ended.value.code
    waiting = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("orders")]
    assert ["0", "1", "2"] == waiting


def test_watch_goes_on_when_the_broker_is_away_for_a_while(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    away = DevctlError("Redis does not answer")
    turns = iter([away, None])
    queues = bench.broker.queues

    def sleep(_seconds: float) -> None:
        if (turn := next(turns, "over")) == "over":
            raise KeyboardInterrupt
        monkeypatch.setattr(bench.broker, "queues", Mock(side_effect=turn) if turn else queues)

    monkeypatch.setattr("devctl.ui.live.sleep", sleep)

    with pytest.raises(SystemExit):
        main(["queues", "--watch"])

    out, err = capsys.readouterr()
    assert 2 == out.count("orders ")
    assert "✘ Redis does not answer" in err


def test_on_a_narrow_terminal_warnings_stand_below_and_no_line_breaks(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    bench.broker.dead_bound = 1
    _bury(bench, 1)
    monkeypatch.setenv("NO_COLOR", "1")

    def lines(columns: str) -> list[str]:
        monkeypatch.setenv("COLUMNS", columns)
        stream = Terminal()
        names = ["orders", "notifications", "default"]
        tasks = [("t", name) for name in names]
        ui.show(overview(bench.broker.queues(names), [], tasks), stream)
        return stream.getvalue().splitlines()

    assert all(len(line) <= 80 for line in lines("80"))
    assert [
        "! orders: stopped: too many dead letters; no worker consumes it",
        "! notifications, default: no worker consumes it",
    ] == lines("80")[-2:]
    assert 4 == len(lines("140"))


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
        "delayed": 0,
        "dead": 0,
        "stopped": False,
        "paused": False,
        "oldest_seconds": 1.25,
        "consumers": ["worker@a-1"],
        "services": {"worker": 1},
        "silent": 0,
        "dead_letters_to": "",
        "tasks": ["tasks.process_order"],
        "unknown_tasks": [],
    } == document["queues"][0]


def test_a_broker_that_is_away_is_one_clear_error(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.broker.away = "the broker does not answer"
    assert 1 == main(["queues"])
    assert "✘ the broker does not answer" in capsys.readouterr().err


def test_the_queue_of_devctl_bench_is_shown_only_while_it_holds_something(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.broker.add_worker("worker@a-1", queues=["orders", "bench"], bodies={})
    bench.broker.publish([Message("tasks.bench", "bench", "1")])
    main(["queues"])
    assert "left by devctl bench" in capsys.readouterr().out
    bench.broker.work()
    main(["queues"])
    assert "bench" not in capsys.readouterr().out


def test_of_stock_celery_there_is_no_column_of_dead_letters_and_nodes_have_their_services(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.broker.celeriac, bench.broker.returned = False, "somebody gives them back"
    bench.runtime.start("worker")
    bench.runtime.status = lambda: [Replica("worker", "worker-1", "running", hostname="f3a9")]  # type: ignore[method-assign]  # a stub
    for node in ("celery@f3a9", "celery@elsewhere"):
        bench.broker.add_worker(node, queues=["orders"], bodies={})
    bench.broker.delay(Message("t", "orders", "d"))

    assert 0 == main(["queues"])

    out, err = capsys.readouterr()
    assert "QUEUE          WAITING  CLAIMED  DELAYED  CONSUMERS                       OLDEST" == out.splitlines()[0]
    assert "orders               0        0        1  celery@elsewhere ×1, worker ×1       -" == out.splitlines()[1]
    assert "a worker has them in its memory until they are due" in err
    assert 0 == main(["restore"])
    assert "nothing to restore: somebody gives them back\n" == capsys.readouterr().out


def test_what_a_broker_does_not_tell_is_no_number_and_is_said(
    bench: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    depth = QueueDepth("orders", 2, None, consumers=3, dead_letters_to="orders.dead")
    monkeypatch.setattr(bench.broker, "queues", lambda names: [depth])
    bench.broker.celeriac, bench.broker.blind = False, "claims are not told here"

    assert 0 == main(["queues"])

    out, err = capsys.readouterr()
    assert "orders        2        ?        0  ×3 that did not answer       -" == out.splitlines()[1]
    assert "! claims are not told here" in err.splitlines()
    assert "  orders: what a worker rejects goes to orders.dead" in err.splitlines()
    assert 0 == main(["queues", "--json"])
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, SCHEMA)
    assert (None, 3, "claims are not told here") == (
        document["queues"][0]["claimed"],
        document["queues"][0]["silent"],
        document["unseen"],
    )


def test_a_paused_queue_is_told_with_the_command_that_resumes_it(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.broker.add_worker("worker@a-1", queues=["orders"], bodies={})
    bench.broker.pause("orders")

    assert 0 == main(["queues"])

    ran = capsys.readouterr()
    (line,) = [one for one in ran.out.splitlines() if one.startswith("orders")]
    assert line.endswith("! paused: no worker takes from it")
    assert "→ devctl queues resume orders   have it consumed again" in ran.err


def test_tasks_that_no_worker_of_their_queue_knows_are_named_with_what_to_do(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.broker.add_worker("worker@a-1", queues=["orders"], bodies={"tasks.known": print})
    bench.broker.add_worker("worker@b-1", queues=["other"], bodies={"tasks.x": print})
    sent = [*["tasks.x"] * 3, *["tasks.known"] * 16, "celery.backend_cleanup", *["tasks.x"] * 5]
    bench.broker.publish([Message(task, "orders", str(n)) for n, task in enumerate(sent)])

    assert 0 == main(["queues"])
    err = capsys.readouterr().err
    assert "! orders: no worker there knows tasks.x (3 of the 20 oldest messages)" in err.splitlines()
    assert 1 == err.count("no worker there knows")
    assert "which worker knows which task" in err
    assert "devctl up --build worker" in err

    assert 0 == main(["queues", "--json"])
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, SCHEMA)
    told = {one["name"]: one["unknown_tasks"] for one in document["queues"]}
    assert [{"task": "tasks.x", "waiting": 3, "dead": 0}] == told["orders"]
    assert [] == told["other"]


@pytest.mark.parametrize("more", [{"tasks.x": print}, {}], ids=["another one knows it", "one has not told"])
def test_a_task_that_a_worker_of_its_queue_may_know_is_no_warning(
    more: dict[str, Any], bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.broker.add_worker("worker@a-1", queues=["orders"], bodies={"tasks.known": print})
    bench.broker.add_worker("worker@b-1", queues=["orders"], bodies=more)
    bench.broker.publish([Message("tasks.x", "orders", "1")])
    assert 0 == main(["queues"])
    assert "knows tasks.x" not in capsys.readouterr().err


def test_what_died_because_its_task_was_unknown_is_named(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.broker.add_worker("worker@a-1", queues=["orders", "other"], bodies={"tasks.known": print})
    reasons = ["unknown-task", "permanent"]
    for n, reason in enumerate(reasons):
        bench.broker.bury(Letter(f"orders/1-{n}", "orders", reason, 1.0, 0, task="tasks.x", raw=b""))
    bench.broker.bury(Letter("other/1-0", "other", "unknown-task", 1.0, 0, task="tasks.x", raw=b""))
    bench.broker.publish([Message("tasks.x", "other", "1")])

    assert 0 == main(["queues"])
    err = capsys.readouterr().err.splitlines()
    assert "! orders: tasks.x was not known there (1 of the 2 newest dead letters)" in err
    both = "no worker there knows tasks.x (the oldest message), and some died of it (the newest dead letter)"
    assert f"! other: {both}" in err
    assert any("devctl dead-letters list" in line for line in err)
