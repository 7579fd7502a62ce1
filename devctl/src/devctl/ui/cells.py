"""Text in the cells of a terminal: strangers' text made harmless, cut and padded to a width."""

from __future__ import annotations

import unicodedata

CUT = "…"


def plain(text: str) -> str:
    """On one line, without anything that a terminal would obey."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if one.isprintable() else " " for one in text)


def width(text: str) -> int:
    """How many cells it takes."""
    if text.isascii():
        return len(text)
    return sum(map(_cells, text))


def fit(text: str, cells: int, *, right: bool = False) -> str:
    """Exactly so many cells: cut with an ellipsis, or padded."""
    if cells <= 0:
        return ""
    text = plain(text)
    taken = width(text)
    if taken > cells:
        text, taken = _cut(text, cells - 1) + CUT, cells
        taken = width(text)
    padding = " " * (cells - taken)
    return padding + text if right else text + padding


def _cut(text: str, cells: int) -> str:
    taken = 0
    for at, one in enumerate(text):
        taken += _cells(one)
        if taken > cells:
            return text[:at]
    return text


def _cells(one: str) -> int:
    if unicodedata.combining(one):
        return 0
    return 2 if unicodedata.east_asian_width(one) in "WF" else 1
