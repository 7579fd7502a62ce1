"""Help and completion stay quick: each TAB pays for every import."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import shop
from devctl.cli.app import COMMANDS, GROUPS, name_of

HEAVY = ("celery", "redis", "kombu", "python_on_whales", "pydantic", "rich", "supervisor", "psutil", "shop")
COMPOSE = 'x-devctl: {broker: redis, workers: [], contracts: shop}\nservices: {redis: {image: "redis:8-alpine"}}\n'


def loaded(folder: Path, arguments: list[str], environment: dict[str, str]) -> tuple[set[str], str]:
    """The heavy modules that a command loaded, and what it printed."""
    script = f"""
import atexit, sys
atexit.register(lambda: print("LOADED", *[m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr))
sys.argv = {["devctl", *arguments]!r}
from devctl.__main__ import run
run()
"""
    ran = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": shop.PATH, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(ran.stderr.rpartition("LOADED")[2].split()), ran.stdout


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
    heavy, out = loaded(folder, arguments, {})

    assert "Usage: devctl" in out
    assert set() == heavy


@pytest.mark.parametrize(
    ("typed", "offered"), [("devctl do", "down"), ("devctl up re", "redis"), ("devctl scale re", "redis")]
)
def test_completion_offers_live_names_and_loads_nothing_heavy(folder: Path, typed: str, offered: str) -> None:
    environment = {"_DEVCTL_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}

    heavy, out = loaded(folder, [], environment)

    assert offered in out.split()
    assert set() == heavy
