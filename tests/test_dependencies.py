"""docs/dependencies.md says why each dependency is here: all of them, and none that is gone."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
OURS = {"celeriac", "common-tasks"}


def declared() -> set[str]:
    names = set()
    for file in [ROOT / "pyproject.toml", *ROOT.glob("*/pyproject.toml")]:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
        project = document.get("project", {})
        groups = project.get("optional-dependencies", {}) | document.get("dependency-groups", {})
        wanted = [*project.get("dependencies", []), *(one for group in groups.values() for one in group)]
        names |= {re.split(r"[\[<>=;~! ]", one, maxsplit=1)[0] for one in wanted}
    return names - OURS


def explained() -> set[str]:
    names: set[str] = set()
    for line in (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.startswith(("| package", "|--")):
            names |= {name.strip() for name in line.split("|")[1].split(",")}
    return names


def test_every_dependency_is_explained_and_every_explained_one_is_a_dependency() -> None:
    assert declared() == explained()
