"""What a bench shows: at 80 columns, in a pipe, without UTF-8."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import jsonschema
import pytest
from devctl.tests.unit.bench.lab import Lab

from devctl.bench import events
from devctl.bench.environment import Room
from devctl.bench.observation import Audit, Load
from devctl.bench.plan import parse_task
from devctl.bench.report import Report, document, limit
from devctl.bench.warnings import Caution
from devctl.ui.bench import Progress, figure, show

SCHEMA = Path(__file__).parents[4] / "docs/json/bench.schema.json"


class Stream(io.StringIO):
    def __init__(self, *, encoding: str = "utf-8", terminal: bool = False) -> None:
        super().__init__()
        self._encoding, self._terminal = encoding, terminal

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return self._terminal


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    lab = Lab(tmp_path_factory.mktemp("bench"), seconds_per_task=0.0001, most_at_once=2)
    return lab.bench((1, 2, 4), repeats=6, tasks=1_000, warmup_seconds=0.0)


def shown(report: Report, **stream: object) -> list[str]:
    out = Stream(**stream)  # type: ignore[arg-type]
    show(report, out)
    return out.getvalue().splitlines()


def test_the_table_has_a_row_and_a_bar_for_each_point(report: Report) -> None:
    lines = shown(report)

    assert "workers    tasks/s  95% interval     speed-up  efficiency" == lines[2]
    assert ["1", "2", "4"] == [line.split()[0] for line in lines[3:6]]
    assert "10,000" == lines[3].split()[1]
    assert ["1.00×", "2.00×", "2.00×"] == [next(w for w in line.split() if "×" in w) for line in lines[3:6]]
    assert ["100%", "100%", "50%"] == [next(w for w in line.split() if w.endswith("%")) for line in lines[3:6]]
    bars = [line.count("█") for line in lines[3:6]]
    assert bars[0] * 2 == pytest.approx(bars[1], abs=1)
    assert bars[1] == bars[2]
    assert "speed-up: over 1 worker, within each round; the median of these ratios" == lines[6]


def test_the_audit_the_conditions_and_the_next_step_are_said(report: Report) -> None:
    lines = shown(report)

    assert "fake · noop · 1,000 tasks a run · 6 runs each · 2 CPUs · memory 1.0" == lines[0]
    assert "! oversubscribed: 4 workers, 2 CPUs" in lines
    assert "✔ audit    18,000 published = 18,000 done once each · lost 0 · doubled 0" in lines
    assert lines[-2].startswith("saved      ")
    assert "→ devctl bench --workers 4 --task wait:10   a task that waits" == lines[-1]


@pytest.mark.parametrize("rates", [(0.0001, 2), (0.0000009, 1), (0.5, 2)])
def test_no_line_but_the_folder_is_wider_than_80_columns(tmp_path: Path, rates: tuple[float, int]) -> None:
    lab = Lab(tmp_path, seconds_per_task=rates[0], most_at_once=rates[1])
    report = lab.bench((1, 2, 100), tasks=256, warmup_seconds=0.0, timeout_seconds=10_000)

    assert [] == [line for line in shown(report) if len(line) > 80 and not line.startswith("saved")]


def test_a_pipe_has_no_colours_and_a_terminal_has(report: Report) -> None:
    assert "\x1b" not in "".join(shown(report))
    assert "\x1b" in "".join(shown(report, terminal=True))


def test_without_utf_8_the_same_is_said_in_ascii(report: Report) -> None:
    text = "\n".join(shown(report, encoding="ascii"))

    assert text.isascii()
    assert "?" not in text
    assert "ok audit" in text
    assert "2.00x" in text
    assert "###" in text


def test_lost_and_doubled_tasks_stand_out(report: Report) -> None:
    bad = dataclasses.replace(report.points[2], audit=Audit(6_000, 5_998, 2, 1))

    lines = shown(dataclasses.replace(report, points=(*report.points[:2], bad)))

    assert "✘ audit    18,000 published, 17,998 done · lost 2 · doubled 1" in lines


def test_cautions_of_one_kind_and_equal_advice_are_said_once(report: Report) -> None:
    cautions = (
        Caution("wide", "the interval is wide", "end other work", 1),
        Caution("noise", "others used CPU", "end other work", 2),
        Caution("wide", "the interval is wider", "end other work", 4),
    )

    lines = shown(dataclasses.replace(report, cautions=cautions))

    start = lines.index("! 4 workers: the interval is wider (also 1)")
    assert ["! 2 workers: others used CPU", "  end other work"] == lines[start + 1 : start + 3]


def test_one_point_has_no_speed_up_and_hints_at_scaling(tmp_path: Path) -> None:
    lines = shown(Lab(tmp_path).bench((2,), task="wait:10"))

    assert "workers    tasks/s  75% interval" == lines[2]
    assert "→ devctl bench --workers 1,2,4 --task wait:10   how it scales" == lines[-1]


def test_cpu_that_could_not_be_measured_is_not_talked_about(report: Report) -> None:
    blind = dataclasses.replace(report.points[-1], load=None, limit=None)

    assert not [line for line in shown(dataclasses.replace(report, points=(blind,))) if "bottleneck" in line]


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (Load(1.2, 0.6, 1.95, 1), "machine"),
        (Load(0.6, 0.97, 1.6, 1), "broker"),
        (Load(0.95, 0.3, 1.3, 1), "workers"),
        (Load(0.2, 0.1, 0.4, 1), "waiting"),
    ],
)
def test_the_limit_is_what_was_used_up(load: Load, expected: str) -> None:
    assert expected == limit(load, Room(machine=2, workers=1, broker=1), parse_task("wait:10"))


def test_a_task_that_does_nothing_waits_for_nothing() -> None:
    seen, room = Load(0.2, 0.1, 0.4, 1), Room(machine=2, workers=1, broker=1)
    assert "round-trips" == limit(seen, room, parse_task("noop"))
    assert "waiting" == limit(seen, room, parse_task("process_order"))


def bottleneck(report: Report, load: Load) -> str:
    point = report.points[0]
    seen = dataclasses.replace(point, load=load, limit=limit(load, point.room, report.plan.task))
    (line,) = [one for one in shown(dataclasses.replace(report, points=(seen,))) if one.startswith("bottleneck")]
    return line


def test_the_bottleneck_is_said_with_what_each_part_used_of_what_it_can_use(report: Report) -> None:
    said = [
        bottleneck(report, Load(1.2, 0.6, 1.95, 1)),
        bottleneck(report, Load(0.95, 0.3, 1.3, 1)),
        bottleneck(report, Load(0.6, 0.97, 1.6, 1)),
        bottleneck(report, Load(0.7, 0.3, 1.1, 1)),
    ]
    assert [
        "bottleneck CPU: 1.95 of 2 busy (workers 1.20, broker 0.60, others 0.15)",
        "bottleneck worker CPU: 0.95 of 1 (broker 0.30 of 1)",
        "bottleneck broker CPU: 0.97 of 1 (workers 0.60 of 1)",
        "bottleneck round trips to the broker, not CPU: workers 0.70 of 1, broker 0.30 of 1",
    ] == said


def test_a_run_too_short_for_a_rate_is_told_so_and_not_as_a_figure(tmp_path: Path) -> None:
    lab = Lab(tmp_path, seconds_per_task=0.5)
    report = lab.bench((1, 4), tasks=4, warmup_seconds=0.0)  # of four workers each has one task

    lines = shown(report)
    assert ["1", "2.00"] == lines[3].split()[:2]
    assert "4        too short  –" == lines[4]
    assert any("3 of 3 runs were too short for a rate" in line for line in lines)
    assert not any("completions in a run" in line and line.startswith("! 4") for line in lines)
    found = json.loads(json.dumps(document(report)))
    assert [0, 3] == [point["throughput"]["too_short"] for point in found["points"]]
    assert found["points"][1]["speed_up"] is None


def test_against_a_point_that_was_too_short_there_is_no_speed_up(report: Report) -> None:
    first = dataclasses.replace(report.points[0], throughput=None)
    second = dataclasses.replace(report.points[1], speed_up=None, efficiency=None)

    lines = shown(dataclasses.replace(report, points=(first, second)))

    assert "1        too short  –" == lines[3]
    assert ["–", "–"] == lines[4].split()[-3:-1], "speed-up and efficiency, before the bar"


def test_the_json_is_what_its_schema_says(report: Report) -> None:
    found = json.loads(json.dumps(document(report)))
    found["runtime"] = found["environment"]["runtime"] = "local"  # the fake is no runtime of a user

    jsonschema.validate(found, json.loads(SCHEMA.read_text()))
    assert {"workers", "throughput", "audit"} <= found["points"][0].keys()


@pytest.mark.parametrize(
    ("value", "expected"),
    [(78_912, "78,900"), (9_844, "9,840"), (95.24, "95.2"), (0.49712, "0.497"), (999.6, "1,000"), (0, "0")],
)
def test_figures_have_three_significant_digits(value: float, expected: str) -> None:
    assert expected == figure(value)


STORY = [
    events.Planned(6, 75.4),
    events.WarmingUp(2, 100, 74.2),
    events.Publishing(1, 6, 2, 1_000, 72.0),
    events.Draining(1, 6, 2, 500, 1_000, 480.0, 70.4),
    events.RunDone(1, 6, 2, 1, 1_000, 490.0, clean=True, left=58.4),
    events.RunDone(2, 6, 2, 1, 1_000, None, clean=True, left=40.0),
    events.RunDone(6, 6, 2, 1, 1_000, 480.0, clean=False, left=0.0),
]


def test_in_a_pipe_progress_is_a_line_for_each_run() -> None:
    out = Stream()
    with Progress(out) as emit:
        for event in STORY:
            emit(event)

    assert [
        "bench    6 runs, about 1m15s",
        "run 1/6   2 workers        490 tasks/s  58s left",
        "run 2/6   2 workers  too short  40s left",
        "run 6/6   2 workers        480 tasks/s  ✘ lost or doubled tasks",
    ] == out.getvalue().splitlines()


def test_on_a_terminal_progress_is_one_line_that_is_gone_afterwards() -> None:
    out = Stream(terminal=True)
    with Progress(out) as emit:
        for event in STORY:
            emit(event)

    assert 1 == out.getvalue().count("\n"), "how long it will take stays"
    assert out.getvalue().endswith("\r\x1b[K")
    assert "500/1,000  480/s  1m10s left" in out.getvalue()
    assert "warming up, 2 workers, 100 tasks  1m14s left" in out.getvalue()
