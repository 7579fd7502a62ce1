"""tools/peers: what its figures mean, and a quick run of it; of the peers themselves where their environments are."""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import pytest
from rich.console import Console

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "tools" / "peers"
OTHERS = (
    "celery",
    "celery-solo",
    "dramatiq",
    "dramatiq-prefetch",
    "taskiq",
    "arq",
    "saq",
    "rq",
    "huey",
    "potatoq",
    "streaq",
    "ardiq",
    "celery-plus",
    "bare",
    "lean",
)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"peers_{name}", PEERS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


ticks = load("ticks")
environments = load("environments")
TICK = ticks.Tick


Tool = Callable[[str], Any]
"""Name of a module of tools/peers -> the module."""


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tool]:
    """They import each other by their names, so they are there for one test only."""
    monkeypatch.syspath_prepend(str(PEERS))
    before = {*sys.modules}
    yield importlib.import_module
    for name in {*sys.modules} - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(PEERS)):
            del sys.modules[name]


def command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:  # it has gone, or has not begun
        return []


def bench(*words: str) -> subprocess.Popen[str]:
    asked = [sys.executable, str(PEERS), "--quick", "--runs", "1", *words]
    return subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def report(*words: str, state: Path) -> dict[str, object]:
    running = bench("--json", "--state", str(state), *words)
    out, talk = running.communicate()
    assert 0 == running.returncode, talk
    found: dict[str, object] = json.loads(out)
    assert [found] == [json.loads(file.read_text()) for file in state.glob("runs/*/report.json")]
    return found


def test_the_rate_is_that_of_the_time_when_all_were_at_work() -> None:
    first = [TICK(1, second, second + 1, range(100)) for second in range(10)]
    late = [TICK(2, second, second + 1, range(50)) for second in range(4, 8)]
    window = ticks.steady([*first, *late])
    assert (4, 7, 450) == (window.begin, window.end, window.count)
    assert 150 == window.rate


def test_a_tick_counts_for_the_part_of_it_that_lies_inside() -> None:
    window = ticks.steady(
        [TICK(1, 0, 1, range(100)), TICK(1, 1, 2, range(100)), TICK(2, 0.5, 3, range(10)), TICK(2, 3, 4, range(1))]
    )
    assert (0.5, 1) == (window.begin, window.end)
    assert 50 + 10 * 0.5 / 2.5 == pytest.approx(window.count)


def test_where_two_were_never_at_work_together_everything_counts() -> None:
    window = ticks.steady([TICK(1, 0, 1, range(100)), TICK(2, 3, 4, range(100))])
    assert 50 == window.rate


def test_each_number_once_is_a_clean_run() -> None:
    found = ticks.audit([TICK(1, 0, 1, range(6)), TICK(2, 0, 1, range(6, 10))], 10)
    assert ticks.Audit(published=10, lost=0, doubled=0, foreign=0) == found
    assert None is found.problem(doubled_too=True)


def test_a_lost_a_doubled_and_a_foreign_one_are_told_apart() -> None:
    found = ticks.audit([TICK(1, 0, 1, [0, 1, 1, 10])], 3)
    assert ticks.Audit(published=3, lost=1, doubled=1, foreign=1) == found
    assert "1 of 3 lost, 1 never published" == found.problem(doubled_too=False)


def test_running_twice_is_a_failure_of_ours_alone() -> None:
    found = ticks.audit([TICK(1, 0, 1, [0, 1]), TICK(2, 0, 1, [1])], 2)
    assert "1 of 2 ran twice" == found.problem(doubled_too=True)
    assert None is found.problem(doubled_too=False)


def test_a_tick_survives_its_storage() -> None:
    tick = TICK(7, 1.5, 2.5, [0, 70_000, 2**32 - 1])
    read = TICK.unpack(tick.pack())
    assert (7, 1.5, 2.5, [0, 70_000, 2**32 - 1]) == (read.pid, read.since, read.until, list(read.numbers))


