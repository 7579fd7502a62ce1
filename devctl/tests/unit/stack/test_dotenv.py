"""The lines of a .env; that Compose agrees is in tests/test_same_as_compose.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from devctl import dotenv


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("A=1", "1"),
        ("export A=1", "1"),
        ("A = spaced value  # a comment", "spaced value"),
        ("A=a#b", "a#b"),
        ("A=#x", "#x"),
        ("A=", ""),
        ("A: yaml", "yaml"),
        ("A='$GIVEN # x'", "$GIVEN # x"),
        ('A="$GIVEN # x" # comment', "given # x"),
        ('A="two\\nlines"', "two\nlines"),
        ('A="two\nlines"', "two\nlines"),
        ("A=${GIVEN}/${NOT:-default}", "given/default"),
        ("A='it\\'s'", "it's"),
        ("A", "from outside"),
    ],
)
def test_a_line(line: str, expected: str, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(f"# first\n\n{line}\nLAST=1\n")
    assert {"A": expected, "LAST": "1"} == dotenv.read(file, {"GIVEN": "given", "A": "from outside"})


def test_a_value_may_use_the_ones_before_it(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("A=1\nB=${A}2\n")
    assert {"A": "1", "B": "12"} == dotenv.read(file)


def test_a_folder_of_that_name_and_no_file_are_both_empty(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert {} == dotenv.read(tmp_path / ".env")
    assert {} == dotenv.read(tmp_path / "none")
