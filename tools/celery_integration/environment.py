"""The Python environment of these tests: made from requirements.lock, kept under .devctl/celery-integration/."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FOLDER = ROOT / ".devctl" / "celery-integration" / "environment"
LOCK = HERE / "requirements.lock"


def python() -> Path:
    """Its interpreter; made, or brought up to its lock, if need be."""
    found = FOLDER / "bin" / "python"
    wanted = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()
    stamp = FOLDER / ".lock-digest"
    if stamp.exists() and stamp.read_text() == wanted:
        return found
    uv = ROOT / ".bootstrap" / "bin" / "uv"
    if not uv.exists():
        raise SystemExit(f"celery_integration: no uv in {uv.parent}; run: make setup")
    print(f"celery_integration: installing {LOCK.name} into {FOLDER.relative_to(ROOT)}", file=sys.stderr)
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, FOLDER], check=True)
    install = [uv, "pip", "sync", "--quiet", "--require-hashes", "--compile-bytecode", "--python", found, LOCK]
    subprocess.run(install, check=True)
    stamp.write_text(wanted)
    return found
