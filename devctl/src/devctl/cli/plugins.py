"""Commands that are no part of devctl's own list: entry points of the group `devctl.commands`, NAME = MODULE:FUNCTION.

`devctl chaos` is one. So it can be left out of a wheel, and another package can bring a command of its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from devctl.errors import DevctlError

GROUP = "devctl.commands"


def commands() -> Iterator[tuple[str, Callable[..., None]]]:
    """Name and function of each; one whose module is not there is left out."""
    for name, target in found(sys.path).items():
        module, _, function = target.partition(":")
        try:
            yield name, getattr(import_module(module), function)
        except ModuleNotFoundError as missing:
            if not f"{module}.".startswith(f"{missing.name}."):
                yield name, _broken(name, target, missing)
        except Exception as wrong:  # whatever it does wrong, the other commands work
            yield name, _broken(name, target, wrong)


def found(folders: Sequence[str]) -> Mapping[str, str]:
    """Name -> target, read from the files themselves: importlib.metadata would take longer than all of a TAB may."""
    targets: dict[str, str] = {}
    for folder in folders:
        for file in _files(folder):
            for name, target in _read(file):
                targets.setdefault(name, target)
    return dict(sorted(targets.items()))


def _files(folder: str) -> Iterator[Path]:
    try:
        with os.scandir(folder or ".") as entries:
            for entry in entries:
                if entry.name.endswith((".dist-info", ".egg-info")):
                    yield Path(entry.path, "entry_points.txt")
    except OSError:  # sys.path has folders that are not there, and archives
        return


def _read(file: Path) -> Iterator[tuple[str, str]]:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError:  # most packages have none
        return
    _, _, group = text.partition(f"[{GROUP}]\n")
    for line in group.splitlines():
        if line.startswith("["):
            return
        name, equals, target = line.partition("=")
        if equals:
            yield name.strip(), target.strip()


def _broken(name: str, target: str, wrong: Exception) -> Callable[..., None]:
    def command() -> None:
        """Cannot be loaded."""
        raise DevctlError(
            f"the command {name} cannot be loaded: {type(wrong).__name__}: {wrong}",
            hint=f"{target} is an entry point of {GROUP}: mend or uninstall the package that has it",
        )

    return command
