"""One measurement at a time on a machine, whoever begins it and wherever; also after a kill."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import psutil
import pytest

from devctl.errors import DevctlError
from devctl.measurement import lock
from devctl.measurement.lock import alone

HERE = Path("a-checkout")
CUT_SHORT = """\
    import os, sys, time
    from pathlib import Path
    from devctl.measurement.lock import alone
    from devctl.settings import Settings
    from devctl.undo.guard import guarding
    from devctl.undo.steps import Stop

    root = Path(sys.argv[1])
    settings = Settings(root, root / "docker-compose.yml", "local", "", dict(os.environ))
    with alone(root / "lock", root) as lock, guarding(settings, "local", print, lock.descriptors) as guard:
        guard.add(Stop(("worker",)))  # no Compose file: its guard tries that again and again
        print("ready", flush=True)
        time.sleep(float(sys.argv[2]))
        guard.drop(1)
"""


def held_by_a_process(folder: Path, seconds: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CUT_SHORT), str(folder), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert "ready\n" == process.stdout.readline()
    return process


def test_after_a_kill_the_lock_holds_until_the_guard_has_ended(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    process = held_by_a_process(tmp_path, 30)
    with pytest.raises(DevctlError, match=rf"on this machine \(pid {process.pid}, in {tmp_path}\)"), alone(file, HERE):
        pass
    (guard,) = psutil.Process(process.pid).children()
    process.kill()
    process.communicate(timeout=20)

    with pytest.raises(DevctlError, match="changes are still being undone") as raised, alone(file, HERE, patience=0.5):
        pass
    assert str(tmp_path / ".devctl/guard") in raised.value.hint

    killer = threading.Timer(0.5, guard.kill)
    killer.start()
    with alone(file, HERE, patience=20):
        assert [str(os.getpid()), str(HERE)] == file.read_text().split()
    killer.join()


def test_after_an_end_in_peace_the_lock_is_free_at_once(tmp_path: Path) -> None:
    process = held_by_a_process(tmp_path, 0)
    process.communicate(timeout=20)
    with alone(tmp_path / "lock", HERE, patience=0):
        pass


def test_all_checkouts_and_stacks_of_a_machine_have_one_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEVCTL_LOCKS")
    assert Path("/tmp/devctl-measuring.lock") == lock.file()


def test_every_user_of_the_machine_can_lock(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with alone(tmp_path / "lock", HERE):
            pass
    finally:
        os.umask(before)
    assert 0o666 == stat.S_IMODE((tmp_path / "lock").stat().st_mode)


def test_a_link_that_somebody_has_put_there_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("text")
    (tmp_path / "lock").symlink_to(tmp_path / "precious")
    with alone(tmp_path / "lock", HERE) as held:
        assert () == held.descriptors
    assert "text" == (tmp_path / "precious").read_text()


def test_without_a_folder_for_it_one_measures_all_the_same(tmp_path: Path) -> None:
    with alone(tmp_path / "gone" / "lock", HERE) as held:
        assert () == held.descriptors
