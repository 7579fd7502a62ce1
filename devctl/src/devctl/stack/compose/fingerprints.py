"""Is an image as new as what it is built from? Kept in `.devctl/builds.json`, so that a start need not ask a builder.

A build with all layers in the cache takes a third of a second, and needs the engine; this takes milliseconds.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devctl.stack import sources
from devctl.stack.model import Build


def fingerprint(build: Build) -> str:
    """Digest of all that a build reads: its settings, and name, size and time of each file in its contexts."""
    settings = (build.dockerfile, sorted(build.args.items()), build.target, sorted(build.additional_contexts))
    read = sources.stamps_of_folders(
        [build.context, *build.additional_contexts.values(), build.context / build.dockerfile]  # it may lie outside
    )
    return hashlib.sha256(f"{settings}{sources.digest(read)}".encode()).hexdigest()


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
