"""An environment with the wheels alone, for tests of what somebody has who never saw this checkout."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.wheels import ROOT, built, uv


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return built(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def installed(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `venv`: it has the wheels and what they depend on, at the versions of dev.lock."""
    folder = tmp_path_factory.mktemp("elsewhere")
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
    return folder
