"""Completion of task names and their fields.

Importing contracts costs more than a TAB may take: answers are kept for as long as the contracts' files are the same.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from devctl.cli import options
from devctl.errors import DevctlError
from devctl.workbench import Workbench


def tasks(incomplete: str) -> list[str]:
    """Task names; short ones when nothing of the long one was typed."""
    found = _answers()
    names = [name for name in found if name.startswith(incomplete)]
    return names or [short for name in found if (short := name.rpartition(".")[2]).startswith(incomplete)]


def paths(context: typer.Context, incomplete: str) -> list[str]:
    """The fields of the task that was named, or of the first."""
    found = _answers()
    name = context.params.get("name") or next(iter(found), "")
    fields = next((found[one] for one in found if name in (one, one.rpartition(".")[2])), [])
    return [f"{field}=" for field in fields if field.startswith(incomplete)]


def remember(workbench: Workbench) -> None:
    """Keep the answers; called where the contracts are loaded anyway."""
    import json  # not on top: --help does not need it

    file = _file(workbench)
    with suppress(OSError, ValueError, DevctlError):
        if _fresh(_read(file), workbench):
            return
        from devctl.contracts.schema import Schema

        module = workbench.stack.contracts
        kept = {
            "compose": _stamp(workbench.settings.compose_file),
            "module": module,
            "key": _key(module, workbench.settings.root),
            "tasks": {one.name: [field.path for field in Schema(one.schema).fields()] for one in workbench.tasks},
        }
        workbench.settings.make_state()
        file.write_text(json.dumps(kept), encoding="utf-8")


def _answers() -> dict[str, list[str]]:
    try:
        workbench = options.open_workbench(None, None)
        if not _fresh(_read(_file(workbench)), workbench):
            remember(workbench)
        found: dict[str, list[str]] = _read(_file(workbench)).get("tasks", {})
    except (DevctlError, OSError):
        return {}
    return found


def _fresh(kept: dict[str, Any], workbench: Workbench) -> bool:
    """Whether the Compose file still names the same module, as far as its stamp tells, and its files are the same."""
    same_file = kept.get("compose") == _stamp(workbench.settings.compose_file)
    return same_file and kept.get("key") == _key(str(kept.get("module")), workbench.settings.root)


def _stamp(file: Path) -> list[int]:
    try:
        found = file.stat()
    except OSError:
        return []
    return [found.st_mtime_ns, found.st_size]


def _file(workbench: Workbench) -> Path:
    return workbench.settings.state / "tasks.json"


def _read(file: Path) -> dict[str, Any]:
    import json

    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _key(module: str, root: Path) -> str:
    """Changes with every change of the package that holds the contracts, found without importing it, else of any file
    of the repository's Python."""
    import json
    import zlib
    from importlib.util import find_spec

    if not module:
        from devctl.discovery.code.modules import files_of

        stamps = [(str(file), _stamp(file)) for file in files_of(root)]
        return f"{len(stamps)} files, {zlib.crc32(json.dumps(stamps).encode())}"
    try:
        spec = find_spec(module.partition(".")[0])
    except (ImportError, ValueError):
        return ""
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = [file for folder in folders for file in sorted(Path(folder).rglob("*.py"))]
    return json.dumps([module, [(str(file), _stamp(file)) for file in files]])