def test_a_counter_is_read_between_its_samples() -> None:
    samples = [(0.0, 10.0), (1.0, 20.0), (2.0, 40.0), (3.0, 40.0)]
    assert 5 + 10 == ticks.between(samples, 0.5, 1.5)
    assert None is ticks.between(samples, 0.5, 3.5)


def test_the_peers_have_the_versions_that_we_have() -> None:
    def pins(file: Path) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", file.read_text(), re.MULTILINE))

    ours, theirs = pins(ROOT / "dev.lock"), pins(PEERS / "requirements.lock")
    shared = ("celery", "kombu", "redis", "hiredis", "pydantic")
    assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}


def test_a_peer_whose_python_is_not_here_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PYENV_ROOT", "/nowhere")
    environments.interpreter.cache_clear()
    assert "it needs Python 3.13, which is not here" == environments.missing("newer")
    environments.prepare("newer")  # does nothing then
    assert ["", ""] == [environments.missing(name) for name in ("main", "ours")]
    environments.interpreter.cache_clear()


def runs_of(tool: Tool, letter: str, rates: dict[str, float], version: tuple[int, ...] = (8, 0, 0)) -> dict[str, Any]:
    """A row that was measured with these rates: peer -> its runs. On this version of Redis."""
    rows, peers = tool("rows"), tool("peers")
    (figure, *_) = rows.BY_LETTER[letter].figures
    row = rows.Row(
        letter,
        "a row",
        lambda _, peer: tool("measure").Run({figure.key: rates[peer.name]}),
        rows.BY_LETTER[letter].figures,
    )
    bench = SimpleNamespace(server=SimpleNamespace(version=lambda: version))
    asked = [peers.BY_NAME[name] for name in rates]
    found: dict[str, Any] = load("__main__").measure(row, asked, bench, 2, Console(file=io.StringIO()))
    return found


def test_a_peer_whose_redis_is_not_here_is_a_row_that_says_not_run(tool: Tool) -> None:
    why = "it needs Redis 7.0, and this one is 6.2.14"
    runs = runs_of(tool, "b", {"ours": 100, "streaq": 50, "huey": 10}, (6, 2, 14))
    report = tool("report")
    assert {"ours": 2, "streaq": 1, "huey": 2} == {name: len(its) for name, its in runs.items()}
    (row,) = report.document({}, {"b": runs})["rows"]
    assert [None, why, None] == [one["not_run"] or None for one in row["figures"][0]["peers"]]
    assert [None, None] == [row["runs"]["streaq"][0]["problem"], row["figures"][0]["peers"][1]["met"]]
    assert "| not run |" in report.markdown({"b": runs})
    assert f"streaQ 2p: not run: {why}" in report.markdown({"b": runs})
    written = io.StringIO()
    report.show(Console(file=written, width=100), tool("rows").BY_LETTER["b"], runs)
    assert re.search(r"streaQ 2p +│ +not run", written.getvalue())
    assert f"streaQ 2p: not run: {why}" in written.getvalue()


def test_the_sentence_for_the_readme_names_the_best_peers_and_no_floor(tool: Tool) -> None:
    rates = {"ours": 9_000, "celery": 600, "saq": 2_500, "arq": 900, "huey": 3_000}
    report, runs = tool("report"), runs_of(tool, "c", rates)
    (sentence,) = report.headline({"c": runs})
    assert sentence.startswith("An order with its result, record and notification: 9,000/s, 3.6 × the best of those ")
    assert "at least once (saq 2p, 2,500/s) and 3 × the best of all (huey 2p × 8t, 3,000/s, at most once" in sentence
    (line,) = report.summary({"a": runs_of(tool, "a", {"ours": 9, "dramatiq": 3, "bare": 12, "celery": 4})})
    assert (
        "a · no-op, no results: ours 9/s; best at least once: Dramatiq 2p × 8t, 3/s, ours is 3 ×; best of all: " in line
    )
    assert line.endswith("Celery default (prefork 2), 4/s, ours is 2.25 ×")


