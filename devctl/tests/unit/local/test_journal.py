"""The story of each process, from the supervisor's log."""

from __future__ import annotations

from pathlib import Path

import pytest

from devctl.stack.local import runtime, supervisor
from devctl.stack.local.journal import Journal, Life

START = "2026-11-23 16:00:00,500 INFO spawned: 'worker-1' with pid 100\n"
AT = 1_795_449_600.5


def test_a_start(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(START)
    assert {"worker-1": Life(pid=100, started_at=AT)} == Journal(log).lives()


def test_a_crash_keeps_its_exit_code_over_the_restart(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        START
        + "2026-11-23 16:00:00,900 WARN exited: worker-1 (exit status 3; not expected)\n"
        + "2026-11-23 16:00:01,500 INFO spawned: 'worker-1' with pid 101\n"
    )
    assert Life(pid=101, started_at=AT + 1, exit_code=3, restarts=1) == Journal(log).lives()["worker-1"]


def test_a_signal_is_told_as_a_shell_does(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(START + "2026-11-23 16:00:00,900 WARN exited: worker-1 (terminated by SIGKILL; not expected)\n")
    life = Journal(log).lives()["worker-1"]
    assert (137, None, True) == (life.exit_code, life.pid, life.crashed)


def test_a_stop_that_was_asked_for_is_no_crash_and_ends_the_count(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        START
        + "2026-11-23 16:00:00,900 WARN exited: worker-1 (exit status 1; not expected)\n"
        + START.replace("100", "101")
        + "2026-11-23 16:00:02,000 INFO waiting for worker-1 to stop\n"
        + "2026-11-23 16:00:02,100 INFO stopped: worker-1 (exit status 0)\n"
        + START.replace("100", "102")
    )
    life = Journal(log).lives()["worker-1"]
    assert (102, 0) == (life.pid, life.restarts)


def test_it_reads_on_where_it_stopped_and_waits_for_whole_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(START[:40])
    journal = Journal(log)
    assert {} == journal.lives()
    log.write_text(START)
    assert ["worker-1"] == list(journal.lives())
    with log.open("a") as more:
        more.write(START.replace("worker-1", "redis-1"))
    assert ["worker-1", "redis-1"] == list(journal.lives())


def test_a_new_supervisor_is_a_new_story(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(START * 2)
    journal = Journal(log)
    journal.lives()
    log.write_text(START.replace("worker-1", "redis-1"))
    assert ["redis-1"] == list(journal.lives())
    log.unlink()
    assert {} == journal.lives()


def test_a_program_that_was_made_anew_has_no_crashes_behind_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    crash = "2026-11-23 16:00:00,900 WARN exited: worker-1 (exit status 1; not expected)\n"
    again = START.replace("00,500", "01,500").replace("100", "101") + crash.replace("00,900", "01,900")
    log.write_text(START + crash + again + START.replace("00,500", "05,500").replace("100", "102"))

    life = Journal(log).lives({"worker-1": AT + 5})["worker-1"]
    assert Life(pid=102, started_at=AT + 5) == life
    assert 2 == Journal(log).lives()["worker-1"].restarts


def test_its_own_crashes_count_from_the_first_start_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    crash = "2026-11-23 16:00:00,900 WARN exited: worker-1 (exit status 1; not expected)\n"
    log.write_text(START + crash + START.replace("00,500", "01,500").replace("100", "101"))

    assert 1 == Journal(log).lives({"worker-1": AT - 1})["worker-1"].restarts


@pytest.mark.parametrize(
    ("vain", "state", "restarts"),
    [(True, supervisor.BACKOFF, 0), (True, supervisor.STARTING, 1), (False, supervisor.STARTING, 0), (False, 20, 3)],
)
def test_what_crashes_again_and_again_was_started_in_vain(vain: bool, state: int, restarts: int) -> None:
    """Also while its next try begins; not what runs after some crashes."""
    assert vain is runtime._in_vain(supervisor.Process(state, 1), Life(restarts=restarts))
