"""The lines of a .env; that Compose agrees is in tests/test_same_as_compose.py."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from devctl import dotenv
from devctl.errors import DevctlError


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
        ("A=pa$1word", "pa$1word"),
        ('A="costs $"', "costs $"),
        ('A="abc\\$def"', "abc$def"),
        ('A="one\n# two\n  three"', "one\n# two\n  three"),
        ("A='one\n# two'", "one\n# two"),
        ("A=tab\t#x", "tab\t#x"),
        ("A=${HERE}", "of the shell"),
    ],
)
def test_a_line(line: str, expected: str, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(f"# first\n\n{line}\nLAST=1\n")
    assert {"A": expected, "LAST": "1"} == dotenv.read(
        file, {"GIVEN": "given", "A": "from outside", "HERE": "of the shell"}
    )


def test_a_value_may_use_the_ones_before_it(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("A=1\nB=${A}2\n")
    assert {"A": "1", "B": "12"} == dotenv.read(file)


def test_a_folder_of_that_name_and_no_file_are_both_empty(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert {} == dotenv.read(tmp_path / ".env")
    assert {} == dotenv.read(tmp_path / "none")


def test_a_variable_of_the_environment_wins_over_an_earlier_line(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("A=file\nB=$A\n")
    assert {"A": "file", "B": "shell"} == dotenv.read(file, {"A": "shell"})


WRONG = [
    (b"this is no entry", "2: this is no NAME=value", "a comment begins with #"),
    (b"SECRET='pa-word\\'", "2: the value of SECRET begins with ', and no ' ends it", "SECRET='"),
    (b'SECRET="pa-word', '2: the value of SECRET begins with ", and no " ends it', 'SECRET="'),
    (b"SECRET=pa${word", "2: the value of SECRET has a ${ that does not begin a variable", "SECRET='…'"),
    (b'SECRET="pa${word"', "2: the value of SECRET has a ${ that does not begin a variable", "$$"),
    (b"SECRET=pa-caf\xe9", "2: SECRET is not UTF-8", "UTF-8"),
    (b"SECRET='pa-caf\xe9'", "2: SECRET is not UTF-8", "UTF-8"),
    (b"SECRET=pa${NEEDED:?say pass}", "2: SECRET needs NEEDED, which is not set", "set NEEDED"),
]


@pytest.mark.parametrize(("line", "said", "fix"), WRONG)
def test_a_wrong_line_is_named_and_its_value_never_shown(line: bytes, said: str, fix: str, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"FIRST=1\n" + line + b"\nLAST=1\n")
    with pytest.raises(DevctlError) as raised:
        dotenv.read(file)
    problem = raised.value
    assert f"{file}:{said}" == problem.problem
    assert fix in problem.hint
    shown = "".join(traceback.format_exception(problem)) + problem.hint
    assert "pa-" not in shown
    assert "word" not in shown


@pytest.mark.parametrize(("line", "said", "fix"), WRONG)
def test_who_notes_a_wrong_line_gets_all_the_others(line: bytes, said: str, fix: str, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"FIRST=1\n" + line + b"\nLAST=1\n")
    noted: list[DevctlError] = []
    assert {"FIRST": "1", "LAST": "1"} == dotenv.read(file, {}, noted.append)
    assert [f"{file}:{said}"] == [one.problem for one in noted]


def test_any_byte_may_stand_in_a_comment(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"# caf\xe9\nA=1 # caf\xe9\n")
    assert {"A": "1"} == dotenv.read(file)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.write_text("A=1\n")

    def denied(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", denied)
    with pytest.raises(DevctlError, match=f"{file} cannot be read: Permission denied"):
        dotenv.read(file)