def test_where_less_is_better_the_best_has_the_least(tool: Tool) -> None:
    runs = runs_of(tool, "e", {"ours": 2.0, "huey": 0.5, "taskiq": 1.0})
    assert "huey" == tool("report").best(tool("rows").BY_LETTER["e"].figures[0], runs).peer


def test_targets_differ_by_what_a_peer_promises(tool: Tool) -> None:
    rows = tool("rows")
    (figure,) = rows.BY_LETTER["c"].figures
    wanted = {name: rows.target(figure, name) for name in ("ours", "celery", "saq", "huey", "bare")}
    assert {"ours": None, "celery": 20, "saq": 6, "huey": 1, "bare": None} == wanted
    (figure,) = rows.BY_LETTER["a"].figures
    assert [0.9, None, 1] == [rows.target(figure, name) for name in ("bare", "lean", "huey")]


def test_a_report_is_resumed_where_it_was_measured(tool: Tool, tmp_path: Path) -> None:
    here = {"git_revision": "abc", "server": "Redis 8", "cpu": "one"}
    runs = runs_of(tool, "b", {"ours": 100, "huey": 10})
    file = tmp_path / "report.json"
    file.write_text(json.dumps(tool("report").document(here, {"b": runs})))
    program = load("__main__")
    assert {"b": runs} == program.earlier(file, here)
    assert {} == program.earlier(None, here)
    with pytest.raises(SystemExit, match="its git_revision is abc, and here it is def"):
        program.earlier(file, {**here, "git_revision": "def"})


@pytest.mark.integration
def test_a_plain_app_is_measured_in_every_pool(tmp_path: Path) -> None:
    found = report("--rows", "h", "--peers", "", state=tmp_path)
    (run,) = found["rows"][0]["runs"]["ours"]  # type: ignore[index]  # JSON
    assert None is run["problem"]
    assert {"threads", "prefork", "solo", "pss"} == {name for name, value in run["figures"].items() if value > 0}


@pytest.mark.integration
def test_ours_alone_does_everything_once(tmp_path: Path) -> None:
    found = report("--rows", "a,d", "--peers", "", state=tmp_path)
    assert "peers/1" == found["schema"]
    assert ["a", "d"] == [row["row"] for row in found["rows"]]  # type: ignore[attr-defined]
    for row in found["rows"]:  # type: ignore[attr-defined]
        for figure in row["figures"]:
            assert [(figure["figure"], True)] == [(figure["figure"], one["median"] > 0) for one in figure["peers"]]


@pytest.mark.integration
def test_an_interrupt_leaves_no_process_behind(tmp_path: Path) -> None:
    started: set[psutil.Process] = set()
    with bench("--rows", "e", "--peers", "", "--state", str(tmp_path)) as running:
        while not any("apps.ours" in command(one) for one in started):
            assert None is running.poll(), running.communicate()
            started |= set(psutil.Process(running.pid).children(recursive=True))
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=30)
    assert 130 == running.returncode
    # One that ended and that nobody has asked for yet is none: a container's first process may not ask.
    assert [] == [one for one in started if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.integration
@pytest.mark.timeout(400)
def test_every_peer_runs_every_order_once_and_publishes_its_notification(tmp_path: Path) -> None:
    if missing := [name for name in environments.LOCKS if not (environments.ready(name) or environments.missing(name))]:
        pytest.skip(f"no environment for {', '.join(missing)}: make bench-peers makes them")
    found = report("--rows", "c", "--peers", ",".join(OTHERS), state=tmp_path)
    runs = found["rows"][0]["runs"]  # type: ignore[index]
    assert {"ours", *OTHERS} - {"bare", "lean"} == set(runs)
    assert dict.fromkeys(runs) == {name: its[0]["problem"] for name, its in runs.items()}
