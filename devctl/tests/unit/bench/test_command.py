"""The command itself: options, JSON, exit codes, on simulated workers in real time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from devctl.tests.unit.bench.simulation import SimulatedBroker

from devctl.__main__ import main
from devctl.clock import SystemClock
from devctl.measurement import lock
from devctl.measurement.lock import alone
from devctl.workbench import Workbench

SCHEMA = Path(__file__).parents[4] / "docs/json/bench.schema.json"
QUICK = ["--tasks", "40", "--warmup", "0", "--repeats", "3"]


@pytest.fixture
def broker(fakes: Any, monkeypatch: pytest.MonkeyPatch) -> SimulatedBroker:
    made = SimulatedBroker(None, SystemClock(), seconds_per_task=0.002)  # type: ignore[arg-type]

    def of(workbench: Workbench) -> SimulatedBroker:
        made.runtime = fakes.of(workbench)
        return made

    monkeypatch.setattr(Workbench, "broker", property(of))
    monkeypatch.setenv("WORKER_MOUNT", "")  # which the command sets for what it starts; here it is put back
    return made


def test_what_it_starts_has_what_measures_it(broker: SimulatedBroker) -> None:
    assert 0 == main(["bench", "--workers", "1", *QUICK])
    assert "celeriac.workbench" == os.environ["WORKER_MOUNT"]


def test_json_is_one_document_that_fits_its_schema(broker: SimulatedBroker, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["bench", "--workers", "1,2", "--json", *QUICK])

    out, err = capsys.readouterr()
    document = json.loads(out)
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    assert [1, 2] == [point["workers"] for point in document["points"]]
    none = dict.fromkeys(("lost", "duplicated", "unknown", "failed", "unproved"), 0)
    assert {"published": 120, "executed": 120} | none == document["points"][0]["audit"]
    assert ("ledger", True) == (document["counted"]["by"], document["counted"]["proves_once"])
    assert 3 == len(document["points"][0]["throughput"]["runs"])
    assert "" == err
    assert document == json.loads((Path(document["saved"]) / "report.json").read_text())


def test_without_json_the_talk_is_on_stderr_and_the_table_on_stdout(
    broker: SimulatedBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == main(["bench", "--workers", "2", *QUICK])

    out, err = capsys.readouterr()
    assert "audit    120 published = 120 done once each" in out
    assert "starting redis, worker x 2, stopped again afterwards" in err
    assert 3 == err.count(" tasks/s")


def test_a_lost_task_is_exit_1_and_still_a_report(broker: SimulatedBroker, capsys: pytest.CaptureFixture[str]) -> None:
    broker.lost = {"w1-r2": {3}}

    assert 1 == main(["bench", "--workers", "1", "--json", *QUICK])

    assert 1 == json.loads(capsys.readouterr().out)["audit"]["lost"]


def test_without_workers_as_many_as_run_are_measured(
    broker: SimulatedBroker, fakes: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["up", "worker"])
    main(["scale", "worker=3"])
    capsys.readouterr()

    main(["bench", "--json", *QUICK])

    assert [3] == [point["workers"] for point in json.loads(capsys.readouterr().out)["points"]]
    assert 3 == sum(replica.service == "worker" for replica in fakes.runtime.status())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--workers", "0"],
        ["--workers", "1,x"],
        ["--task", "cpu"],
        ["--task", "process_ordr"],
        ["--repeats", "2"],
        ["--tasks", "1", "--workers", "2"],
        ["--service", "wrker"],
    ],
)
def test_what_makes_no_sense_is_exit_2_and_nothing_is_started(
    arguments: list[str], broker: SimulatedBroker, fakes: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 2 == main(["bench", *arguments])

    assert "→" in capsys.readouterr().err
    assert not fakes.runtimes or not [call for call in fakes.runtime.calls if call.startswith("start")]


def test_ctrl_c_is_exit_130_and_everything_is_as_before(
    broker: SimulatedBroker, fakes: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(run: str) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(broker, "executed", interrupted)

    assert 130 == main(["bench", "--workers", "2", *QUICK])

    assert "everything is as it was before" in capsys.readouterr().err
    assert [] == fakes.runtime.status()
    assert {} == broker.published


def test_what_cannot_be_put_back_is_said(
    broker: SimulatedBroker, fakes: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuses(*_: Any, **__: Any) -> None:
        raise ValueError("no")

    main(["up", "redis"])
    monkeypatch.setattr(fakes.runtime, "stop", refuses)

    assert 1 == main(["bench", "--workers", "1", *QUICK])

    said = capsys.readouterr().err
    assert "some things could not be undone" in said
    assert "ValueError: no" in said


def test_a_second_bench_on_this_machine_is_refused_by_name(
    broker: SimulatedBroker, fakes: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with alone(lock.file(), Path("another-checkout")):
        assert 1 == main(["bench", "--workers", "1", *QUICK])

    said = f"another bench, chaos run or demo is running on this machine (pid {os.getpid()}, in another-checkout)"
    assert said in capsys.readouterr().err
    assert not fakes.runtimes or [] == fakes.runtime.calls
    assert 0 == main(["bench", "--workers", "1", *QUICK])


GUARDED = """\
    import os, signal, sys, time
    from pathlib import Path
    from devctl.settings import Settings
    from devctl.undo.guard import guarding
    from devctl.undo.steps import Stop

    root = Path(sys.argv[1])
    settings = Settings(root, root / "docker-compose.yml", "local", "", dict(os.environ))
    try:
        with guarding(settings, "local", lambda step: print("undone", step, flush=True)) as guard:
            guard.add(Stop(("worker",)))
            print("ready", flush=True)
            time.sleep(30)
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.parametrize("ending", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_every_signal_that_can_be_heard_undoes(tmp_path: Path, ending: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(GUARDED), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert "ready\n" == process.stdout.readline()

    process.send_signal(getattr(signal, ending))
    said, _ = process.communicate(timeout=20)

    assert (130, "undone Stop(services=('worker',), volumes=False)\n") == (process.returncode, said)
    assert [] == list((tmp_path / ".devctl/guard").iterdir()), "the guard had nothing to do"


def test_a_second_sigterm_does_not_cut_the_undoing_short(tmp_path: Path) -> None:
    slow = 'lambda step: (print("begun", flush=True), time.sleep(0.5), print("undone", flush=True))'
    script = textwrap.dedent(GUARDED).replace('lambda step: print("undone", step, flush=True)', slow)
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "ready\n" == process.stdout.readline()

    process.terminate()
    assert "begun\n" == process.stdout.readline()
    process.terminate()
    said, _ = process.communicate(timeout=20)

    assert (130, "undone\n") == (process.returncode, said)


def test_under_nohup_a_hang_up_means_nothing(tmp_path: Path) -> None:
    script = textwrap.dedent(GUARDED).replace("time.sleep(30)", "time.sleep(1)")
    process = subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + script, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(process.pid, signal.SIGHUP)
    process.communicate(timeout=20)

    assert 0 == process.returncode
