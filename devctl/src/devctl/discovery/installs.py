"""The folders that Python looks in since an image installed a project that is here: `pip install -e ./common`."""

from __future__ import annotations

import configparser
import posixpath
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from devctl.discovery import script
from devctl.discovery.container_files import ContainerFiles, is_there
from devctl.stack.dockerfile import Image

_VALUES = {
    *("-b", "-c", "-C", "-f", "-i", "-p", "-r", "-t", "--build", "--cache-dir", "--config-settings", "--constraint"),
    *("--extra-index-url", "--find-links", "--index-url", "--prefix", "--python", "--requirement", "--root", "--src"),
    *("--target", "--trusted-host"),
}
"""Options of pip whose value is the next word."""
_PROJECT = re.compile(r"(?:file://)?(?P<path>\.{0,2}(?:/[^\[]*)?)(?:\[[^\]]*\])?")
_ARCHIVES = (".whl", ".gz", ".zip", ".txt")


def roots(image: Image, files: ContainerFiles) -> tuple[str, ...]:
    """Return the folders of the container, in the order of their installation."""
    found: dict[str, None] = {}
    for project in _projects(image):
        found |= dict.fromkeys(_roots(project, files))
    return tuple(found)


def _projects(image: Image) -> Iterator[str]:
    folder = "/"
    for one in image.instructions:
        if one.word == "WORKDIR":
            folder = posixpath.normpath(posixpath.join(folder, one.text))
        elif one.word == "RUN":
            text = "\n".join(one.heredocs) or one.text
            runs = [(one.words, folder)] if one.words is not None else []
            runs = runs or [(run.words, run.folder) for run in script.commands(text, image.environment, folder=folder)]
            for words, where in runs:
                for path in _installed(words):
                    yield posixpath.normpath(posixpath.join(where or folder, path))


def _installed(words: Sequence[str]) -> Iterator[str]:
    """The folders that this command line of pip installs."""
    names = [posixpath.basename(word) for word in words[:4]]
    at = names.index("install") if "install" in names else 0
    if not at or not re.fullmatch(r"pip[\d.]*", names[at - 1]):
        return
    value = False
    for word in words[at + 1 :]:
        found = _PROJECT.fullmatch(word.removeprefix("--editable="))
        if not value and word and found and not word.endswith(_ARCHIVES):
            yield found["path"]
        value = word in _VALUES


def _roots(project: str, files: ContainerFiles) -> Iterator[str]:
    """Where the packages of a project are: where its own file says, else in `src`, else beside that file."""
    said = [*_said_by_toml(_text(files, project, "pyproject.toml")), *_said_by_cfg(_text(files, project, "setup.cfg"))]
    places = [posixpath.normpath(posixpath.join(project, folder)) for folder in said or ["src"]]
    there = [place for place in places if (here := files.here(place)) and is_there(here, folder=True)]
    yield from there or [project]


def _text(files: ContainerFiles, project: str, name: str) -> str:
    found = files.find(posixpath.join(project, name), "/")
    return found.text if found else ""


def _said_by_toml(text: str) -> Iterator[str]:
    tool: Any = {}
    with suppress(tomllib.TOMLDecodeError):
        tool = tomllib.loads(text).get("tool", {})
    setuptools = _get(tool, "setuptools")
    directories = _get(setuptools, "package-dir")
    if isinstance(said := directories.get(""), str):
        yield said
    where = _get(setuptools, "packages", "find").get("where", [])
    yield from (one for one in where if isinstance(one, str)) if isinstance(where, list) else ()
    for one in _list(_get(tool, "poetry").get("packages")):
        if isinstance(one, Mapping) and isinstance(said := one.get("from", ""), str):
            yield said
    for one in _list(_get(tool, "hatch", "build", "targets", "wheel").get("packages")):
        if isinstance(one, str):
            yield posixpath.dirname(one.rstrip("/"))


def _get(table: Any, *keys: str) -> Mapping[str, Any]:
    for key in keys:
        table = table.get(key) if isinstance(table, Mapping) else None
    return table if isinstance(table, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _said_by_cfg(text: str) -> Iterator[str]:
    reader = configparser.RawConfigParser(strict=False)
    with suppress(configparser.Error):
        reader.read_string(text)
        for line in reader.get("options", "package_dir", fallback="").splitlines():
            name, _, folder = line.partition("=")
            if not name.strip() and folder.strip():
                yield folder.strip()
