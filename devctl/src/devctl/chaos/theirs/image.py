"""The image of a worker with celeriac in it: theirs, and one layer more."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from devctl.chaos.hands import command
from devctl.chaos.theirs.copy_file import CELERIAC_INSIDE
from devctl.errors import DevctlError

BUILD_SECONDS = 300.0
_PACKAGE = "celeriac"


def python_path(image: str) -> str:
    """What the image says itself; "" where it says nothing."""
    given = dict(word.partition("=")[::2] for word in _config(image).get("Env") or ())
    return str(given.get("PYTHONPATH", ""))


def _config(image: str) -> dict[str, Any]:
    return dict(json.loads(command("docker", "image", "inspect", "--format", "{{json .Config}}", image)))


def requirements() -> list[str]:
    """What celeriac needs, without its extras."""
    return [one for one in requires(_PACKAGE) or () if "extra ==" not in one]


def recipe(base: str, user: str, needed: Sequence[str]) -> str:
    """The Dockerfile. What is there in a version that fits stays as it is."""
    words = " ".join(f"'{one.partition(';')[0].strip()}'" for one in needed)
    install = f"python -m pip install --quiet --no-cache-dir {words} || uv pip install --quiet {words}"
    # Compose takes away with the first copy what has that project's label.
    lines = [
        f"FROM {base}",
        "LABEL com.docker.compose.project=",
        "USER 0",
        f"RUN {install}",
        f"COPY {_PACKAGE} {CELERIAC_INSIDE}/{_PACKAGE}",
        f"USER {user or '0'}",
    ]
    return "\n".join(lines) + "\n"


def with_celeriac(base: str, tag: str, folder: Path) -> None:
    """Build it; DevctlError with the builder's last words."""
    spec = find_spec(_PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    shutil.rmtree(folder, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(spec.origin).parent, folder / _PACKAGE, ignore=ignored)
    user = str(_config(base).get("User") or "")
    (folder / "Dockerfile").write_text(recipe(base, user, requirements()), encoding="utf-8")
    try:
        done = subprocess.run(
            ["docker", "build", "--quiet", "--tag", tag, str(folder)],
            capture_output=True, text=True, timeout=BUILD_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as failed:
        raise DevctlError(f"celeriac cannot be installed into {base}: {failed}") from failed
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()][-6:]
        raise DevctlError(
            f"celeriac cannot be installed into a copy of {base}",
            details=lines,
            hint="it needs Python 3.11 or newer and Celery 5.6 or 5.7; without --with-celeriac the rest works",
        )


def remove(tags: Sequence[str]) -> None:
    """They have no other use."""
    if tags:
        subprocess.run(["docker", "image", "rm", "--force", *tags], capture_output=True, timeout=60, check=False)
