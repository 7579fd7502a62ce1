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
from devctl.bench.observation import Audit, Load
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
    report = lab.bench((1, 2, 128), tasks=256, warmup_seconds=0.0, timeout_seconds=10_000)

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
    assert expected == limit(load, workers=1, cpus=2)


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
    events.Publishing(1, 6, 2, 1_000),
    events.Draining(1, 6, 2, 500, 1_000, 480.0),
    events.RunDone(1, 6, 2, 1, 1_000, 490.0, clean=True),
    events.RunDone(2, 6, 2, 1, 1_000, 480.0, clean=False),
]


def test_in_a_pipe_progress_is_a_line_for_each_run() -> None:
    out = Stream()
    with Progress(out) as emit:
        for event in STORY:
            emit(event)

    assert [
        "run 1/6   2 workers        490 tasks/s",
        "run 2/6   2 workers        480 tasks/s  ✘ lost or doubled tasks",
    ] == out.getvalue().splitlines()


def test_on_a_terminal_progress_is_one_line_that_is_gone_afterwards() -> None:
    out = Stream(terminal=True)
    with Progress(out) as emit:
        for event in STORY:
            emit(event)

    assert "\n" not in out.getvalue()
    assert out.getvalue().endswith("\r\x1b[K")
    assert "500/1,000" in out.getvalue()
