"""What Compose refuses, in devctl's words: the problem, what it means, the next command."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from pathlib import Path as FilePath

from devctl.errors import DevctlError
from devctl.settings import Settings
from devctl.stack import normal
from devctl.stack.document import Path

_ENV_FILE = re.compile(r"env file (?P<file>.+?) not found")
_VARIABLE = re.compile(r"required variable (?P<name>\w+) is missing a value(?:: (?P<why>.+))?")
_PROPERTY = re.compile(r"(?P<place>[\w.-]+) Additional property (?P<key>\S+) is not allowed")
_LEVEL = re.compile(r'time="[^"]*" level=\w+ msg="(?P<text>.*)"$')
_TEMPLATE = re.compile(r"example|sample|template|dist|default|skel", re.IGNORECASE)
_CHECK = "what Compose thinks of the files: docker compose config --quiet"


def explain(settings: Settings, said: str, where: Callable[[Path], str]) -> DevctlError:
    """Return the error for what Compose said; `where` tells file and line of a value."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and not _LEVEL.match(line.strip())]
    reason = lines[-1] if lines else "no reason given"
    if found := _ENV_FILE.search(said):
        return missing(FilePath(found["file"]))
    if found := _VARIABLE.search(said):
        why = f": {found['why']}" if found["why"] else ""
        return DevctlError(f"{found['name']} is not set{why}", hint=f"{found['name']}=… in .env, or in the environment")
    if found := _PROPERTY.search(said):
        near = difflib.get_close_matches(found["key"], normal.KEYS, n=1)
        place = where((*found["place"].split("."), found["key"]))
        return DevctlError(
            f"{place}: {found['place']}: Compose knows no key {found['key']!r} here"
            + (f": did you mean {near[0]}?" if near else ""),
            hint=f"change it in {place.partition(':')[0]}",
        )
    names = ", ".join(file.name for file in settings.compose_files)
    return DevctlError(
        f"Docker Compose refuses {names}: {reason}",
        hint=f"nothing can be started from it, neither by devctl nor by docker compose\n{_CHECK}",
    )


def lacks_env_file(said: str) -> bool:
    """Whether Compose refuses the files because an env_file is not there."""
    return _ENV_FILE.search(said) is not None


def missing(file: FilePath, service: str = "") -> DevctlError:
    """Return the error for an env_file that is not there."""
    from os.path import relpath

    shown = min(str(file), relpath(file), key=len)
    return DevctlError(
        f"{shown} is not there, and {service or 'a service'} reads its variables from it", hint=make(file)
    )


def make(file: FilePath) -> str:
    """Return the command that makes a missing env_file: a copy of its template, where the repository has one."""
    from os.path import relpath

    here = min(str(file), relpath(file), key=len)
    try:
        templates = [one for one in file.parent.iterdir() if _TEMPLATE.search(one.name) and "env" in one.name.lower()]
    except OSError:  # nor is its folder
        return f"mkdir -p {FilePath(here).parent}; then write NAME=value lines into {here}"
    near = max(templates, key=lambda one: difflib.SequenceMatcher(None, one.name, file.name).ratio(), default=None)
    if near is None:
        return f"write NAME=value lines into {here}; if its services need none: touch {here}"
    return f"cp {min(str(near), relpath(near), key=len)} {here}"
