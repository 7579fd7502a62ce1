"""The JSON schema of a new contract, kept in the folder `schemas`: made by celeriac, from the code as it will be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from devctl.errors import DevctlError
from devctl.new.names import TaskName
from devctl.new.repository import Repository

_SCRIPT = """\
import importlib, sys
from pathlib import Path
from celeriac.contract.compatibility import write
module, name, folder = sys.argv[1:]
write(Path(folder), [getattr(importlib.import_module(module), name)])
"""


def add(repository: Repository, task: TaskName) -> None:
    """Note the snapshot of this task, unless it has one. The contracts are imported in a copy."""
    target = repository.contracts.snapshots / f"{task.full}.json"
    if repository.changes.has(target):
        return
    contracts = repository.contracts
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(contracts.folder / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
        for path in (contracts.schemas, contracts.tasks):
            (folder / path.relative_to(contracts.folder)).write_text(repository.changes.read(path), encoding="utf-8")
        paths = [str(folder / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT, f"{contracts.package}.tasks", task.short, str(folder)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise DevctlError(
                f"the contracts could not be imported with {task.short} in them; nothing was written",
                details=[line.replace(name, str(contracts.folder)) for line in done.stderr.splitlines()[-6:]],
                hint=f"mend them first: python -c 'import {contracts.package}.tasks'",
            )
        repository.changes.write(target, (folder / target.name).read_text(encoding="utf-8"))
