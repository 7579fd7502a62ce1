"""devctl trace, over the broker in memory."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from devctl.tests.unit.trace.steps import AWAY, ORDER, at, claimed, ended, published, story

from celeriac.life.record import Kind, Record
from devctl.__main__ import main
from devctl.broker.memory import MemoryBroker, MemoryLife
from devctl.broker.port import Message, TaskResult
from devctl.cli import options
from devctl.settings import Settings

SCHEMA = json.loads((Path(__file__).parents[4] / "docs/json/trace.schema.json").read_text())


class Bench:
    runtime_choice = ("fake", "a test")

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(folder, folder / "docker-compose.yml", "auto", "", {})
        self.broker = MemoryBroker(life=MemoryLife(clock=lambda: at(3_000)), eager=False)

    def wrote(self, *records: Record) -> None:
        self.broker.life.records += records


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench(tmp_path)
    monkeypatch.setattr(options, "open_workbench", lambda *_: bench)
    return bench


Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    def said(*arguments: str) -> tuple[int, str, str]:
        code = main(["trace", *arguments])
        out, err = capsys.readouterr()
        if "--json" in arguments and "devctl.error" not in out:
            jsonschema.validate(json.loads(out), SCHEMA)
        return code, out, err

    return said


def test_a_story_is_shown_with_what_to_do_next(bench: Bench, said: Said) -> None:
    bench.wrote(*story())

    code, out, err = said(ORDER[:8])

    assert 0 == code
    assert out.startswith("✔ 2.6s from POST /api/orders to the last commit")
    assert "→ devctl logs --id 4bf92f3577b34da6a3ce929d0e0e4736   what the services say of it" in err


def test_a_failure_is_exit_1_and_a_dead_letter_can_be_replayed(bench: Bench, said: Said) -> None:
    from celeriac.dead_letter.letters import Letter

    bench.wrote(published(0), claimed(1), ended(5, 1, Kind.DEAD, error=AWAY, reason="permanent", state="FAILURE"))
    bench.broker.bury(Letter("orders/2-0", "orders", "permanent", 5.0, 1, task_id=ORDER))

    code, out, err = said(ORDER)

    assert 1 == code
    assert "✘ dead letter orders/2-0" in out
    assert "→ devctl dead-letters replay orders/2-0" in err
    assert "orders/2-0" == json.loads(said(ORDER, "--json")[1])["spans"][0]["dead_letter"]


def test_json_has_spans_with_the_number_of_the_one_above(bench: Bench, said: Said) -> None:
    bench.wrote(*story())

    document = json.loads(said(ORDER, "--json")[1])

    assert [("request", None), ("task", 0), ("task", 1)] == [(one["kind"], one["parent"]) for one in document["spans"]]
    assert ["retried", "dead", "succeeded"] == [one["state"] for one in document["spans"][1]["attempts"]]
    assert pytest.approx(document["seconds"]) == sum(document["shares"].values())


def test_an_unknown_id_is_explained(bench: Bench, said: Said) -> None:
    bench.wrote(*story())

    code, out, err = said("ffff0000")

    assert (1, "") == (code, out)
    assert "nothing is known of ffff0000" in err
    assert "it was never seen here, or it ended before the records begin" in err
    assert "→ devctl logs --id ffff0000" in err
    assert 2 == said("ff")[0]


def test_without_records_its_result_is_shown_and_why_there_is_no_more(bench: Bench, said: Said) -> None:
    bench.broker._results[ORDER] = TaskResult(ORDER, "succeeded", finished=at(5))

    code, out, _ = said(ORDER)

    assert 0 == code
    assert re.search(r"^✔ a task 0190b3c2", out, re.MULTILINE)
    assert "! no step of it is recorded: records are off (CELERY_LIFE_LENGTH=0)" in out
    said(ORDER, "--json")


def test_of_a_message_that_tells_no_time_none_is_made_up(bench: Bench, said: Said) -> None:
    bench.broker.publish([Message("tasks.process_order", "orders", ORDER)])

    _, out, err = said(ORDER)

    assert ["● its times are not recorded", "  1 task, waiting"] == out.splitlines()[:2]
    assert "  ● waits, is next in orders" in out.splitlines()
    assert f"→ devctl trace {ORDER} --follow" in err


def test_a_request_with_too_many_tasks_says_that_some_are_left_out(bench: Bench, said: Said) -> None:
    bench.wrote(*(one for n in range(501) for one in (published(n, f"task-{n}", f"t{n}"), claimed(n, f"t{n}"))))

    _, out, _ = said("4bf92f3577b34da6a3ce929d0e0e4736")

    assert out.endswith("! more tasks belong to it: 500 of them are shown\n")


def test_a_page_is_written(bench: Bench, said: Said, tmp_path: Path) -> None:
    bench.wrote(*story())

    said(ORDER, "-o", str(tmp_path / "trace.html"))

    assert "<!doctype html>" == (tmp_path / "trace.html").read_text().splitlines()[0]


def test_a_page_that_cannot_be_written_is_a_named_problem(bench: Bench, said: Said, tmp_path: Path) -> None:
    bench.wrote(*story())

    code, _, err = said(ORDER, "-o", str(tmp_path / "no" / "trace.html"))

    assert 1 == code
    assert "cannot be written" in err


def test_followed_in_a_pipe_each_step_is_a_line_until_all_has_ended(
    bench: Bench, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devctl.trace.look.WAIT_SECONDS", 0.01)
    first, *rest = story()
    bench.wrote(first)
    bench.broker._works[ORDER] = "queued"
    later = threading.Timer(0.1, bench.wrote, rest)
    later.start()

    code, out, _ = said(ORDER, "--follow")

    later.join()
    assert 0 == code
    steps = [line.split()[3] for line in out.splitlines() if line.lstrip().startswith("+")]
    assert ["claimed", "retried", "published", "claimed", "dead", "replayed", "claimed", "committed"] == steps[:8]
    assert "✔ 2.6s from POST /api/orders to the last commit" in out


def test_a_task_that_nobody_has_published_yet_is_no_endless_wait(bench: Bench, said: Said) -> None:
    assert 1 == said("ffff0000", "--follow")[0]
