"""The wheels of `make dist`, and what a program finds around it in somebody else's environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UV = ROOT / ".bootstrap" / "bin" / "uv"
WHEELS = ("celeriac", "devctl")
INSTALL_SECONDS = 300


def build(folder: Path) -> None:
    """As `make dist` builds them."""
    for name in WHEELS:
        command = ["build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable]
        uv(*command, "--out-dir", str(folder), str(ROOT / name))


def found(folder: Path) -> dict[str, Path]:
    """The wheels there."""
    return {name: next(folder.glob(f"{name}-*.whl")) for name in WHEELS}


def uv(*arguments: str) -> None:
    """Run uv; skip the test where it is not."""
    if not UV.exists():
        pytest.skip(f"no uv in {UV.parent}; run: make setup")
    subprocess.run([UV, *arguments], check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)


def bare() -> dict[str, str]:
    """The environment of a shell in which nobody knows this checkout; the way to package indexes is the machine's."""
    kept = {"PATH", "HOME", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}
    return {name: value for name, value in os.environ.items() if name.upper() in kept or name[:3] in ("UV_", "PIP")}
