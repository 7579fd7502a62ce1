"""A repository of one's own: a copy of the stack, with celeriac and devctl as folders in it.

What is copied are this repository's own files: from the checkout that devctl runs in, else from the wheel, which has
them from the day when it was built. celeriac and devctl come as folders and not as wheels: a project needs no package
index for them, its images take celeriac from there, and all tools work as they do here.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Container
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from devctl.errors import DevctlError, UsageError
from devctl.new import parts

_PACKED = "project_files"
_SECTIONS = ("devctl", "In containers", "What is promised", "Make it yours")


@dataclass(frozen=True)
class Project:
    """The files of a project: where each comes from, or its text where that is another one."""

    folder: Path
    copied: dict[Path, Path] = field(default_factory=dict)
    written: dict[Path, str] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path) -> Project:
        """UsageError where the folder holds something else."""
        made = cls(folder)
        for path, origin in _origins().items():
            made.copied[path] = origin
        readme = Path("README.md")
        made.written[readme] = _readme(folder.name, made.copied.pop(readme).read_text(encoding="utf-8"))
        makefile = Path("Makefile")
        made.written[makefile] = _makefile(made.copied.pop(makefile).read_text(encoding="utf-8"), made.copied)
        if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not made._is_there())):
            raise UsageError(f"{folder} is there already, and not empty", hint="devctl new project ANOTHER-FOLDER")
        return made

    def new(self) -> list[Path]:
        """The files that are not there yet."""
        return sorted(path for path in [*self.copied, *self.written] if not (self.folder / path).is_file())

    def write(self) -> None:
        """Put them there; what was executable stays so."""
        for path, origin in self.copied.items():
            if not (self.folder / path).is_file():
                (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(origin, self.folder / path)
        for path, text in self.written.items():
            if not (self.folder / path).is_file():
                (self.folder / path).write_text(text, encoding="utf-8")

    def _is_there(self) -> bool:
        """Whether this project was made there before: what its author changed since does not matter."""
        return all((self.folder / path).is_file() for path in (Path("docker-compose.yml"), Path("tools/setup")))


def _origins() -> dict[Path, Path]:
    here = Path(__file__).parent
    packed = here / _PACKED
    if not packed.is_dir():
        root = here.parents[3]
        if not (root / "docker-compose.yml").is_file():
            raise DevctlError(
                "this devctl has no files for a project: it was neither built as a wheel nor is it in a checkout",
                hint="make dist    builds the wheel in a checkout",
            )
        return {path: root / path for path in parts.files(root)}
    found = {path: packed / path for path in parts.files(packed)}
    for package in parts.PACKAGES:
        spec = find_spec(package)
        assert spec is not None, "devctl runs, and needs celeriac"
        assert spec.origin is not None, "a package with an __init__"
        folder = Path(spec.origin).parent
        for file in sorted(folder.rglob("*")):
            inside = file.relative_to(folder)
            if file.is_file() and "__pycache__" not in inside.parts and _PACKED not in inside.parts:
                found[Path(package, "src", package) / inside] = file
    return found


def _makefile(ours: str, files: Container[Path]) -> str:
    """This repository's own Makefile without the figures and pictures that it shows: their tools stay here."""
    text = re.sub(r"^(?:bench-peers|figures):[^\n]*\n(?:\t[^\n]*\n)+\n", "", ours, flags=re.MULTILINE)
    text = re.sub(
        r"^\.PHONY:.*$", lambda line: re.sub(r" (?:bench-peers|figures)\b", "", line[0]), text, flags=re.MULTILINE
    )
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if all(Path(tool) in files for tool in re.findall(r"\btools/[\w.]+", line)))


def _readme(name: str, ours: str) -> str:
    """The parts of this repository's README that a user of the stack needs."""
    sections = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", ours, re.DOTALL | re.MULTILINE))
    kept = "".join(f"## {title}\n{sections[title]}" for title in _SECTIONS if title in sections)
    return f"""# {name}
Celery services on Redis: typed task contracts, a worker, an example API and an example consumer, one Compose
file. `devctl` is the workbench, `celeriac` the engine; both are folders here. How they work is in [docs](docs/).

```
make demo    # one task through real services, a short benchmark, what to try next
make test    # all tests; those that need containers run where an engine answers
```
Both set up what they need in `.venv`. For the commands below: `make setup`, then `. .venv/bin/activate`.

{kept}"""
