"""What is to be written, before anything is: files by their path, to be shown as a diff or put on the disk."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Change:
    """One file; `before` is None where it is new."""

    path: Path
    before: str | None
    after: str

    @property
    def counts(self) -> tuple[int, int]:
        """Lines that come, and lines that go."""
        marks = [line[:1] for line in difflib.ndiff((self.before or "").splitlines(), self.after.splitlines())]
        return marks.count("+"), marks.count("-")


@dataclass
class Changes:
    """All of them, for one repository. What is read here has the changes that were made before."""

    root: Path
    _after: dict[Path, str] = field(default_factory=dict)

    def has(self, path: Path) -> bool:
        """Whether the file is there, or will be."""
        return path in self._after or path.is_file()

    def read(self, path: Path) -> str:
        """Return the text as it will be."""
        return self._after[path] if path in self._after else path.read_text(encoding="utf-8")

    def write(self, path: Path, text: str) -> None:
        """Note the new text of a file."""
        self._after[path] = text

    def create(self, path: Path, text: str) -> None:
        """The same for a file that must not be overwritten: where there is one, it stays."""
        if not self.has(path):
            self._after[path] = text

    def __iter__(self) -> Iterator[Change]:
        """The files that become other ones."""
        for path in sorted(self._after):
            before = path.read_text(encoding="utf-8") if path.is_file() else None
            if before != self._after[path]:
                yield Change(path.relative_to(self.root), before, self._after[path])

    def diff(self) -> str:
        """All changes in the unified format: what `git apply` takes."""
        return "".join(_diff(change) for change in self)

    def apply(self) -> None:
        """Put them on the disk."""
        for change in list(self):
            path = self.root / change.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(change.after, encoding="utf-8")


def _diff(change: Change) -> str:
    path = change.path.as_posix()
    new = change.before is None
    lines = difflib.unified_diff(
        (change.before or "").splitlines(keepends=True),
        change.after.splitlines(keepends=True),
        "/dev/null" if new else f"a/{path}",
        f"b/{path}",
    )
    return f"diff --git a/{path} b/{path}\n" + "new file mode 100644\n" * new + "".join(lines)
