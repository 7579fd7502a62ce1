"""Is an image as new as what it is built from? Kept in `.devctl/builds.json`, so that a start need not ask a builder.

A build with all layers in the cache takes a third of a second, and needs the engine; this takes milliseconds.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from devctl.stack.model import Build

_NEVER_SENT = {".git", ".venv", "__pycache__", "node_modules", ".pytest_cache", ".mypy_cache", ".ruff_cache"}


def fingerprint(build: Build) -> str:
    """Digest of all that a build reads: its settings, and name, size and time of each file in its contexts."""
    digest = hashlib.sha256()
    settings = (build.dockerfile, sorted(build.args.items()), build.target, sorted(build.additional_contexts))
    digest.update(repr(settings).encode())
    dockerfile = build.context / build.dockerfile
    for context in (build.context, *build.additional_contexts.values()):
        for path in _files(context):
            _add(digest, path)
    _add(digest, dockerfile)  # it may lie outside the context
    return digest.hexdigest()


@dataclass(frozen=True)
class Fingerprints:
    """The fingerprints of what was built last, with the image that came of it. Shared by all stacks of a checkout."""

    file: Path

    def current(self, image: str, image_id: str, print_: str) -> bool:
        """Whether this image is what a build would give."""
        return self._read().get(image) == {"image": image_id, "inputs": print_}

    def remember(self, built: Mapping[str, tuple[str, str]]) -> None:
        """Note image -> (image id, fingerprint) after a build."""
        known = self._read() | {image: {"image": id_, "inputs": print_} for image, (id_, print_) in built.items()}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        new = self.file.with_suffix(f".{os.getpid()}")  # renamed into place: two starts at once read whole files
        new.write_text(json.dumps(known, indent=1), encoding="utf-8")
        new.replace(self.file)

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            known = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # not there, or damaged: build once more
            return {}
        return known if isinstance(known, dict) else {}


def _files(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(set(folders) - _NEVER_SENT)
        yield from (Path(here, name) for name in sorted(files))


def _add(digest: hashlib._Hash, path: Path) -> None:
    try:
        about = path.lstat()
    except OSError:
        return
    digest.update(f"{path}\0{about.st_size}\0{about.st_mtime_ns}\0{about.st_mode}\n".encode("utf-8", "surrogateescape"))
