"""The Compose files of a project as one: interpolated, extended, included, merged, every path absolute.

What `docker compose config` makes of them, without its plugin.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from os.path import normpath
from pathlib import Path as FilePath
from typing import Any

from devctl import dotenv
from devctl.interpolation import InterpolationError, interpolate
from devctl.stack import merge, normal
from devctl.stack.document import Document, Path, parse

_IMPORTED = ("services", "volumes", "networks", "secrets", "configs")
_REMOTE = re.compile(r"[a-z+-]+://|git@|github\.com/|oci:|service:|docker-image:|target:")


class Written(str):
    """A value that was interpolated, and how it is written in the file."""

    __slots__ = ("raw",)
    raw: str

    @classmethod
    def of(cls, value: str, raw: str) -> Written:
        """The value, with what it was made from."""
        made = cls(value)
        made.raw = raw
        return made


@dataclass(frozen=True)
class Unset:
    """A variable that the file uses and nobody set: it is empty there."""

    name: str
    where: str
    """`docker-compose.yml:12`."""


@dataclass
class Composition:
    """What was read, and from where."""

    data: dict[str, Any] = field(default_factory=dict)
    """The values of all files as one."""
    documents: list[Document] = field(default_factory=list)
    """The files in the order in which they were read, with those that are included or extended."""
    files: list[FilePath] = field(default_factory=list)
    """Every file that counts, those that are not there, too."""
    unset: list[Unset] = field(default_factory=list)

    def where(self, path: Path) -> str:
        """`docker-compose.yml:12`: where a value is written, or the nearest around it."""
        while path:
            holders = [document for document in self.documents if path in document.lines]
            if holders and not (isinstance(path[-1], int) and len(holders) > 1):  # lists are joined: whose entry is it?
                return holders[-1].where(path)
            path = path[:-1]
        return self.documents[0].where(()) if self.documents else ""

    def read(self, files: Sequence[FilePath], root: FilePath, environment: Mapping[str, str]) -> None:
        """Read the project; `normal.Wrong` and DevctlError for what is wrong in it."""
        self.data = self._model(files, root, environment, ())

    def _model(
        self, files: Sequence[FilePath], root: FilePath, environment: Mapping[str, str], way: tuple[FilePath, ...]
    ) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for file in files:
            document, data = self._parsed(file, environment)
            if isinstance(data.get("services"), dict):
                services = data["services"]
                for name in services:
                    services[name] = self._extended(name, services, document, root, environment, ())
            for path in document.cleared:
                merge.without(merged, path)
            self._include(data, root, environment, (*way, files[0]))
            _resolve(data, root)  # before it is merged: a file is the same one, however it is named
            merged = merge.unique(merge.files(merged, data))
        for service in (merged.get("services") or {}).values():
            if isinstance(service, dict) and isinstance(service.get("build"), dict):
                service["build"].setdefault("context", str(root))
        _pass_through(merged, environment, top=not way)
        return merged

    def _parsed(self, file: FilePath, environment: Mapping[str, str]) -> tuple[Document, dict[str, Any]]:
        self.files.append(file)
        document = parse(file)
        self.documents.append(document)
        return document, self._interpolated(document, environment)

    def _interpolated(self, document: Document, environment: Mapping[str, str]) -> Any:
        def walk(value: Any, path: Path) -> Any:
            if isinstance(value, dict):
                return {key: walk(item, (*path, key)) for key, item in value.items()}
            if isinstance(value, list):
                return [walk(item, (*path, index)) for index, item in enumerate(value)]
            if isinstance(value, str) and "$" in value:
                try:
                    found = interpolate(
                        value, environment, lambda name: self.unset.append(Unset(name, document.where(path)))
                    )
                except InterpolationError as wrong:
                    raise normal.Wrong(path, str(wrong)) from wrong
                return Written.of(found, value)
            return value

        return walk(document.data, ())

    def _extended(
        self,
        name: str,
        services: Mapping[str, Any],
        document: Document,
        root: FilePath,
        environment: Mapping[str, str],
        way: tuple[tuple[FilePath, str], ...],
    ) -> Any:
        """The service with what it extends; its paths are relative to `root`, those of another file absolute."""
        own = services[name]
        if not isinstance(own, Mapping) or own.get("extends") is None:
            return own
        at: Path = ("services", name, "extends")
        given = own["extends"]
        asked = given if isinstance(given, Mapping) else {"service": given}
        base, source, folder = str(asked.get("service") or ""), document, root
        if (document.file, name) in way:
            raise normal.Wrong(at, "the services extend each other")
        if other := asked.get("file"):
            file = _absolute(other, root)
            _there(file, at)
            source, data = self._parsed(file, environment)
            services, folder = data.get("services") or {}, file.parent
        if base not in services:
            raise normal.Wrong(at, f"no service {base!r} in {source.file.name}")
        found = self._extended(base, services, source, folder, environment, (*way, (document.file, name)))
        found = deepcopy(found) or {}
        if other:
            _resolve({"services": {name: found}}, folder)
            _resolve({"services": {name: own}}, root)
        for path in document.cleared:
            if path[:2] == ("services", name):
                merge.without({"services": {name: found}}, path)
        return merge.services(found, {key: value for key, value in own.items() if key != "extends"}, name)

    def _include(
        self, data: dict[str, Any], root: FilePath, environment: Mapping[str, str], way: tuple[FilePath, ...]
    ) -> None:
        """Take what other files have into `data`."""
        given = data.pop("include", None) or ()
        if not isinstance(given, list | tuple):
            raise normal.Wrong(("include",), "not a list")
        for index, entry in enumerate(given):
            at: Path = ("include", index)
            asked = entry if isinstance(entry, Mapping) else {"path": entry}
            paths = normal.names(asked.get("path"))
            if not paths or any(_REMOTE.match(path) for path in paths):
                raise normal.Wrong(at, "only files of this machine can be read here; Docker Compose may read it")
            files = [_absolute(path, root) for path in paths]
            for file in files:
                _there(file, at)
            if files[0] in way:
                raise normal.Wrong(at, f"the files include each other: {' → '.join(file.name for file in way)}")
            folder = _absolute(asked["project_directory"], root) if asked.get("project_directory") else files[0].parent
            env_files = [_absolute(name, root) for name in normal.names(asked.get("env_file"))]
            for file in env_files:
                _there(file, at)
            env_files = env_files or [folder / ".env"]
            own: dict[str, str] = {}
            for file in env_files:
                self.files.append(file)
                own |= dotenv.read(file, ChainMap(dict(environment), own))
            self._import(self._model(files, folder, ChainMap(dict(environment), own), way), data, at)

    @staticmethod
    def _import(source: Mapping[str, Any], target: dict[str, Any], at: Path) -> None:
        for kind in _IMPORTED:
            for name, value in (source.get(kind) or {}).items():
                known = target[kind] = target.get(kind) or {}
                if name in known and known[name] != value:
                    raise normal.Wrong((kind, name), "is here, and another one of this name is included")
                known[name] = value


def _there(file: FilePath, at: Path) -> None:
    if not file.is_file():
        raise normal.Wrong(at, f"{file} is not there")


def _absolute(path: Any, root: FilePath) -> FilePath:
    """The path from where the file stands; `..` is taken out of it, links are left."""
    return FilePath(normpath(root / FilePath(str(path)).expanduser()))


def _source(path: Any, root: FilePath) -> str:
    """The same for what is mounted; an absolute one is left as it is written."""
    return str(path) if str(path).startswith("/") else str(_absolute(path, root))


def _resolve(data: Mapping[str, Any], root: FilePath) -> None:
    """Make the paths of all services absolute, in place."""
    for service in (data.get("services") or {}).values():
        if isinstance(service, dict):
            _resolve_service(service, root)
    for kind in ("secrets", "configs"):
        for one in (data.get(kind) or {}).values():
            if isinstance(one, dict) and one.get("file"):
                one["file"] = str(_absolute(one["file"], root))


def _resolve_service(service: dict[str, Any], root: FilePath) -> None:
    def folder(context: Any) -> Any:
        return context if _REMOTE.match(str(context)) else str(_absolute(context, root))

    build = service.get("build")
    if isinstance(build, str):
        service["build"] = {"context": folder(build)}
    elif isinstance(build, dict):
        if build.get("context"):
            build["context"] = folder(build["context"])
        contexts = normal.pairs(build.get("additional_contexts"), ())
        if contexts:
            build["additional_contexts"] = {name: folder(context) for name, context in contexts.items()}
    if files := service.get("env_file"):
        entries = [
            one if isinstance(one, Mapping) else {"path": one}
            for one in (files if isinstance(files, list) else [files])
        ]
        service["env_file"] = [{**one, "path": str(_absolute(one.get("path"), root))} for one in entries]
    if isinstance(service.get("volumes"), list):
        service["volumes"] = [_mount(one, root) for one in service["volumes"]]
    for one in (service.get("develop") or {}).get("watch") or ():
        if isinstance(one, dict) and one.get("path"):
            one["path"] = str(_absolute(one["path"], root))


def _mount(given: Any, root: FilePath) -> Any:
    if isinstance(given, Mapping):
        if given.get("type") == "bind" and given.get("source"):
            return {**given, "source": _source(given["source"], root)}
        return given
    source, colon, rest = str(given).partition(":")
    return f"{_source(source, root)}:{rest}" if colon and source.startswith((".", "/", "~")) else given


def _pass_through(data: Mapping[str, Any], environment: Mapping[str, str], *, top: bool) -> None:
    """Give each variable without a value that of the environment, in place.

    In what is included, only those of a list have that of its own .env, as Compose does it.
    """
    for service in (data.get("services") or {}).values():
        if not isinstance(service, dict):
            continue
        for holder, key in ((service, "environment"), (service.get("build"), "args")):
            if not isinstance(holder, dict):
                continue
            found = holder.get(key)
            if isinstance(found, dict | list) if top else isinstance(found, list) and key == "environment":
                given = normal.pairs(found, ())
                holder[key] = {name: environment.get(name) if value is None else value for name, value in given.items()}
