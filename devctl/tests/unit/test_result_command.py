"""devctl result, over the broker in memory."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from celeriac.dead_letter.letters import Letter
from devctl.__main__ import main
from devctl.broker.memory import MemoryBroker
from devctl.broker.port import Holder, Message, TaskResult
from devctl.cli import options
from devctl.settings import Settings

SCHEMA = json.loads((Path(__file__).parents[3] / "docs/json/result.schema.json").read_text())
ID, OTHER = "0b9d1c1e-6f0a-4a52-9d53-6c1b7f2c8a11", "0b9d1c1e-ffff-4a52-9d53-6c1b7f2c8a11"


class Bench:
    runtime_choice = ("fake", "a test")

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(folder, folder / "docker-compose.yml", "auto", "", {})
        self.broker = MemoryBroker()

    def run(self, body: Callable[..., Any], task_id: str = ID) -> None:
        self.broker.add_worker("worker@1", queues=["orders"], bodies={"tasks.x": body})
        self.broker.publish_once([Message("tasks.x", "orders", task_id)])


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench(tmp_path)
    monkeypatch.setattr(options, "open_workbench", lambda *_: bench)
    return bench


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def said(*arguments: str) -> tuple[int, str, str]:
        code = main(["result", *arguments])
        out, err = capsys.readouterr()
        if "--json" in arguments and code != 2 and "devctl.error" not in out:
            jsonschema.validate(json.loads(out), SCHEMA)
        return code, out, err

    return said


def test_a_result_is_found_by_the_beginning_of_its_id(bench: Bench, said: Any) -> None:
    bench.run(lambda: {"total": "39.90"})

    for given in (ID, ID[:8], ID[:8] + "…"):
        code, out, _ = said(given)
        assert 0 == code
        assert [f"✔ {ID}  succeeded", '  {"total": "39.90"}'] == out.splitlines()
    code, out, _ = said(ID[:8], "--json")
    assert ("succeeded", {"total": "39.90"}, "done") == tuple(
        json.loads(out)[name] for name in ("state", "result", "published")
    )


def test_a_failure_is_its_error_and_exit_1(bench: Bench, said: Any) -> None:
    def fails() -> None:
        raise ValueError("no such product")

    bench.run(fails)
    code, out, err = said(ID)

    assert 1 == code
    assert [f"✘ {ID}  failed", "  ValueError: no such product"] == out.splitlines()
    assert f"→ devctl logs --id {ID[:8]}   what the services say of it" in err
    assert {"type": "ValueError", "message": "no such product"} == json.loads(said(ID, "--json")[1])["error"]


def test_one_that_waits_is_pending_and_one_that_runs_has_started(bench: Bench, said: Any) -> None:
    bench.broker.publish_once([Message("tasks.x", "orders", ID)])

    code, out, err = said(ID)
    assert (0, f"· {ID}  pending: published, and not done yet\n") == (code, out)
    assert "devctl logs --id" in err
    bench.broker._results[ID] = TaskResult(ID, "started")
    assert f"● {ID}  started: it runs now\n" == said(ID)[1]
    bench.broker.says(ID, 0.4, "resized 4 of 10")
    assert [f"● {ID}  started: it runs now", f"  {'█' * 8}{'░' * 12} 40%: resized 4 of 10"] == said(ID)[1].splitlines()
    assert (0.4, "resized 4 of 10") == tuple(json.loads(said(ID, "--json")[1])[one] for one in ("progress", "note"))
    bench.broker._results[ID] = TaskResult(ID, "retrying", error_type="Unreachable", error_message="shop")
    assert [f"● {ID}  retrying, after this error", "  Unreachable: shop"] == said(ID)[1].splitlines()


def test_a_dead_letter_says_why_and_where_it_is(bench: Bench, said: Any) -> None:
    letter = Letter("orders/1764165837123-0", "orders", "unknown-task", time.time(), 10, task_id=ID)
    bench.broker.bury(letter)

    code, out, err = said(ID[:8])

    assert 1 == code
    assert f"✘ {ID}  failed: a dead letter (unknown-task)\n" == out
    assert "→ devctl dead-letters show orders/1764165837123-0" in err
    document = json.loads(said(ID, "--json")[1])
    assert {"id": letter.id, "reason": "unknown-task"} == document["dead_letter"]


def test_what_nobody_knows_is_exit_1_and_says_why_that_may_be(bench: Bench, said: Any) -> None:
    code, out, err = said("0190b3c2")

    assert (1, "") == (code, out)
    assert "nothing is known of a task 0190b3c2" in err
    assert "CELERY_RESULT_EXPIRES" in err
    assert "devctl logs --id 0190b3c2" in err


def test_a_beginning_of_several_ids_and_one_that_is_too_short_are_usage_errors(bench: Bench, said: Any) -> None:
    bench.run(lambda: 1)
    bench.run(lambda: 2, OTHER)

    code, _, err = said(ID[:8])
    assert 2 == code
    assert "is the beginning of 2 ids" in err
    assert ID in err
    assert OTHER in err
    assert 0 == said(OTHER)[0]
    assert 2 == said("0b9")[0]


def test_of_stock_celery_the_worker_that_has_it_says_so(bench: Bench, said: Any) -> None:
    bench.broker.celeriac = False
    bench.broker.holders = {ID: Holder("celery@a", runs=False), OTHER: Holder("celery@b", runs=True)}

    assert (0, f"● {ID}  pending: celery@a has it in memory\n") == said(ID)[:2]
    assert (0, f"● {OTHER}  pending: celery@b runs it now\n") == said(OTHER)[:2]
    assert {"node": "celery@b", "runs": True} == json.loads(said(OTHER, "--json")[1])["worker"]


def test_of_stock_celery_the_queue_says_that_it_waits_or_whose_worker_is_gone(bench: Bench, said: Any) -> None:
    bench.broker.celeriac = False
    bench.broker.holders = {ID: Holder(queue="images"), OTHER: Holder(queue="images", claimed=True)}

    assert (0, f"● {ID}  pending: it waits in images\n") == said(ID)[:2]
    assert "claimed from images, and no worker says that it has it" in said(OTHER)[1]
    document = json.loads(said(OTHER, "--json")[1])
    jsonschema.validate(document, SCHEMA)
    assert {"queue": "images", "claimed": True} == document["message"]


def test_where_no_result_can_be_read_the_reason_stands_there(bench: Bench, said: Any) -> None:
    bench.broker.celeriac, bench.broker.why_no_results = False, "the app has no result backend"

    code, _, err = said(ID)

    assert 1 == code
    assert "  the app has no result backend; and no worker says that it has it now" in err.splitlines()


def test_a_state_is_told_although_its_result_is_pickled(bench: Bench, said: Any) -> None:
    bench.broker._results[ID] = TaskResult(ID, "succeeded", unreadable="its result is pickled")

    assert [f"✔ {ID}  succeeded", "  its result is pickled"] == said(ID)[1].splitlines()
    assert "its result is pickled" == json.loads(said(ID, "--json")[1])["unreadable"]
