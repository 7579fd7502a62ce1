"""devctl's own reading of made-up Compose projects, beside what Compose's plugin makes of them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.generated_projects import Maker
from tests.test_same_as_compose import compose_problem, lines

from devctl import settings
from devctl.errors import DevctlError
from devctl.stack import file, normal, plugin

PROJECTS = int(os.environ.get("PROJECTS", "200"))
FIRST = int(os.environ.get("FIRST_SEED", "0"))


def difference(seed: int, folder: Path) -> str | None:
    """What differs in the project of this seed; "" where nothing does, None where neither side takes it."""
    project = Maker(seed).make()
    root = folder / f"project-{seed}"
    project.write(root)
    environ = {"PATH": os.environ["PATH"], "HOME": "/", **project.environment}
    theirs: list[str] | str
    ours: list[str] | str
    try:
        taken = settings.load(start=root, environ=environ, runtime="auto", stack="")
        ours = lines(asdict(file.read_here(taken)))
    except DevctlError as problem:
        ours = problem.problem
        taken = settings.load(start=root, environ=environ, runtime="auto", stack="", forgiving=True)
    try:
        config = plugin.config(taken, None)
        assert config is not None
        theirs = lines(asdict(file.from_config(config, file.profiles(taken))))
    except (plugin.Refused, normal.Wrong, DevctlError) as refused:
        theirs = str(refused)
    if isinstance(ours, str) and isinstance(theirs, str):
        return None
    if ours == theirs:
        return ""
    return "\n".join([str(project), "devctl:", *_only(ours, theirs), "Compose:", *_only(theirs, ours)])


def _only(these: list[str] | str, those: list[str] | str) -> list[str]:
    if isinstance(these, str):
        return [these]
    return ["(takes it)"] if isinstance(those, str) else [line for line in these if line not in those]


def test_hundreds_of_projects_are_read_as_compose_reads_them(tmp_path: Path) -> None:
    if problem := compose_problem():
        pytest.skip(problem)
    with ThreadPoolExecutor(max_workers=4) as threads:
        found = list(threads.map(lambda seed: difference(seed, tmp_path), range(FIRST, FIRST + PROJECTS)))
    wrong = [one for one in found if one]
    assert not wrong, f"{len(wrong)} of {len(found)} differ; the first:\n{wrong[0]}"
    assert found.count(None) < len(found) / 3, "most of them are projects that both take"
