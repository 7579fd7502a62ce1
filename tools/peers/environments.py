"""The peers' Python environments, made from their locks under .devctl/peers, and what is in them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FOLDER = ROOT / ".devctl" / "peers"
SHARED = (ROOT / "celeriac" / "src", ROOT / "celeriac" / "tests" / "lib")  # the payloads, for peers too
LOCKS = {"main": "requirements.lock", "arq": "arq.lock", "saq": "saq.lock", "newer": "newer.lock"}
PYTHONS = {"newer": "3.13"}
"""What an environment needs that does not take the checkout's Python."""

OURS = "ours"
NAMED = (
    "python", "celery", "kombu", "dramatiq", "taskiq", "taskiq-redis", "arq", "saq", "rq", "huey", "potatoq", "streaq",
    "coredis", "ardiq", "celery-redis-plus", "redis", "hiredis",
)  # fmt: skip


def python(name: str) -> Path:
    """The interpreter of an environment; `ours` is the checkout's."""
    return Path(sys.executable) if name == OURS else FOLDER / name / "bin" / "python"


@cache
def interpreter(name: str) -> Path | None:
    """The Python that an environment is made with; None if this machine does not have it. None is downloaded."""
    if name not in PYTHONS:
        return Path(sys.executable)
    program = f"python{PYTHONS[name]}"
    found = [Path(one) for one in (shutil.which(program),) if one]
    found += sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(f"versions/*/bin/{program}"))
    return next((one for one in found if _runs(one)), None)


def missing(name: str) -> str:
    """Why there can be no such environment here; empty if there can."""
    return "" if name == OURS or interpreter(name) else f"it needs Python {PYTHONS[name]}, which is not here"


def ready(name: str) -> bool:
    """Whether it is there, as its lock says."""
    stamp = FOLDER / name / ".lock"
    return name == OURS or (python(name).exists() and stamp.exists() and stamp.read_text() == _digest(name))


def prepare(name: str) -> None:
    """Make it, or bring it up to its lock; nothing, if there can be none here."""
    if ready(name) or missing(name):
        return
    uv, folder = ROOT / ".bootstrap" / "bin" / "uv", FOLDER / name
    lock = HERE / LOCKS[name]
    folder.parent.mkdir(parents=True, exist_ok=True)
    print(f"peers: installing {lock.name} into {folder.relative_to(ROOT)}", file=sys.stderr)
    if not python(name).exists():
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", str(interpreter(name)), folder], check=True)
    install: list[str | Path] = [uv, "pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode"]
    subprocess.run([*install, "--python", python(name), lock], check=True)
    (folder / ".lock").write_text(_digest(name))


def versions(name: str) -> dict[str, str]:
    """Of the packages that matter, as installed."""
    code = (
        "import json, platform as p; from importlib.metadata import distributions as d; "
        "print(json.dumps({x.metadata['Name'].lower(): x.version for x in d()} | {'python': p.python_version()}))"
    )
    found = json.loads(subprocess.run([python(name), "-c", code], check=True, capture_output=True, text=True).stdout)
    return {package: found[package] for package in NAMED if package in found}


def _runs(program: Path) -> bool:
    """Whether it starts: a shim of pyenv may not."""
    return subprocess.run([program, "-c", ""], capture_output=True, check=False).returncode == 0


def _digest(name: str) -> str:
    return hashlib.sha256((HERE / LOCKS[name]).read_bytes()).hexdigest()
