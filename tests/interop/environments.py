"""Environments of the stock peers: made from a hashed lock when a test first asks, kept under .devctl/interop/."""

import fcntl
import functools
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
UV = ROOT / ".bootstrap" / "bin" / "uv"
PLACE = ROOT / ".devctl" / "interop"
INSTALL_SECONDS = 300


class Unavailable(Exception):
    """Why the packages of a lock cannot be had here."""


@functools.cache
def environment(name: str) -> Path:
    """The folder of the environment that `<name>.lock` describes; raises Unavailable with the installer's last line."""
    lock = HERE / f"{name}.lock"
    wanted = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()
    PLACE.mkdir(parents=True, exist_ok=True)
    folder, stamp = PLACE / name, PLACE / name / ".lock-digest"
    with (PLACE / f".{name}.guard").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)  # two test runs may want it at once
        if not (stamp.exists() and stamp.read_text() == wanted):
            shutil.rmtree(folder, ignore_errors=True)
            _uv("venv", "--quiet", "--python", sys.executable, str(folder))
            python = str(folder / "bin" / "python")
            _uv("pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode", "--python", python, str(lock))
            stamp.write_text(wanted)
    return folder


def _uv(*arguments: str) -> None:
    if not UV.exists():
        raise Unavailable(f"no uv in {UV.parent}; run: make setup")
    try:
        done = subprocess.run(
            [str(UV), *arguments], capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"uv {arguments[0]} did not end in {INSTALL_SECONDS} s") from None
    if done.returncode:
        raise Unavailable(
            f"uv {' '.join(arguments[:2])}: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
        )
