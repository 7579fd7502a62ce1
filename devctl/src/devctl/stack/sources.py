"""The files that a service is made of: its `develop: watch:` paths, else its build contexts without what is ignored."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from devctl.stack.model import Build, Service, Watch

Stamp = tuple[int, int, int]
"""Size in bytes, time of the last change in nanoseconds, mode."""
Stamps = dict[Path, Stamp]

_NEVER_SENT = {
    *(".devctl", ".git", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".venv", "__pycache__", "node_modules"),
}
_WRITTEN = re.compile(r".*\.(?:aof|db|log|pid|pyc|rdb|sqlite3?)(?:-\w+)?|celerybeat-schedule.*")  # by what runs there
_EDITORS = re.compile(r"\.#.*|#.*#|.*~|\..*\.sw[a-z]|4913")  # locks, copies and probes of Emacs and Vim
_IGNORE_FILE = ".dockerignore"


def stamps(service: Service, of_watch: Callable[[Watch], Stamps] | None = None) -> Stamps:
    """Return each file of a service with its stamp; empty for a service that is only an image.

    `of_watch` reads one entry of `develop: watch:`; several services may have the same.
    """
    if service.watch:
        found: Stamps = {}
        for one in service.watch:
            found |= (of_watch or stamps_of_watch)(one)
        return found
    return stamps_of_build(service.build) if service.build else {}


def stamps_of_watch(one: Watch) -> Stamps:
    """Return each file of one entry of `develop: watch:`."""
    return stamps_of(files(one.path, one.ignore))


def stamps_of_build(build: Build) -> Stamps:
    """Return each file that a build sends. What its Dockerfile ignores goes before what its context does."""
    own = ignore_file(build)
    found = stamps_of(files(build.context, ignore_file=own if own.is_file() else None))
    return found | stamps_of_folders(build.additional_contexts.values())


def ignore_file(build: Build) -> Path:
    """Where a Dockerfile that several services share says what it ignores; it need not be there."""
    return build.context / f"{build.dockerfile}{_IGNORE_FILE}"


def stamps_of_folders(folders: Iterable[Path]) -> Stamps:
    """Return each file of these folders with its stamp; a file may stand for a folder."""
    return stamps_of(path for folder in folders for path in files(folder))


def stamps_of(paths: Iterable[Path]) -> Stamps:
    """Return these files with their stamps, without those that are not there."""
    found: Stamps = {}
    for path in paths:
        try:
            about = path.lstat()
        except OSError:  # gone meanwhile
            continue
        found[path] = (about.st_size, about.st_mtime_ns, about.st_mode)
    return found


def digest(found: Stamps) -> str:
    """Return a short text that is another one when a file changed, came or went; "" where there are no files."""
    lines = [f"{path}\0{stamp}\n".encode("utf-8", "surrogateescape") for path, stamp in sorted(found.items())]
    return hashlib.sha256(b"".join(lines)).hexdigest() if lines else ""


def digest_of_contents(found: Stamps) -> str:
    """Return the same for what these files contain and may do, whenever they were written."""
    total = hashlib.sha256()
    for path, (_, _, mode) in sorted(found.items()):
        try:
            content = (
                str(path.readlink()).encode("utf-8", "surrogateescape") if stat.S_ISLNK(mode) else path.read_bytes()
            )
        except OSError:  # gone meanwhile, or not to be read: that it is there counts
            content = b""
        of_one = hashlib.sha256(content).hexdigest()
        total.update(f"{path}\0{mode}\0{of_one}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest() if found else ""


def files(folder: Path, ignored: Sequence[str] = (), ignore_file: Path | None = None) -> Iterator[Path]:
    """Yield the files under a folder (or the file itself) without what its .dockerignore (or that other file) and
    `ignored` name."""
    if not folder.is_dir():
        yield folder
        return
    rules = _Rules([*_lines(ignore_file or folder / _IGNORE_FILE), *ignored])
    for here, folders, names in os.walk(str(folder)):
        inside = os.path.relpath(here, folder)
        prefix = "" if inside == "." else f"{inside}/".replace(os.sep, "/")
        folders[:] = sorted(name for name in set(folders) - _NEVER_SENT if not rules.drop(prefix + name))
        yield from (
            _path(here, name)
            for name in sorted(names)
            if not _EDITORS.fullmatch(name) and not _WRITTEN.fullmatch(name) and not rules.excludes(prefix + name)
        )


@functools.lru_cache(maxsize=20_000)
def _path(folder: str, name: str) -> Path:
    """The same object each time: who watches asks for all of them several times a second."""
    return Path(folder, name)


class _Rules:
    """The patterns of a .dockerignore: the last one that matches a path, or a folder above it, decides.

    Source of the rules: https://docs.docker.com/build/concepts/context/#dockerignore-files
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._rules = [(not line.startswith("!"), _pattern(line.removeprefix("!"))) for line in lines]
        self._comes_back = any(not excludes for excludes, _ in self._rules)

    def excludes(self, path: str) -> bool:
        """Whether this path, relative to the folder, is left out."""
        out = False
        for excludes, pattern in self._rules:
            if out is not excludes and pattern.fullmatch(path):
                out = excludes
        return out

    def drop(self, folder: str) -> bool:
        """Whether nothing under this folder can be wanted."""
        return not self._comes_back and self.excludes(folder)


def _lines(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError:
        return []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _pattern(rule: str) -> re.Pattern[str]:
    """Compile a rule: `*` and `?` stay within a folder, `**` does not; a folder stands for all in it."""
    rule = os.path.normpath(rule.strip()).replace(os.sep, "/").lstrip("/")
    parts = re.findall(r"\*\*/|\*\*|\*|\?|\[[^]]*\]|\\.|.", rule)
    meanings = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    text = "".join(
        meanings.get(part) or (part.replace("[!", "[^", 1) if part.startswith("[") else re.escape(part.lstrip("\\")))
        for part in parts
    )
    try:
        return re.compile(f"{text}(?:/.*)?")
    except re.error:  # half a bracket: Docker refuses the file; a path is not ignored by it
        return re.compile(re.escape(rule))
