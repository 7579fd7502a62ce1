"""Commands that an entry point brings: chaos is one, and devctl works without it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import shop
from devctl.__main__ import main
from devctl.cli import plugins

COMPOSE = """\
x-devctl: {broker: redis, workers: [worker], contracts: shop}
services: {redis: {image: "redis:8-alpine"}, worker: {image: worker}}
"""
# An import system in which a folder was deleted.
WITHOUT = """\
import importlib.abc, sys

class Gone(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "devctl.chaos" or name.startswith("devctl.chaos."):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Gone())
sys.argv[0] = "devctl"
from devctl.__main__ import run
run()
"""


def without_chaos(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "docker-compose.yml").write_text(COMPOSE)
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": shop.PATH, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["bench", "--help"], ["demo", "--help"], ["tasks"]])
def test_devctl_works_without_chaos(tmp_path: Path, arguments: list[str]) -> None:
    done = without_chaos(tmp_path, *arguments)
    assert (0, "") == (done.returncode, done.stderr)
    assert "chaos" not in done.stdout


def test_doctor_works_without_chaos(tmp_path: Path) -> None:
    done = without_chaos(tmp_path, "doctor", "--runtime", "local", "--json")
    assert done.returncode in (0, 1)
    assert '"schema": "devctl.doctor/1"' in done.stdout
    assert "chaos" not in done.stdout


def test_completion_works_without_chaos(tmp_path: Path) -> None:
    asked = {"_DEVCTL_COMPLETE": "complete_bash", "COMP_WORDS": "devctl ", "COMP_CWORD": "1"}
    offered = without_chaos(tmp_path, **asked).stdout.split()
    assert "bench" in offered
    assert "chaos" not in offered


def test_a_command_that_is_left_out_is_an_unknown_one(tmp_path: Path) -> None:
    done = without_chaos(tmp_path, "chaos")
    assert 2 == done.returncode
    assert "No such command 'chaos'" in done.stderr


def test_the_same_is_found_as_python_finds_but_without_its_scan() -> None:
    known = {point.name: point.value for point in entry_points(group=plugins.GROUP)}
    assert known == plugins.found(sys.path)
    assert {"chaos": "devctl.chaos.command:chaos"} == known


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of packages, on sys.path before all others."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def install(folder: Path, name: str, target: str) -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    others = "[console_scripts]\nx = y:z\n"
    (info / "entry_points.txt").write_text(f"{others}\n[{plugins.GROUP}]\n{name} = {target}\n\n[zoo]\na = b:c\n")


def test_a_package_can_bring_a_command(folder: Path) -> None:
    (folder / "brought.py").write_text("def hello() -> None:\n    print('hello')\n")
    install(folder, "hello", "brought:hello")

    assert {"chaos": "devctl.chaos.command:chaos", "hello": "brought:hello"} == plugins.found(sys.path)
    dict(plugins.commands())["hello"]()


@pytest.mark.parametrize("source", ["import no_such_module", "raise ValueError('no')", "", "import devctl.no_such"])
def test_one_that_cannot_be_loaded_says_so_when_it_is_called_and_not_before(
    folder: Path, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"broken{abs(hash(source))}"
    (folder / f"{name}.py").write_text(source)
    install(folder, name, f"{name}:command")

    from devctl.errors import DevctlError

    with pytest.raises(DevctlError, match=f"the command {name} cannot be loaded") as told:
        dict(plugins.commands())[name]()
    assert f"{name}:command" in told.value.hint


def test_one_whose_module_is_gone_is_left_out(folder: Path) -> None:
    install(folder, "gone", "gone_with.the_wind:command")
    assert "gone" not in dict(plugins.commands())


def test_chaos_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["--help"])
    assert "chaos" in capsys.readouterr().out
