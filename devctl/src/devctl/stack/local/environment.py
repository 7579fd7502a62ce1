"""The Python environment of a service, made by uv from its recipe, once for all services that install the same."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devctl.errors import DevctlError
from devctl.stack import sources
from devctl.stack.local import network
from devctl.stack.local.recipe import Install, Recipe
from devctl.stack.local.root import Root

_DECLARES = re.compile(
    r"(.*requirements.*|constraints.*)\.(txt|in)|pyproject\.toml|.*\.lock|Pipfile(\.lock)?|setup\.(py|cfg)|requires.*\.txt"
)
_COMPLETE = "complete"
_TAIL = 12
"""Lines of a failed installation that are shown."""
_VERSION = 4
"""Of what this module makes: another one makes every environment anew."""


@dataclass(frozen=True)
class Environment:
    """One environment, there or still to be made."""

    folder: Path

    @property
    def ready(self) -> bool:
        """Whether it was made, to the end."""
        return (self.folder / _COMPLETE).is_file()

    @property
    def programs(self) -> Path:
        """Its bin."""
        return self.folder / "bin"

    @property
    def python(self) -> str:
        """Which Python it got, as it was noted."""
        with suppress(OSError):
            return (self.folder / _COMPLETE).read_text(encoding="utf-8").strip()
        return ""


def of(recipe: Recipe, folder: Path, root: Root) -> Environment:
    """Return the environment of this recipe, below `folder`; its name is what it is made from.

    One that holds a project of the image itself holds it by its path, and is its service's alone.
    """
    total = hashlib.sha256(f"{_VERSION}\0{recipe.python}\0{sys.platform}".encode())
    for step in recipe.installs:
        total.update(json.dumps([step.tool, step.words, step.folder, dict(step.environment)]).encode())
    if any(_of_a_project(step) or any(map(_project, step.words)) for step in recipe.installs):
        total.update(os.fsencode(root.folder))
    if recipe.build and recipe.installs:
        for context in (recipe.build.context, *recipe.build.additional_contexts.values()):
            for path in sources.files(context):
                if _DECLARES.fullmatch(path.name) or "requirements" in path.relative_to(context).parts:
                    total.update(f"\0{path.relative_to(context)}\0".encode("utf-8", "surrogateescape"))
                    with suppress(OSError):
                        total.update(path.read_bytes())
    return Environment(folder / total.hexdigest()[:16])


def make(recipe: Recipe, environment: Environment, root: Root, emit: Callable[[str], None]) -> None:
    """Make it; DevctlError with the last lines of what failed."""
    uv = program()
    shutil.rmtree(environment.folder, ignore_errors=True)
    environment.folder.parent.mkdir(parents=True, exist_ok=True)
    python = _python(uv, recipe.python)
    emit(f"Python {_told(python, recipe.python)}")
    seed = ["--seed"] if recipe.installs else []  # pip, which an image has, too
    venv = [uv, "venv", "--no-project", "--quiet", *seed, "--python", python, str(environment.folder)]
    _run(venv, root.folder, emit)
    if seed and _numbers(_told(python, "")) < (3, 12):  # such an image has them, and old packages count on it
        pip = [uv, "pip", "install", "--quiet", "--python", str(environment.programs / "python")]
        _run([*pip, "setuptools<81", "wheel"], root.folder, emit)
    bytecode = ["--compile-bytecode"] if _numbers(_told(python, "")) >= (3, 7) else []  # uv's way needs that
    for step in recipe.installs:
        for words in _installs(uv, step, root, environment.folder):
            emit(f"{step.where} {step.tool} {' '.join(step.words)}".replace(str(root.folder), ""))
            _run(
                [*words, *bytecode, "--python", str(environment.programs / "python")],
                root.path(step.folder, step.stage),
                emit,
                step,
            )
        if _of_a_project(step):
            _found_in(environment, root.path(step.folder))
    _stand_ins(environment.programs)
    network.install(environment.programs)
    (environment.folder / _COMPLETE).write_text(_told(python, recipe.python) + "\n", encoding="utf-8")


def program() -> str:
    """Return uv: from PATH, else the one that devctl depends on."""
    if found := shutil.which("uv"):
        return found
    from uv import find_uv_bin

    try:
        return find_uv_bin()
    except FileNotFoundError as missing:
        raise DevctlError(
            "no uv on PATH, and the package that devctl needs it from has none for this platform",
            hint="install uv, or use containers: --runtime compose",
        ) from missing


def _python(uv: str, version: str) -> str:
    """Return an interpreter of this version: one that is here, one that uv gets, else the nearest that is here."""
    if not version:
        return _found(uv, ">=3.11,<3.14") or _found(uv, "") or sys.executable
    if here := _found(uv, version) or _of_pyenv(version):
        return here
    if subprocess.run([uv, "python", "install", "--quiet", version], capture_output=True, check=False).returncode == 0:
        return version
    wanted = _numbers(version)
    others = [text for text in ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14") if text != version]
    for other in sorted(others, key=lambda text: (abs(_numbers(text)[1] - wanted[1]), -_numbers(text)[1])):
        if here := _found(uv, other) or _of_pyenv(other):
            return here
    return sys.executable


def _found(uv: str, version: str) -> str:
    command = [
        uv,
        "python",
        "find",
        "--no-project",
        "--no-python-downloads",
        "--system",
        *([version] if version else []),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def _of_pyenv(version: str) -> str:
    folder = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(folder.glob(f"{version}.*/bin/python{version}"), key=lambda path: _numbers(path.parts[-3]))
    return str(found[-1]) if found else ""


def _told(python: str, wanted: str) -> str:
    """`3.11.7`, or `3.11.7 (3.8 is not here)`."""
    done = subprocess.run(
        [python, "-c", "import platform; print(platform.python_version())"], capture_output=True, text=True, check=False
    )
    version = done.stdout.strip() or python
    return (
        version
        if not wanted or version.startswith(f"{wanted}.") or version == wanted
        else f"{version} ({wanted} is not here)"
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


def _run(command: list[str], folder: Path, emit: Callable[[str], None], step: Install | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
    }
    tail: list[str] = []
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**settings, **(step.environment if step else {})},
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip():
                emit(line.rstrip())
                tail = [*tail, line.rstrip()][-_TAIL:]
    if process.returncode:
        what = f"{step.where}: {step.tool} {' '.join(step.words)}" if step else "uv venv"
        raise DevctlError(
            f"{what} failed",
            details=tail,
            hint="a package without a wheel needs a compiler and the libraries that the Dockerfile installs\n"
            "or use containers: --runtime compose",
        )


def _installs(uv: str, step: Install, root: Root, lists: Path) -> Iterator[list[str]]:
    """Return the calls of uv that do what this step does."""
    folder = root.path(step.folder, step.stage)
    if step.tool == "pip":
        yield [uv, "pip", "install", *_here(step, root)]
        return
    wanted = lists / "requirements.txt"
    if step.tool == "uv":
        kept = [
            word
            for word in step.words
            if word
            not in (
                "--locked",
                "--frozen",
                "--compile-bytecode",
                "--no-cache",
                "-q",
                "--inexact",
                "--no-install-project",
            )
        ]
        kept = [word for word in kept if not word.startswith(("--link-mode", "--python"))]
        frozen = ["--frozen"] if (folder / "uv.lock").is_file() else []
        command = [
            uv,
            "export",
            "--quiet",
            "--no-hashes",
            "--no-emit-project",
            *frozen,
            *kept,
            "--output-file",
            str(wanted),
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise DevctlError(
                f"{step.where}: uv sync {' '.join(step.words)}: {done.stderr.strip()}",
                hint="use containers: --runtime compose",
            )
        yield [uv, "pip", "install", "-r", str(wanted)]
    elif step.tool == "pipenv":
        lines = _of_pipenv(folder, dev="--dev" in step.words or "-d" in step.words)
        if lines is None:
            yield [
                uv,
                "pip",
                "install",
                "--compile-bytecode",
                *[word for word in step.words if not word.startswith("-")],
            ]
            return
        wanted.write_text("\n".join(lines) + "\n", encoding="utf-8")
        yield [uv, "pip", "install", "-r", str(wanted)]
    else:
        lines, pins = _of_poetry(folder, step)
        wanted.write_text("\n".join(lines) + "\n", encoding="utf-8")
        constraints = lists / "constraints.txt"
        constraints.write_text("\n".join(pins) + "\n", encoding="utf-8")
        yield [uv, "pip", "install", "-r", str(wanted), "-c", str(constraints)]


def _here(step: Install, root: Root) -> list[str]:
    """Replace the container's absolute paths, and hold a project by its path: its code is there, and may change."""
    found: list[str] = []
    for word in step.words:
        option, mark, value = word.rpartition("=") if word.startswith("--") else ("", "", word)
        if value.startswith("-r/"):
            option, value = "-r", value[2:]
        if _project(word) and found[-1:] not in (["-e"], ["--editable"], ["-r"], ["-c"]):
            found.append("-e")
        found.append(f"{option}{mark}{root.path(value, step.stage)}" if value.startswith("/") else word)
    return found


