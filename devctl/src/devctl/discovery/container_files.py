"""Which file of this machine is a file of the container: mounts first, then what the Dockerfile copies."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from devctl.stack.dockerfile import Image, of
from devctl.stack.instructions import Instruction
from devctl.stack.model import Build, Service

_PROGRAMS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_DEEPEST = 4
_LARGEST = 200_000
"""Characters; a longer file is no start script."""


@dataclass(frozen=True)
class Source:
    """The text of a file of the container, and what it is called here."""

    text: str
    path: Path | None
    """None: it stands in the Dockerfile itself."""


@dataclass(frozen=True)
class _Copy:
    """One COPY: files of a folder here that lie in a folder of the container."""

    sources: tuple[Path, ...]
    target: str
    into: bool
    """Whether the target is a folder for them, and not their new name."""


class ContainerFiles:
    """The files of one service's container, as far as they are files of this machine."""

    def __init__(self, service: Service, build: Build | None, image: Image | None) -> None:
        self._mounts = [
            (one.target.rstrip("/") or "/", Path(one.source)) for one in service.mounts if one.kind == "bind"
        ]
        self._mounts.sort(key=lambda pair: len(pair[0]), reverse=True)
        self._copies: list[_Copy] = []
        self._texts: dict[str, str] = {}
        if build is not None and image is not None:
            self._copies = [*self._copied(build, image, 0)]

    def find(self, path: str, folder: str, programs: str = "") -> Source | None:
        """Return this file; a bare name is looked for where programs are."""
        if "/" in path or not programs:
            return self._at(posixpath.join(folder or "/", path))
        places = [*programs.split(":"), *_PROGRAMS]
        return next((found for place in places if (found := self._at(posixpath.join("/", place, path)))), None)

    def here(self, path: str, folder: str = "") -> Path | None:
        """Return the file or folder of this machine that this is."""
        whole = posixpath.normpath(posixpath.join("/", folder, path))
        for target, source in self._mounts:
            if _inside(whole, target):
                found = source / _rest(whole, target)
                return found if is_there(found) else None
        copied = (_copied_from(copy, whole) for copy in reversed(self._copies))
        return next((found for found in copied if found is not None), None)

    def _at(self, path: str) -> Source | None:
        whole = posixpath.normpath(path)
        if whole in self._texts:
            return Source(self._texts[whole], None)
        found = self.here(whole)
        try:
            if found is None or not found.is_file() or found.stat().st_size > _LARGEST:
                return None
            return Source(found.read_text(encoding="utf-8"), found)
        except (OSError, ValueError):  # a program, not a script; a file that is shut; no name of a file at all
            return None

    def _copied(self, build: Build, image: Image, depth: int) -> Iterator[_Copy]:
        folder = "/"
        folders = {"/"}
        for one in image.instructions:
            if one.word == "WORKDIR":
                folder = posixpath.normpath(posixpath.join(folder, one.text))
                folders.add(folder)
            elif one.word in ("ADD", "COPY"):
                yield from self._copy(one, build, image, folder, folders, depth)

    def _copy(
        self, one: Instruction, build: Build, image: Image, folder: str, folders: set[str], depth: int
    ) -> Iterator[_Copy]:
        words = [*(one.words if one.words is not None else one.text.split())]
        if len(words) < 2:
            return
        *given, last = words
        target = posixpath.normpath(posixpath.join(folder, last))
        into = len(given) > 1 or last.endswith("/") or last in (".", "..") or target in folders
        if one.heredocs:
            for name, text in zip(given, one.heredocs, strict=False):
                plain = name.lstrip("<-").strip("\"'")
                self._texts[posixpath.join(target, plain) if into else target] = text
            return
        stage = one.flags.get("from", "")
        if stage and stage not in build.additional_contexts:
            yield from self._from_stage(stage, given, target, into, build, image, depth)
            return
        context = build.additional_contexts.get(stage, build.context)
        sources = [path for name in given for path in _globbed(context, name)]
        yield _Copy(tuple(sources), target, into)

    def _from_stage(
        self, stage: str, given: list[str], target: str, into: bool, build: Build, image: Image, depth: int
    ) -> Iterator[_Copy]:
        try:
            text = image.path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        other = of(text, image.path, build.args, stage) if depth < _DEEPEST else None
        if other is None:
            return
        inner = [*self._copied(build, other, depth + 1)]
        found = []
        for name in given:
            whole = posixpath.normpath(posixpath.join("/", name))
            found += [path for copy in reversed(inner) if (path := _copied_from(copy, whole)) is not None][:1]
        yield _Copy(tuple(found), target, into)


def _copied_from(copy: _Copy, whole: str) -> Path | None:
    if not _inside(whole, copy.target):
        return None
    rest = _rest(whole, copy.target)
    for source in reversed(copy.sources):
        if is_there(source, folder=True):
            found = source / rest
        elif copy.into:
            found = source if rest == source.name else source / rest
        else:
            found = source if not rest else source / rest
        if is_there(found):
            return found
    return None


def is_there(path: Path, *, folder: bool = False) -> bool:
    """Whether there is a file or a folder of this name; not where nobody may look, or where it can be no name."""
    try:
        return path.is_dir() if folder else path.exists()
    except (OSError, ValueError):
        return False


def _globbed(context: Path, name: str) -> list[Path]:
    relative = name.lstrip("/") or "."
    if any(sign in relative for sign in "*?["):
        try:
            return sorted(context.glob(relative))
        except (OSError, ValueError, NotImplementedError):
            return []
    return [context / relative]


def _inside(path: str, folder: str) -> bool:
    return path == folder or folder == "/" or path.startswith(f"{folder}/")


def _rest(path: str, folder: str) -> str:
    return path[len(folder) :].lstrip("/")
