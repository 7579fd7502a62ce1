"""An environment with the wheels alone, for tests of what somebody has who never saw this checkout."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.wheels import ROOT, build, found, uv


def _made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder for all processes of this run: who comes first makes it, the others wait."""
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = base / name
    with (base / f"{name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            folder.mkdir()
            make(folder)
            (folder / "complete").touch()
    if not (folder / "complete").exists():
        pytest.skip(f"{name}: another process of this run could not make it, and says why")
    return folder


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return found(_made_once(tmp_path_factory, "dist", build))


@pytest.fixture(scope="session")
def installed(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `venv`: it has the wheels and what they depend on, at the versions of dev.lock."""
    return _made_once(tmp_path_factory, "elsewhere", lambda folder: _install(folder, wheels))


def _install(folder: Path, wheels: dict[str, Path]) -> None:
    pins = re.findall(r"^([a-z0-9][\w.-]*==\S+(?: ; [^\\\n]+)?)", (ROOT / "dev.lock").read_text(), re.MULTILINE)
    (folder / "pins").write_text("\n".join(pins))
    uv("venv", "--quiet", "--python", sys.executable, str(folder / "venv"))
    install = ["pip", "install", "--quiet", "--python", str(folder / "venv" / "bin" / "python")]
    asked = [*install, "--constraint", str(folder / "pins"), *map(str, wheels.values())]
    try:
        uv(*asked, "--offline")  # most machines have the packages: .venv was made of them
    except subprocess.CalledProcessError:
        try:
            uv(*asked)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as problem:
            said = str(getattr(problem, "stderr", "") or problem).strip().splitlines()
            pytest.skip(f"what the wheels depend on cannot be had here: {said[-1]}")