def _project(word: str) -> bool:
    """Whether a word of `pip install` is a folder with a project: `.`, `./lib[extra]`, `/app`."""
    folder = re.fullmatch(r"(\.{1,2}|/|\./|\.\./)[\w./-]*(\[[\w,-]+\])?", word)
    return bool(folder) and not word.endswith((".txt", ".in", ".whl", ".gz"))


def _of_a_project(step: Install) -> bool:
    """Whether it installs the project itself, too, besides what it depends on."""
    return (step.tool == "uv" and "--no-install-project" not in step.words) or (
        step.tool == "poetry" and "--no-root" not in step.words
    )


def _found_in(environment: Environment, folder: Path) -> None:
    """Have Python look for a project where it is: its code may change, and a build of it would be for nothing."""
    for packages in (environment.folder / "lib").glob("python*/site-packages"):
        with (packages / "devctl_projects.pth").open("a", encoding="utf-8") as file:
            file.write(f"{folder}\n{folder / 'src'}\n")


def _of_pipenv(folder: Path, *, dev: bool) -> list[str] | None:
    file = folder / "Pipfile.lock"
    if not file.is_file():
        return None
    found = json.loads(file.read_text(encoding="utf-8"))
    groups = ("default", "develop") if dev else ("default",)
    lines = []
    for group in groups:
        for name, one in (found.get(group) or {}).items():
            extras = f"[{','.join(one['extras'])}]" if one.get("extras") else ""
            marker = f" ; {one['markers']}" if one.get("markers") else ""
            source = f" @ git+{one['git']}@{one.get('ref', 'HEAD')}" if "git" in one else one.get("version", "")
            lines.append(f"{name}{extras}{'' if source == '*' else source}{marker}")
    return lines


