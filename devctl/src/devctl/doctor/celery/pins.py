"""Which packages a repository asks for, and in which versions: from the files that pip, uv, poetry and pipenv read."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from devctl.doctor.celery.evidence import Pin

_REQUIREMENT = re.compile(
    r"\s*([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*([=<>!~][^;#\s\\]*(?:\s*,\s*[=<>!~][^;#\s\\]*)*)?"
)
_EXACT = re.compile(r"===?\s*([0-9][\w.]*)$")
_LOCKS = ("poetry.lock", "uv.lock", "pdm.lock")


def read(root: Path, folders: Iterable[Path]) -> tuple[Pin, ...]:
    """The packages that these folders ask for; a lock counts for more than what it was made from."""
    found: list[Pin] = []
    for folder in dict.fromkeys(folders):
        pins = list(_folder(root, folder))
        locked = {pin.name for pin in pins if pin.version}
        found += [pin for pin in pins if pin.version or pin.name not in locked]
    return tuple(found)


def _folder(root: Path, folder: Path) -> Iterator[Pin]:
    for path in _files(folder):
        name = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
        try:
            text = path.read_text(encoding="utf-8")
            if path.name in _LOCKS:
                yield from _lock(text, name)
            elif path.name == "Pipfile.lock":
                yield from _pipenv(text, name)
            elif path.name == "pyproject.toml":
                yield from _project(text, name)
            else:
                yield from requirements(text, name)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # a file of another kind under the same name


def _files(folder: Path) -> list[Path]:
    here = [*folder.glob("requirements*.txt"), *folder.glob("requirements*/*.txt")]
    kept = [path for path in here if not re.search(r"dev|test|local|doc|lint", path.stem)]
    named = [folder / name for name in (*_LOCKS, "Pipfile.lock", "pyproject.toml")]
    return [path for path in (*sorted(kept), *named) if path.is_file()]


def requirements(text: str, file: str) -> Iterator[Pin]:
    """The lines of a requirements.txt."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip().startswith(("#", "-", "git+", "http", "./")) or "@" in line.partition("#")[0]:
            continue
        pin = _pin(line, file, number)
        if pin:
            yield pin


def _pin(text: str, file: str, line: int) -> Pin | None:
    found = _REQUIREMENT.match(text)
    if not found:
        return None
    exact = _EXACT.match(found[2] or "")
    return Pin(_normal(found[1]), exact[1] if exact else "", bool(found[2]), file, line)


def _lock(text: str, file: str) -> Iterator[Pin]:
    for package in tomllib.loads(text).get("package", []):
        line = _line(text, f'name = "{package["name"]}"')
        yield Pin(_normal(package["name"]), str(package.get("version", "")), True, file, line)


def _pipenv(text: str, file: str) -> Iterator[Pin]:
    for name, entry in json.loads(text).get("default", {}).items():
        yield Pin(_normal(name), str(entry.get("version", "")).lstrip("="), True, file, _line(text, f'"{name}"'))


def _project(text: str, file: str) -> Iterator[Pin]:
    document: dict[str, Any] = tomllib.loads(text)
    for words in document.get("project", {}).get("dependencies", []):
        pin = _pin(words, file, _line(text, words))
        if pin:
            yield pin
    for name, wanted in document.get("tool", {}).get("poetry", {}).get("dependencies", {}).items():
        version = wanted if isinstance(wanted, str) else wanted.get("version", "") if isinstance(wanted, dict) else ""
        exact = version if re.fullmatch(r"[0-9][0-9.]*", version) else ""
        yield Pin(_normal(name), exact, version not in ("", "*"), file, _line(text, name))


def _line(text: str, words: str) -> int:
    at = text.find(words)
    return text.count("\n", 0, at) + 1 if at >= 0 else 1


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
