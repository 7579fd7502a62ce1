"""How it looks what `devctl new` writes, or would write."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from devctl.new.changes import Change
from devctl.ui.paint import Colour, Paint
from devctl.ui.services import show_next

_NOTHING = "nothing to do: all of it is there already\n"
_COLOURS: dict[str, Colour] = {"+": "green", "-": "red", "@": "cyan"}


def show(changes: Sequence[Change], diff: str, steps: Sequence[tuple[str, str]], *, dry_run: bool) -> None:
    """The files that were written, or the diff that would be; then what to type next."""
    if not changes:
        sys.stdout.write(_NOTHING)
    elif dry_run:
        _show_diff(diff, sys.stdout)
    else:
        _show_files(changes, sys.stdout)
    sys.stdout.flush()
    if changes and not dry_run:
        show_next(steps)


def show_project(files: Sequence[Path], folder: Path, steps: Sequence[tuple[str, str]], *, dry_run: bool) -> None:
    """How many files, or which would be written."""
    if not files:
        sys.stdout.write(_NOTHING)
    elif dry_run:
        sys.stdout.write("".join(f"new     {file.as_posix()}\n" for file in files))
    else:
        tops = ", ".join(dict.fromkeys(file.parts[0] for file in files if len(file.parts) > 1))
        sys.stdout.write(f"new     {len(files)} files in {folder}: {tops}\n")
    sys.stdout.flush()
    if files and not dry_run:
        show_next(steps)


def document(
    changes: Sequence[Change], diff: str, steps: Sequence[tuple[str, str]], *, dry_run: bool
) -> dict[str, Any]:
    """devctl.new/1."""
    files = [
        {"path": one.path.as_posix(), "new": one.before is None, "added": one.counts[0], "removed": one.counts[1]}
        for one in changes
    ]
    return _document(files, diff, steps, dry_run=dry_run)


def project_document(files: Sequence[Path], steps: Sequence[tuple[str, str]], *, dry_run: bool) -> dict[str, Any]:
    """The same for a project, whose files are all new: without their lines."""
    named = [{"path": one.as_posix(), "new": True, "added": None, "removed": None} for one in files]
    return _document(named, "", steps, dry_run=dry_run)


def _document(
    files: list[dict[str, Any]], diff: str, steps: Sequence[tuple[str, str]], *, dry_run: bool
) -> dict[str, Any]:
    return {
        "schema": "devctl.new/1",
        "dry_run": dry_run,
        "files": files,
        "diff": diff,
        "next": [command for command, _ in steps] if files else [],
    }


def _show_files(changes: Sequence[Change], stream: IO[str]) -> None:
    paint = Paint(stream)
    width = max(len(one.path.as_posix()) for one in changes)
    for one in changes:
        added, removed = one.counts
        lines = f"+{added}" + (f" -{removed}" if removed else "")
        word = "new   " if one.before is None else "edited"
        stream.write(f"{paint(word, 'green')}  {one.path.as_posix().ljust(width)}  {paint(lines, 'dim')}\n")


def _show_diff(text: str, stream: IO[str]) -> None:
    paint = Paint(stream)
    for line in text.splitlines():
        colour = None if line.startswith(("+++", "---")) else _COLOURS.get(line[:1])
        stream.write((paint(line, colour) if colour else line) + "\n")