def _of_poetry(folder: Path, step: Install) -> tuple[list[str], list[str]]:
    """Return what the project asks for, and the versions that its lock has."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    poetry: Mapping[str, Any] = project.get("tool", {}).get("poetry", {})
    lines = list(project.get("project", {}).get("dependencies", []))
    tables = [poetry.get("dependencies", {})]
    words = " ".join(step.words)
    if not re.search(r"--only[= ]|--no-dev", words):
        without = set(re.findall(r"[\w-]+", "".join(re.findall(r"--without[= ]([\w,-]+)", words))))
        groups: Mapping[str, Any] = {
            "dev": {"dependencies": poetry.get("dev-dependencies", {})},
            **poetry.get("group", {}),
        }
        asked = set(re.findall(r"[\w-]+", "".join(re.findall(r"--with[= ]([\w,-]+)", words))))
        tables += [
            g.get("dependencies", {})
            for n, g in groups.items()
            if n not in without and (not g.get("optional") or n in asked)
        ]
    for table in tables:
        lines += [line for name, wanted in table.items() if name != "python" for line in _requirement(name, wanted)]
    lock = folder / "poetry.lock"
    locked = tomllib.loads(lock.read_text(encoding="utf-8")).get("package", []) if lock.is_file() else []
    many = [one["name"] for one in locked]
    return lines, [
        f"{one['name']}=={one['version']}" for one in locked if many.count(one["name"]) == 1 and "source" not in one
    ]


def _requirement(name: str, wanted: Any) -> Iterator[str]:
    if isinstance(wanted, list):
        wanted = wanted[0] if wanted else "*"
    if isinstance(wanted, str):
        wanted = {"version": wanted}
    if wanted.get("optional") or "path" in wanted:
        return
    extras = f"[{','.join(wanted['extras'])}]" if wanted.get("extras") else ""
    marker = f" ; {wanted['markers']}" if wanted.get("markers") else ""
    if "git" in wanted:
        at = wanted.get("rev") or wanted.get("tag") or wanted.get("branch")
        yield f"{name}{extras} @ git+{wanted['git']}{f'@{at}' if at else ''}{marker}"
    elif "url" in wanted:
        yield f"{name}{extras} @ {wanted['url']}{marker}"
    else:
        yield f"{name}{extras}{versions(str(wanted.get('version', '*')))}{marker}"


def versions(poetry: str) -> str:
    """Return Poetry's `^1.2`, `~1.2` and `1.2.*` as everybody else writes them."""

    def one(text: str) -> str:
        text = text.strip()
        if text in ("", "*"):
            return ""
        if text[0] not in "^~" or text.startswith("~="):
            return text if text[0] in "<>=!~" else f"=={text}"
        numbers = list(_numbers(re.split(r"[a-zA-Z+-]", text[1:].strip())[0]))
        if text[0] == "~":
            at = 0 if len(numbers) == 1 else 1
        else:
            at = next((index for index, number in enumerate(numbers) if number), len(numbers) - 1)
        above = [*numbers[:at], numbers[at] + 1]
        return f">={text[1:].strip()},<{'.'.join(map(str, above))}"

    return ",".join(part for part in map(one, poetry.replace(" || ", ",").split(",")) if part)


def _stand_ins(programs: Path) -> None:
    """Put `poetry run X`, `uv run X` and `pipenv run X` there: here, X itself is in the environment."""
    for name in ("poetry", "pipenv", "uv"):
        file = programs / name
        if file.exists():
            continue
        file.write_text(
            "#!/bin/sh\n"
            "# devctl: what this would run lies beside it\n"
            'if [ "$1" = run ]; then shift; while [ "${1#-}" != "$1" ]; do shift; done; exec "$@"; fi\n'
            f'echo "{name} $*: not run, devctl has installed the environment" >&2\n',
            encoding="utf-8",
        )
        file.chmod(0o755)
