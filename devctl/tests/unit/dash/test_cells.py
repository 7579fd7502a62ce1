from __future__ import annotations

import pytest

from devctl.ui.cells import fit, width


@pytest.mark.parametrize(
    ("expected", "text", "cells"),
    [
        ("abc  ", "abc", 5),
        ("abcd…", "abcdefgh", 5),
        ("a b  ", "a\tb", 5),
        (" [31m", "\x1b[31m", 5),
        ("日本…", "日本語です", 5),
        ("日… ", "日本語", 4),
        ("", "abc", 0),
    ],
)
def test_a_text_takes_exactly_so_many_cells_and_says_nothing_to_the_terminal(
    expected: str, text: str, cells: int
) -> None:
    assert expected == fit(text, cells)
    assert cells == width(fit(text, cells))
