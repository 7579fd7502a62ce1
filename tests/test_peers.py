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


def told(pid: int, since: float, until: float, numbers: range) -> object:
    return TICK(pid, since, until, len(numbers), sum(numbers), sum(number**2 for number in numbers))


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
    first = [TICK(1, second, second + 1, 100, 0, 0) for second in range(10)]
    late = [TICK(2, second, second + 1, 50, 0, 0) for second in range(4, 8)]
    window = ticks.steady([*first, *late])
    assert (4, 7, 450) == (window.begin, window.end, window.count)
    assert 150 == window.rate


def test_a_tick_counts_for_the_part_of_it_that_lies_inside() -> None:
    window = ticks.steady(
        [TICK(1, 0, 1, 100, 0, 0), TICK(1, 1, 2, 100, 0, 0), TICK(2, 0.5, 3, 10, 0, 0), TICK(2, 3, 4, 1, 0, 0)]
    )
    assert (0.5, 1) == (window.begin, window.end)
    assert 50 + 10 * 0.5 / 2.5 == pytest.approx(window.count)


def test_where_two_were_never_at_work_together_everything_counts() -> None:
    window = ticks.steady([TICK(1, 0, 1, 100, 0, 0), TICK(2, 3, 4, 100, 0, 0)])
    assert 50 == window.rate


def test_each_number_once_is_a_clean_run() -> None:
    assert None is ticks.audit([told(1, 0, 1, range(6)), told(2, 0, 1, range(6, 10))], 10)


def test_a_task_too_few_is_said() -> None:
    assert "9 of 10 done" == ticks.audit([told(1, 0, 1, range(9))], 10)


def test_one_lost_and_one_doubled_do_not_cancel_out() -> None:
    # 0 1 1 4 4 5 6 7 8 9: 2 and 3 lost, 1 and 4 twice: the count is right, and so is the sum
    wrong = [
        told(1, 0, 1, range(2)),
        told(1, 1, 2, range(1, 2)),
        told(1, 2, 3, range(4, 5)),
        told(2, 0, 1, range(4, 10)),
    ]
    assert (10, 45) == (sum(one.count for one in wrong), sum(one.sum for one in wrong))
    assert "10 done, but some twice and some not" == ticks.audit(wrong, 10)


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
    assert [] == [one for one in started if one.is_running()]


@pytest.mark.integration
@pytest.mark.timeout(400)
def test_every_peer_runs_every_order_once_and_publishes_its_notification(tmp_path: Path) -> None:
    if missing := [name for name in environments.LOCKS if not environments.ready(name)]:
        pytest.skip(f"no environment for {', '.join(missing)}: make bench-peers makes them")
    found = report("--rows", "c", "--peers", ",".join(OTHERS), state=tmp_path)
    runs = found["rows"][0]["runs"]  # type: ignore[index]
    assert {"ours", *OTHERS} - {"bare", "lean"} == set(runs)
    assert dict.fromkeys(runs) == {name: its[0]["problem"] for name, its in runs.items()}
