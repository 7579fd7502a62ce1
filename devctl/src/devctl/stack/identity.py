"""Who a stack is: its Compose project name, its folder of state, and the variables it was made with."""

from __future__ import annotations

import json
import re
import shutil
from collections import ChainMap
from collections.abc import Mapping
from pathlib import Path

from devctl.errors import DevctlError, UsageError
from devctl.interpolation import InterpolationError, interpolate
from devctl.settings import Settings
from devctl.stack import document

MAIN = "main"
"""The folder of the checkout's own stack, so no name for an isolated one."""
_LETTERS = "bcdfghjkmnpqrstvwxz"  # no vowels: no words
_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]*")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,30}")


def project_name(settings: Settings) -> str:
    """Return the Compose project name, found as Compose finds it; an isolated stack adds its own name."""
    own = _own_name(settings)
    return f"{own}-{settings.stack}" if settings.stack else own


def state_dir(settings: Settings) -> Path:
    """Return the folder of this stack's state; it may not exist."""
    return settings.state / "stacks" / (settings.stack or MAIN)


def interpolation(settings: Settings) -> Mapping[str, str]:
    """Return what the file is interpolated with: the stack's variables over the user's; UsageError: no such stack."""
    if settings.stack and not (state_dir(settings) / "env.json").is_file():
        others = ", ".join(known(settings)) or "none"
        raise UsageError(f"no stack {settings.stack!r} here", hint=f"stacks: {others}; a new one: devctl up --isolated")
    name = {"COMPOSE_PROJECT_NAME": project_name(settings)}
    return ChainMap(overrides(settings), name, dict(settings.environment))


def overrides(settings: Settings) -> dict[str, str]:
    """Return the variables the stack was created with; empty for the checkout's own."""
    file = state_dir(settings) / "env.json"
    try:
        return {str(k): str(v) for k, v in json.loads(file.read_text(encoding="utf-8")).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError) as broken:
        raise DevctlError(f"{file} is damaged: {broken}", hint=f"remove {file.parent}, then start again") from broken


def create(settings: Settings, variables: Mapping[str, str]) -> None:
    """Make the stack known, with the variables it is to be interpolated with from now on."""
    if settings.stack and (settings.stack == MAIN or not _NAME.fullmatch(settings.stack)):
        raise UsageError(
            f"{settings.stack!r} cannot be the name of a stack", hint="lower-case letters, digits, - and _; not 'main'"
        )
    folder = state_dir(settings)
    settings.make_state()
    folder.mkdir(parents=True, exist_ok=True)
    if variables or settings.stack:
        (folder / "env.json").write_text(json.dumps(dict(variables)), encoding="utf-8")


def isolate(settings: Settings) -> None:
    """Make a stack beside the checkout's own known: one whose ports, names and data are moved (`isolation`)."""
    create(settings, {})
    (state_dir(settings) / "isolated").touch()


def isolated(settings: Settings) -> bool:
    """Whether the stack was made so; those of demo and chaos have files or variables of their own instead."""
    return bool(settings.stack) and (state_dir(settings) / "isolated").is_file()


def new_name(settings: Settings) -> str:
    """Return a short random name that no stack here has: `k3f9`."""
    import secrets  # 10 ms, for this alone

    while True:
        name = "".join(secrets.choice(letters) for letters in (_LETTERS, *[_LETTERS + "23456789"] * 3))
        if name not in known(settings):
            return name


def known(settings: Settings) -> list[str]:
    """Return the names of the isolated stacks of this checkout."""
    files = (settings.state / "stacks").glob("*/env.json")
    return sorted(file.parent.name for file in files if file.parent.name != MAIN)


def forget(settings: Settings) -> None:
    """Remove the stack's state; it is unknown afterwards."""
    shutil.rmtree(state_dir(settings), ignore_errors=True)


def last_runtime(settings: Settings) -> str:
    """Return the runtime this stack was last started on; empty after a full `down`."""
    try:
        return (state_dir(settings) / "runtime").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def remember_runtime(settings: Settings, runtime: str) -> None:
    """Note where this stack runs."""
    create(settings, overrides(settings))
    (state_dir(settings) / "runtime").write_text(runtime + "\n", encoding="utf-8")


def forget_runtime(settings: Settings, runtime: str) -> None:
    """Note that this stack no longer runs there; one that runs on the other runtime goes on."""
    if last_runtime(settings) == runtime:
        (state_dir(settings) / "runtime").unlink(missing_ok=True)


def files(settings: Settings) -> tuple[Path, ...]:
    """Return all Compose files of the stack, in the order in which they are merged."""
    return settings.compose_files


def env_files(settings: Settings) -> tuple[Path, ...]:
    """Return the files of variables that Compose has to be told of: not a .env that it finds by itself."""
    return () if settings.env_files in ((), (settings.root / ".env",)) else settings.env_files


def _project(name: str, source: str) -> str:
    """The name, if Compose takes it."""
    if not _PROJECT.fullmatch(name):
        raise DevctlError(
            f"{source}: {name!r} cannot be the name of a project",
            hint="lower-case letters, digits, - and _; a letter or a digit first",
        )
    return name


def _own_name(settings: Settings) -> str:
    if name := settings.environment.get("COMPOSE_PROJECT_NAME"):
        return _project(name, "COMPOSE_PROJECT_NAME")
    name = ""
    for file in settings.compose_files:
        given = document.parse(file).data.get("name")
        try:
            if given and (written := interpolate(str(given), settings.environment)):
                name = _project(written, f"{file.name}: name")
        except InterpolationError as wrong:
            raise DevctlError(f"{file.name}: name: {wrong}") from wrong
    name = name or re.sub(r"[^-_a-z0-9]", "", settings.root.name.lower()).lstrip("_-")
    return name or "stack"  # a folder such as /工作 leaves nothing
