"""The command: which scenarios, on which stack, what is written and left; the parts are made up."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from devctl.tests.unit.chaos.made_up import seen, task

from devctl.__main__ import main
from devctl.chaos.curve import Curve
from devctl.chaos.observation import Observation, Soak, Tally
from devctl.chaos.part import Play
from devctl.chaos.scenario import Part
from devctl.chaos.stage import Stage
from devctl.errors import DevctlError
from devctl.measurement import lock
from devctl.measurement.lock import alone

SCHEMAS = Path(__file__).parents[4] / "docs/json"


class Parts:
    """What each part of a scenario shows, and the stack it was played on."""

    def __init__(self) -> None:
        self.setups: list[object] = []
        self.stacks: list[dict[str, Any]] = []
        self.shows: Any = lambda part: seen(task("a"), fired=part.expect.fired)

    def play(self, play: Play, part: Part) -> Observation:
        play.stage.set(part.setup, play.emit)
        self.setups.append(part.setup)
        self.stacks.append(json.loads(play.stage.settings.compose_file.read_text()))
        found: Observation = self.shows(part)
        return found


@pytest.fixture
def parts(fakes: Any, monkeypatch: pytest.MonkeyPatch) -> Parts:
    made = Parts()
    monkeypatch.setattr(Play, "part", lambda play, part: made.play(play, part))  # noqa: PLW0108  # it is bound to one
    monkeypatch.setattr(Stage, "clean", lambda stage: True)
    monkeypatch.setattr(Stage, "_wait_for_stock", lambda stage: None)
    fakes.behaviours |= dict.fromkeys(("ledger", "proxy", "results", "behind"), fakes.behaviours["redis"])
    return made


def starts(fakes: Any) -> int:
    return sum(call == "start redis" for call in fakes.runtimes["chaos"].calls)


def test_json_is_one_document_that_fits_its_schema(parts: Parts, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["chaos", "worker-kill", "15", "--quick", "--json"])

    out, err = capsys.readouterr()
    document = json.loads(out)
    jsonschema.validate(document, json.loads((SCHEMAS / "chaos.schema.json").read_text()))
    assert [("worker-kill", "held"), ("redis-full", "held")] == [(r["name"], r["verdict"]) for r in document["rows"]]
    assert ("local", "ours", "quick") == (document["runtime"], document["celery"], document["size"])
    assert "" == err


def test_a_report_is_kept_and_nothing_else(parts: Parts, fakes: Any, capsys: pytest.CaptureFixture[str]) -> None:
    main(["chaos", "worker-kill", "--quick", "--json"])

    (kept,) = (fakes.root / ".devctl/runs").glob("*/report.json")
    assert json.loads(capsys.readouterr().out) == json.loads(kept.read_text())
    assert not (fakes.root / ".devctl/stacks/chaos").exists()
    assert [] == fakes.runtimes["chaos"].status()
    assert "" not in fakes.runtimes, "the checkout's own stack is not touched"


def test_a_broken_invariant_is_exit_1_and_still_a_report(parts: Parts, capsys: pytest.CaptureFixture[str]) -> None:
    parts.shows = lambda part: seen(task("a"), fired=part.expect.fired, done=frozenset())

    assert 1 == main(["chaos", "worker-kill", "--quick"])

    out, err = capsys.readouterr()
    assert "✘ SIGKILL worker" in out
    assert "    1 lost" in out
    assert "logs of the broken rows: .devctl/runs/" in out
    assert "1/1  SIGKILL worker" in err


def test_none_named_is_the_quick_selection(parts: Parts, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["chaos", "--json"])

    document = json.loads(capsys.readouterr().out)
    assert "quick" == document["size"]
    assert 6 <= len(document["rows"]) <= 11


def test_rows_of_one_setup_share_a_stack(parts: Parts, fakes: Any, capsys: pytest.CaptureFixture[str]) -> None:
    main(["chaos", "1", "8", "9", "15", "--quick", "--json"])

    assert 2 == starts(fakes)
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [1, 8, 9, 15] == [row["number"] for row in rows]
    assert ["proxy" in one["services"] for one in parts.stacks] == [False, False, True, True]


def test_after_a_broken_row_the_stack_is_a_new_one(parts: Parts, fakes: Any) -> None:
    parts.shows = lambda part: seen(task("a"), fired=part.expect.fired, done=frozenset())
    main(["chaos", "1", "15", "--quick", "--json"])

    assert 2 == starts(fakes)


def test_stock_celery_is_put_to_the_same_rows_and_its_figures_are_shown_beside_ours(
    parts: Parts, capsys: pytest.CaptureFixture[str]
) -> None:
    parts.shows = lambda part: seen(task("a"), fired=part.expect.fired, effects={"a": 2})
    assert 1 == main(["chaos", "worker-kill", "api-kill", "--quick", "--stock"])
    out = capsys.readouterr().out
    assert "stock Celery: 0 held · 1 broken · 1 not run" in out
    assert "stock Celery has no HTTP API" in out
    assert {"redis", "ledger", "worker"} == set(parts.stacks[0]["services"])

    parts.shows = lambda part: seen(task("a"), fired=part.expect.fired)
    assert 0 == main(["chaos", "worker-kill", "--quick"])
    assert "stock Celery on the same rows: 0 held · 1 broken" in capsys.readouterr().out


DEMO = 'contracts: shop, demo: {service: SERVICE, port: 8001, request: "POST /api/things", id: thing_id}'


def test_a_stack_without_a_request_is_put_to_all_rows_but_those_of_the_api(
    parts: Parts, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == main(["chaos", "worker-kill", "api-kill", "--quick"])

    out = capsys.readouterr().out
    assert "1 held · 0 broken · 1 not run" in out
    assert "the Compose file names no request with an id" in " ".join(out.split())


def test_the_request_of_another_service_is_taken(parts: Parts, fakes: Any, capsys: pytest.CaptureFixture[str]) -> None:
    file = fakes.root / "docker-compose.yml"
    file.write_text(file.read_text().replace("contracts: shop", DEMO.replace("SERVICE", "service1")))
    assert 0 == main(["chaos", "api-kill", "--quick"])
    assert "1 held" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        (DEMO.replace("SERVICE", "gone"), "x-devctl.demo.service: no service 'gone'"),
        (DEMO.replace("SERVICE", "worker"), "worker publishes no port 8001"),
        ("contracts: shop, demo: text", "x-devctl.demo: not a map"),
        ("contracts: shop, demo: [1]", "x-devctl.demo: not a map"),
        ("contracts: no.such", "the contracts in no.such cannot be imported"),
    ],
)
@pytest.mark.parametrize("command", [["chaos", "worker-kill", "--quick"], ["demo"]])
def test_what_the_block_gets_wrong_is_said_before_anything_starts(
    block: str, problem: str, command: list[str], parts: Parts, fakes: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    file = fakes.root / "docker-compose.yml"
    file.write_text(file.read_text().replace("contracts: shop", block))
    assert 1 == main(command)

    err = capsys.readouterr().err
    assert problem in err
    assert "→ " in err
    assert not any("start" in call for runtime in fakes.runtimes.values() for call in runtime.calls)


def test_a_stack_that_does_not_start_is_a_failure(parts: Parts, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(part: Part) -> Observation:
        raise DevctlError("worker crashed after 1.0s")

    parts.shows = fails
    assert 1 == main(["chaos", "worker-kill", "--quick", "--json"])

    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert ("broken", "the chaos stack does not work: worker crashed after 1.0s") == (row["verdict"], row["why"])


def test_a_fault_that_did_not_happen_is_no_success(parts: Parts, capsys: pytest.CaptureFixture[str]) -> None:
    parts.shows = lambda part: seen(task("a"), fired=0)
    assert 1 == main(["chaos", "worker-kill", "--quick", "--json"])

    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert ("not run", "the fault happened 0 of 6 times") == (row["verdict"], row["why"])


def test_what_cannot_be_played_here_is_no_failure(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("devctl.chaos.stage.faketime", lambda: "")
    assert 0 == main(["chaos", "clocks", "--quick", "--json"])

    document = json.loads(capsys.readouterr().out)
    assert [("not run", True)] == [(row["verdict"], row["excused"]) for row in document["rows"]]
    assert "clocks ±2 h: needs libfaketime (Debian: apt-get install faketime)" == document["not_tested"][0]
    assert [] == parts.setups


def test_ctrl_c_is_exit_130_and_nothing_is_left(parts: Parts, fakes: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(part: Part) -> Observation:
        raise KeyboardInterrupt

    parts.shows = interrupted
    assert 130 == main(["chaos", "worker-kill", "--quick"])

    assert "the chaos stack is stopped and removed" in capsys.readouterr().err
    assert [] == fakes.runtimes["chaos"].status()
    assert not (fakes.root / ".devctl/stacks/chaos").exists()


def soaked(part: Part) -> Observation:
    curves = (Curve("Redis", 1.0, (20_000_000,) * 40, 0),)
    soak = Soak(part.expect.fired, 1, 9_401, 1_900.0, 1.5, curves)
    return seen(fired=part.expect.fired, tally=Tally(accepted=9_400, done=9_400, repeated=1), soak=soak)


def test_a_soak_has_its_own_figures_and_a_redis_that_writes_before_it_answers(
    parts: Parts, capsys: pytest.CaptureFixture[str]
) -> None:
    parts.shows = soaked
    assert 0 == main(["chaos", "soak", "--kills", "7", "--json"])

    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, json.loads((SCHEMAS / "chaos.schema.json").read_text()))
    (row,) = document["rows"]
    assert ("held", 7, 9_400, 9_400, 1) == tuple(
        row[name] for name in ("verdict", "fired", "accepted", "done", "repeated")
    )
    (curve,) = row["soak"]["memory"]
    assert ("Redis", 40.0, 40, True) == (curve["of"], curve["seconds"], len(curve["bytes"]), curve["flat"])
    assert ["--appendfsync", "always"] == parts.stacks[0]["services"]["redis"]["command"][-2:]


def test_a_soak_that_is_cut_short_shows_what_is_known_and_leaves_nothing(
    parts: Parts, fakes: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def cut(part: Part) -> Observation:
        tally = Tally(accepted=9_400, done=9_000, waiting=400)
        return dataclasses.replace(soaked(part), fired=3, tally=tally, drained_seconds=None, interrupted=True)

    parts.shows = cut
    assert 130 == main(["chaos", "soak"])

    out, err = capsys.readouterr()
    assert "the chaos stack is stopped and removed" in err
    assert "0 held · 0 broken · 1 not run" in out
    assert "9,400   9,000" in out
    assert "interrupted; the fault happened 3 of 20 times" in " ".join(out.split())
    assert [] == fakes.runtimes["chaos"].status()


def test_what_an_interrupted_soak_has_doubled_is_broken(parts: Parts, capsys: pytest.CaptureFixture[str]) -> None:
    def cut(part: Part) -> Observation:
        return dataclasses.replace(soaked(part), tally=Tally(accepted=9_400, done=9_400, doubled=1), interrupted=True)

    parts.shows = cut
    assert 130 == main(["chaos", "soak", "--json"])

    document = json.loads(capsys.readouterr().out)
    assert ["broken"] == [row["verdict"] for row in document["rows"]], "this document and no other"


@pytest.mark.parametrize("option", ["--kills", "--tasks", "--every"])
def test_options_of_the_soak_are_refused_without_it(
    option: str, parts: Parts, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main(["chaos", "worker-kill", option, "3"])
    assert "→ devctl chaos soak --kills 20" in capsys.readouterr().err
    assert [] == parts.setups


def test_the_soak_is_about_ours_alone(parts: Parts, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["chaos", "soak", "--stock"])
    assert "it tests celeriac only" in capsys.readouterr().out


def test_a_second_one_at_the_same_time_is_refused(parts: Parts, fakes: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with alone(lock.file(), Path("another-checkout")):
        assert 1 == main(["chaos", "worker-kill", "--quick"])

    assert "is running on this machine" in capsys.readouterr().err
    assert [] == parts.setups


def test_what_an_earlier_run_left_is_taken_away_first(parts: Parts, fakes: Any) -> None:
    left = fakes.root / ".devctl/stacks/chaos"
    left.mkdir(parents=True)
    (left / "env.json").write_text("{}")
    (left / "runtime").write_text("local\n")
    (left / "compose.yml").write_text((fakes.root / "docker-compose.yml").read_text())

    assert 0 == main(["chaos", "worker-kill", "--quick", "--json"])

    assert "stop --volumes" == fakes.runtimes["chaos"].calls[0]


def test_the_list_names_all_rows_and_starts_nothing(
    parts: Parts, fakes: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == main(["chaos", "--list"])
    assert 22 == len(capsys.readouterr().out.splitlines())

    assert 0 == main(["chaos", "--list", "--json"])
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, json.loads((SCHEMAS / "chaos-list.schema.json").read_text()))
    assert "worker-kill" == document["scenarios"][0]["name"]
    assert {} == fakes.runtimes


def test_an_unknown_scenario_is_exit_2_and_nothing_is_started(
    parts: Parts, fakes: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main(["chaos", "worker-kil"])

    assert "did you mean worker-kill?" in capsys.readouterr().err
    assert {} == fakes.runtimes
