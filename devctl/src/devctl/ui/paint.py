"""Colour where it is wanted: it only repeats what a word or a symbol already says."""

from __future__ import annotations

import os
from typing import IO, Literal

Colour = Literal["green", "red", "yellow", "cyan", "dim", "bold"]
_CODES = {"green": 32, "red": 31, "yellow": 33, "cyan": 36, "dim": 2, "bold": 1}


class Paint:
    """Paints for one stream: not in a pipe, not with NO_COLOR, not on a dumb terminal."""

    def __init__(self, stream: IO[str]) -> None:
        self.on = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def __call__(self, text: str, colour: Colour) -> str:
        """The text in that colour."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self.on and text else text
