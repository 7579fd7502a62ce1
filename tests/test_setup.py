"""tools/setup before it installs anything: which Python it takes, and what it says where there is none."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ("sh", "cat", "cksum", "date", "dirname", "grep", "rm")

pytestmark = pytest.mark.integration


class Machine:
    """A checkout in a path with a space, and a PATH with the bare tools and the interpreters that a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "my checkout"
        (self.checkout / "tools").mkdir(parents=True)
        for name in ("tools/setup", "tools/bootstrap.lock", "dev.lock", "common/pyproject.toml"):
            (self.checkout / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, self.checkout / name)
        self.bin = folder / "bin"
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))

    def interpreter(self, name: str, *, version: str = "3.11.2", modules: str = "venv") -> str:
        """One that answers the probe so; asked to make an environment, it says so and fails."""
        fits = "usable" if version.split(".")[1] in {"11", "12", "13", "14"} else "unusable"
        return self.program(
            name,
            f'case "$1" in -) echo "{version} {fits} {modules} $0" ;; *) echo "$0 asked: $*" >&2; exit 1 ;; esac',
        )

    def program(self, name: str, body: str) -> str:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return str(path)

    def setup(self, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", str(self.checkout / "tools/setup")],
            env={"PATH": str(self.bin), **environment},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_without_any_python_it_says_what_to_install(machine):
    done = machine.setup()
    assert done.returncode == 1
    assert "no CPython 3.11 to 3.14 on PATH." in done.stderr
    assert "apt install python3.11 python3.11-venv" in done.stderr


def test_where_only_3_10_is_there_it_says_what_it_found(machine):
    path = machine.interpreter("python3", version="3.10.13")
    done = machine.setup()
    assert done.returncode == 1
    assert f"no CPython 3.11 to 3.14 on PATH; found only: 3.10.13 ({path})" in done.stderr


def test_a_shim_that_answers_to_a_name_and_fails_is_passed_over(machine):
    machine.program("python3.13", "echo 'pyenv: python3.13: command not found' >&2; exit 127")
    machine.interpreter("python3.12", version="3.12.1")
    assert "setup: Python 3.12.1" in machine.setup().stderr


def test_the_newest_is_taken(machine):
    for minor in (11, 13, 12):
        machine.interpreter(f"python3.{minor}", version=f"3.{minor}.0")
    assert "setup: Python 3.13.0" in machine.setup().stderr


def test_where_debian_packs_venv_apart_the_package_is_named(machine):
    machine.interpreter("python3.12", version="3.12.1", modules="bare")
    done = machine.setup()
    assert done.returncode == 1
    assert "apt install python3.12-venv" in done.stderr


def test_an_older_python_that_can_make_environments_helps_a_newer_that_cannot(machine):
    machine.interpreter("python3.12", version="3.12.1", modules="bare")
    helper = machine.interpreter("python3.11")
    done = machine.setup()
    assert "setup: Python 3.12.1" in done.stderr
    assert f"{helper} asked: -m venv .bootstrap" in done.stderr


def test_a_python_that_is_named_and_does_not_fit_is_refused_not_replaced(machine):
    machine.interpreter("python3.12", version="3.12.1")
    old = machine.interpreter("old", version="3.9.18")
    done = machine.setup(PYTHON=old)
    assert done.returncode == 1
    assert f"PYTHON={old} does not run as a CPython 3.11 to 3.14; it is 3.9.18" in done.stderr


def test_an_environment_that_is_there_keeps_its_python(machine):
    machine.interpreter("python3.13", version="3.13.0")
    here = machine.checkout / ".venv/bin"
    here.mkdir(parents=True)
    (here / "python").symlink_to(machine.interpreter("python3.11", version="3.11.9"))
    assert "setup: Python 3.11.9" in machine.setup().stderr


def test_the_probe_tells_the_truth_about_a_real_interpreter(machine):
    bootstrap = machine.checkout / ".bootstrap"
    (bootstrap / "bin").mkdir(parents=True)
    (bootstrap / "bin/uv").symlink_to(machine.program("uv", 'echo "uv asked: $*" >&2; exit 1'))
    locked = subprocess.run(["cksum", "tools/bootstrap.lock"], cwd=machine.checkout, capture_output=True, check=True)
    (bootstrap / ".stamp").write_bytes(locked.stdout)
    done = machine.setup(PYTHON=sys.executable)
    assert f"setup: Python {'.'.join(map(str, sys.version_info[:3]))} ({sys._base_executable})" in done.stderr
    assert f"uv asked: venv --quiet --clear --python {sys._base_executable} .venv" in done.stderr
