"""Help and completion stay quick: each TAB pays for every import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import shop
from devctl.__main__ import main
from devctl.cli import app
from devctl.cli.app import COMMANDS, GROUPS, name_of

HEAVY = {"celery", "redis", "kombu", "python_on_whales", "pydantic", "rich", "supervisor", "psutil", "shop"}
COMPOSE = 'x-devctl: {broker: redis, workers: [], contracts: shop}\nservices: {redis: {image: "redis:8-alpine"}}\n'


def loaded(folder: Path, arguments: list[str], environment: dict[str, str]) -> tuple[set[str], str]:
    """What a command loaded beside typer, and what it printed."""
    script = f"""
import atexit, sys, typer
before = set(sys.modules)
atexit.register(lambda: print("LOADED", *sorted(set(sys.modules) - before), file=sys.stderr))
sys.argv = {["devctl", *arguments]!r}
from devctl.__main__ import run
run()
"""
    ran = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={**os.environ, "COLUMNS": "80", "PYTHONPATH": shop.PATH, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(ran.stderr.rpartition("LOADED")[2].split()), ran.stdout


def beside_commands(modules: set[str]) -> set[str]:
    """Modules are counted, since their milliseconds are another machine's: 20 take a tenth of what typer takes."""
    return {module for module in modules if not module.startswith("devctl.cli")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "docker-compose.yml").write_text(COMPOSE)
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        *([name_of(command), "--help"] for command in COMMANDS),
        ["chaos", "--help"],
        *([group.info.name, one.name, "--help"] for group in GROUPS for one in group.registered_commands),
    ],
)
def test_help_loads_nothing_heavy(folder: Path, arguments: list[str]) -> None:
    modules, out = loaded(folder, arguments, {})

    assert "Usage: devctl" in out
    assert [] == [
        line for line in out.splitlines() if len(line) > 80 or (line.endswith("...") and "[ARGS]" not in line)
    ]
    assert set() == modules & HEAVY
    assert len(beside_commands(modules)) <= 15, sorted(modules)


def test_no_summary_of_a_command_is_cut_at_80_columns(folder: Path) -> None:
    _, out = loaded(folder, ["--help"], {"COLUMNS": "80"})

    assert [] == [line for line in out.splitlines() if len(line) > 80 or "..." in line.partition("COMMAND")[0]]


def test_the_list_of_commands_reads_no_signature(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(source: object) -> None:
        pytest.fail(f"{source} is read")

    monkeypatch.setattr(app, "_whole", refuse)

    assert 0 == main(["--help"])
    assert "dead-letters" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("typed", "offered"), [("devctl do", "down"), ("devctl up re", "redis"), ("devctl scale re", "redis")]
)
def test_completion_offers_live_names_and_loads_nothing_heavy(folder: Path, typed: str, offered: str) -> None:
    environment = {"_DEVCTL_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}

    loaded(folder, [], environment)  # the first TAB reads the Compose file, and keeps what it finds
    modules, out = loaded(folder, [], environment)

    assert offered in out.split()
    assert set() == modules & HEAVY
    assert len(beside_commands(modules)) <= 20, sorted(modules)
