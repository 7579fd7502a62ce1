"""The forks that tests start workers as: what they find, and how they end, is as in a process from nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import forks

pytestmark = pytest.mark.integration

FINDS = """
import json, os, signal, sys, threading
print(json.dumps({
    "arguments": sys.argv,
    "environment": dict(os.environ),
    "folder": os.getcwd(),
    "path": sys.path,
    "handlers": [str(signal.getsignal(one)) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)],
    "name": __name__,
    "open": sorted(os.listdir("/proc/self/fd"))[:-1],
    "session": os.getsid(0) == os.getpid(),
    "stdin": sys.stdin.read(),
    "threads": threading.active_count(),
}, indent=1))
print("and an error", file=sys.stderr)
sys.exit(3)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "script.py"


def started(script: Path, *arguments: str, session: bool = False) -> tuple[forks.Process, Path]:
    log = script.parent / "log"
    command = [sys.executable, str(script), *arguments]
    return forks.start(command, env=dict(os.environ), log=log, cwd=script.parent, session=session), log


@pytest.mark.parametrize("session", [False, True])
def test_a_fork_finds_what_a_process_from_nothing_finds(
    script: Path, session: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{script.parent}/more{os.pathsep}{script.parent}/most")
    script.write_text(FINDS)
    process, log = started(script, "one", "two", session=session)
    expected = subprocess.run(
        [sys.executable, str(script), "one", "two"],
        cwd=script.parent,
        env=dict(os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=session,
        check=False,
    )
    assert expected.returncode == process.wait(20)
    assert sorted((expected.stdout + expected.stderr).splitlines()) == sorted(log.read_text().splitlines())


@pytest.mark.parametrize(
    ("line", "code"),
    [("pass", 0), ("raise ValueError('no')", 1), ("import os; os._exit(7)", 7), ("import os; os.abort()", -6)],
)
def test_its_exit_code_is_that_of_its_program(script: Path, line: str, code: int) -> None:
    script.write_text(line)
    process, log = started(script)
    assert code == process.wait(20) == process.poll()
    assert ("ValueError: no" in log.read_text()) is (code == 1)


def test_it_can_be_waited_for_and_ended(script: Path) -> None:
    script.write_text("import time; time.sleep(60)")
    process, _ = started(script)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.1)
    assert process.poll() is None
    process.send_signal(signal.SIGSTOP)
    process.kill()
    assert -signal.SIGKILL == process.wait(20)
    process.terminate()  # nobody is there any more


def test_two_at_once_do_not_know_each_other(script: Path) -> None:
    script.write_text("import os, sys; sys.exit(int(sys.argv[1]))")
    processes = [started(script, str(number))[0] for number in range(5)]
    assert [0, 1, 2, 3, 4] == [process.wait(20) for process in processes]
