"""Whether Python files can be compiled: one that cannot would only end the service that runs well now."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Broken:
    """A file that cannot be compiled."""

    file: Path
    line: int
    """0 where Python does not say one."""
    problem: str


def broken(files: Iterable[Path]) -> list[Broken]:
    """Return those of the files that are Python and cannot be compiled; one that is gone is no problem here."""
    found = []
    for file in files:
        if file.suffix != ".py":
            continue
        try:
            source = file.read_bytes()
        except OSError:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a doubtful escape is the service's own business
                compile(source, str(file), "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as wrong:
            found.append(Broken(file, getattr(wrong, "lineno", 0) or 0, getattr(wrong, "msg", str(wrong))))
    return found
