"""Which file is which dotted module, as the container imports it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

_FOREIGN = {
    "__pycache__",
    "node_modules",
    "site-packages",
    "venv",
    "env",
    "virtualenv",
    "build",
    "dist",
    "htmlcov",
    "static",
    "staticfiles",
    "media",
}
"""Folders whose Python is somebody else's, or was made by a tool."""
_OF_OTHERS = {"example", "examples", "test", "testing", "tests", "third_party", "vendor", "vendored"}
"""Folders in which nobody looks for what a service imports."""
_REQUIREMENTS = ("requirements*.txt", "requirements/*.txt", "pyproject.toml", "Pipfile", "setup.py", "setup.cfg")
_MOST_FILES = 20_000


class Modules:
    """The Python files below a folder, and the folders that Python looks in."""

    def __init__(self, root: Path, paths: Sequence[Path] = (), app: str = "") -> None:
        self.root = root
        self._known: dict[str, Path | None] = {}
        self.files = files_of(root)
        self._folders = {folder for file in self.files for folder in file.relative_to(root).parents}
        said = [*paths, *self._of_app(app)]
        self._said = set(said)
        self.paths = list(dict.fromkeys([*said, *self._by_shape()]))

    def _of_app(self, app: str) -> Iterator[Path]:
        """The folder in which `-A proj.celery` means something; the shallowest, where there are several."""
        parts = tuple(app.partition(":")[0].split("."))
        for end in range(len(parts), 0, -1):
            tails = ((*parts[: end - 1], f"{parts[end - 1]}.py"), (*parts[:end], "__init__.py"))
            found = [
                file.parents[len(tail) - 1]
                for file in self.files
                for tail in tails
                if file.relative_to(self.root).parts[-len(tail) :] == tail
            ]
            found = [folder for folder in found if not (folder / "__init__.py").exists()] or found
            if found:
                yield min(found, key=lambda folder: (len(folder.parts), str(folder)))
                return

    def _by_shape(self) -> Iterator[Path]:
        """Where manage.py stands, the `src` of a src layout, the root, and what holds a top-level package."""
        named = [file.parent for file in self.files if file.name == "manage.py"]
        named += [self.root / one for one in self._folders if one.name == "src" and not self._is_package(one)]
        yield from sorted(named, key=lambda folder: (len(folder.parts), str(folder)))
        yield self.root
        for folder in sorted(self._folders, key=lambda one: (len(one.parts), str(one))):
            if self._is_package(folder) and folder.parts and not self._is_package(folder.parent):
                yield (self.root / folder).parent

    def _is_package(self, folder: Path) -> bool:
        return (self.root / folder / "__init__.py") in self._set

    @cached_property
    def _set(self) -> set[Path]:
        return set(self.files)

    def find(self, dotted: str) -> Path | None:
        """The file of a module, its `__init__.py` where it is a package; None where it is not of this repository."""
        if dotted not in self._known:
            self._known[dotted] = self._find(dotted)
        return self._known[dotted]

    def _find(self, dotted: str) -> Path | None:
        parts = dotted.split(".")
        if not all(part.isidentifier() for part in parts):
            return None
        for path in self.paths:
            stem = path.joinpath(*parts)
            for file in (stem / "__init__.py", stem.with_name(f"{stem.name}.py")):
                if file in self._set:
                    return file
        if place := self._only_place(parts[0]):
            self.paths.append(place)
            return self._find(dotted)
        return None

    def _only_place(self, name: str) -> Path | None:
        """The folder with a module that no folder has in which Python is known to look: where there is one only."""
        places = self._places.get(name, set()) - set(self.paths)
        if len(places) != 1 or name in sys.stdlib_module_names or re.search(rf"\b{name}\b", self._requirements):
            return None
        return next(iter(places))

    @cached_property
    def _places(self) -> dict[str, set[Path]]:
        """Top-level module -> the folders that have it."""
        found: dict[str, set[Path]] = {}
        for file in self.files:
            parts = file.relative_to(self.root).parts
            if _OF_OTHERS & {*parts[:-1]} or self._is_package(Path(*parts[:-2])):
                continue
            if len(parts) > 1:
                found.setdefault(parts[-2], set()).add(file.parents[1])
            if not self._is_package(Path(*parts[:-1])):
                found.setdefault(file.stem, set()).add(file.parent)
        return found

    @cached_property
    def _requirements(self) -> str:
        """What asks for packages: a module of such a name is that package's."""
        files = {file for name in _REQUIREMENTS for place in ("", "*/") for file in self.root.glob(f"{place}{name}")}
        text = "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file())
        return f"celery kombu\n{text}".lower().replace("-", "_")

    def is_folder(self, dotted: str) -> bool:
        """Whether it is a package, with or without an `__init__.py`."""
        return any(
            path.joinpath(*dotted.split(".")).relative_to(self.root) in self._folders
            for path in self.paths
            if path.is_relative_to(self.root)
        )

    def name(self, file: Path) -> str:
        """The dotted name by which this file is found: by the innermost folder that Python looks in."""
        best = ""
        for path in self.paths:
            if not file.is_relative_to(path):
                continue
            parts = list(file.relative_to(path).with_suffix("").parts)
            if parts[-1] == "__init__":
                parts.pop()
            dotted = ".".join(parts)
            # An import is written from the top: a name that begins inside of a package is not the one.
            inside = (path / "__init__.py") in self._set and path not in self._said
            if dotted and not inside and self.find(dotted) == file:
                best = dotted if not best or len(dotted) < len(best) else best
        if not best:
            parts = list(file.relative_to(self.root).with_suffix("").parts)
            best = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        return best


def files_of(root: Path) -> list[Path]:
    """The Python files below a folder that are its own, in order."""
    return sorted(_files(root))


def _files(root: Path) -> Iterator[Path]:
    count = 0
    for folder, folders, names in os.walk(root):
        folders[:] = [one for one in folders if not one.startswith(".") and not _is_foreign(Path(folder) / one)]
        migrations = Path(folder).name == "migrations"
        for name in names:
            if name.endswith(".py") and not (migrations and name[:1].isdigit()):
                count += 1
                if count > _MOST_FILES:
                    return
                yield Path(folder) / name


def _is_foreign(folder: Path) -> bool:
    if folder.name.endswith(".egg-info") or (folder / "pyvenv.cfg").exists():
        return True
    return folder.name in _FOREIGN and not (folder / "__init__.py").exists()
