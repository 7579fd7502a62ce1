"""tools/peers: what its figures mean, and a quick run of it; of the peers themselves where their environments are."""

from __future__ import annotations

import importlib.util
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import psutil
import pytest

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
    if missing := [name for name in environments.LOCKS if not environments.ready(name)]:
        pytest.skip(f"no environment for {', '.join(missing)}: make bench-peers makes them")
    found = report("--rows", "c", "--peers", ",".join(OTHERS), state=tmp_path)
    runs = found["rows"][0]["runs"]  # type: ignore[index]
    assert {"ours", *OTHERS} - {"bare", "lean"} == set(runs)
    assert dict.fromkeys(runs) == {name: its[0]["problem"] for name, its in runs.items()}
