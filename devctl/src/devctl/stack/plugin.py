"""`docker compose config`: Compose's own answer to what its files say. It needs the plugin, and no engine.

It takes 70 ms, which `ps` should not pay each time: once devctl has a folder in the checkout, the answer is kept there
for as long as everything that it was made from is the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from devctl.settings import Settings
from devctl.stack import identity

_FOLDERS = (
    *("/usr/local/lib/docker/cli-plugins", "/usr/local/libexec/docker/cli-plugins"),
    *("/usr/lib/docker/cli-plugins", "/usr/libexec/docker/cli-plugins"),
)
_FORMAT = 1  # of what is kept
_PATIENCE_SECONDS = 30.0  # an include may be fetched
_OF_COMPOSE = ("COMPOSE_", "DOCKER_")
_ABSENT = re.compile(  # no plugin, or another program behind the name `docker`
    r"is not a docker command|unknown (?:command|shorthand flag|flag)|unrecognized arguments|no such command|podman"
)


_answers: dict[str, Mapping[str, Any]] = {}
"""Of this process: a command reads the files more than once."""


class Refused(Exception):  # never leaves this folder: it becomes a DevctlError that says more
    """Compose does not take the files; what it said."""


def config(settings: Settings, files: Iterable[Path] | None) -> Mapping[str, Any] | None:
    """Return the project with the services of all profiles; None without the plugin, Refused with Compose's words.

    `files` are all that it is made from; None where nobody knows them: then the answer is not kept.
    """
    environment = dict(identity.interpolation(settings))
    call = _call(environment)
    if call is None:
        return None
    words = [*call, *project(settings)]
    kept = identity.state_dir(settings) / "compose.json"
    key = None if files is None else _key(words, files, environment)
    if key and (found := _answers.get(key) or _kept(kept, key)) is not None:
        return found
    answer = _ask([*words, "--profile", "*"], environment)
    if isinstance(answer, Refused):  # a file that only a service of some profile needs may not be there
        fewer = _ask(words, environment)
        if isinstance(fewer, Refused) or fewer is None or not fewer.get("services"):
            raise answer
        answer = fewer
    if answer is not None and key:
        _answers[key] = answer
        _keep(settings, kept, key, answer)
    return answer


def project(settings: Settings) -> list[str]:
    """The options that have `docker compose` take the files, the name and the folder that devctl takes."""
    files = [word for file in identity.files(settings) for word in ("--file", str(file))]
    env_files = [word for file in identity.env_files(settings) for word in ("--env-file", str(file))]
    name = ("--project-name", identity.project_name(settings))
    return [*files, *env_files, *name, "--project-directory", str(settings.root)]


def _call(environment: Mapping[str, str]) -> list[str] | None:
    """The plugin itself where it is in its usual place: half as long as through docker."""
    docker = shutil.which("docker", path=environment.get("PATH", ""))
    if docker is None:
        return None
    home = environment.get("DOCKER_CONFIG") or str(Path(environment.get("HOME") or "/") / ".docker")
    for folder in (f"{home}/cli-plugins", *_FOLDERS):
        plugin = Path(folder) / "docker-compose"
        if os.access(plugin, os.X_OK):
            return [str(plugin)]
    return [docker, "compose"]


def _ask(words: Sequence[str], environment: Mapping[str, str]) -> Mapping[str, Any] | Refused | None:
    try:
        done = subprocess.run(
            [*words, "config", "--format", "json"],
            stdin=subprocess.DEVNULL,
            capture_output=True,  # warnings are on stderr: `version` is obsolete, a variable is not set
            timeout=_PATIENCE_SECONDS,
            env=dict(environment),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    said = done.stderr.decode(errors="replace")
    if done.returncode:
        return None if _ABSENT.search(said) else Refused(said)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _key(words: Sequence[str], files: Iterable[Path], environment: Mapping[str, str]) -> str:
    """Changes with every file, with every variable whose name stands in one of them, and with the plugin."""
    contents = {str(file): _bytes(file) for file in files}
    names = set(re.findall(rb"\w+", b"\n".join(content for content in contents.values() if content)))
    variables = {
        name: value
        for name, value in environment.items()
        if name.encode() in names or name.startswith(_OF_COMPOSE) or name == "HOME"
    }
    with suppress(OSError):
        variables[""] = str(Path(words[0]).stat().st_mtime_ns)
    digests = {name: content and hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    made_from = json.dumps([_FORMAT, list(words), digests, variables], sort_keys=True, default=str)
    return hashlib.sha256(made_from.encode()).hexdigest()


def _bytes(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None


def _kept(file: Path, key: str) -> Mapping[str, Any] | None:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    known = isinstance(content, dict) and content.get("key") == key and isinstance(content.get("config"), dict)
    return content["config"] if known else None


def _keep(settings: Settings, file: Path, key: str, config: Mapping[str, Any]) -> None:
    """It holds what the services are told, passwords too: for its owner alone."""
    if not settings.state.is_dir():  # nothing was started here yet: a question alone leaves no trace
        return
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(f".{os.getpid()}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
            json.dump({"key": key, "config": config}, out)
        draft.replace(file)
