from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from devctl.contracts.document import Document, documents, read
from devctl.errors import UsageError


def values(text: str) -> list[Document]:
    return list(documents(text, "orders.json"))


def problem(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        values(text)
    return caught.value.problem


def test_one_object_needs_no_place() -> None:
    assert [Document({"a": 1})] == values('{\n  "a": 1\n}\n')


def test_an_array_names_its_items() -> None:
    assert [Document({"a": 1}, "item 1"), Document({"a": 2}, "item 2")] == values('[{"a": 1},\n {"a": 2}]')


def test_json_lines_name_their_lines_and_may_have_empty_ones() -> None:
    assert [Document({"a": 1}, "line 1"), Document({"a": 2}, "line 3")] == values('{"a": 1}\n\n{"a": 2}\n\n')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1,}', "line 1, column 9"),
        ('{\n "a": 1\n "b": 2}', "line 3, column 2"),
        ('{"a": 1}\n{"a": }\n', "line 2, column 7"),
        ('{"a": 1} {"a": 2}', "line 1, column 10"),
        ("nonsense", "line 1, column 1"),
    ],
)
def test_broken_json_names_line_and_column(text: str, expected: str) -> None:
    assert problem(text).startswith("orders.json is not JSON: ")
    assert problem(text).endswith(f"({expected})")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": NaN}', "orders.json is not usable: NaN is not JSON"),
        ('{"a": -Infinity}', "orders.json is not usable: -Infinity is not JSON"),
        ('{"a": 1e999}', "orders.json is not usable: 1e999 is too large a number"),
        ('{"a": ' + "9" * 5000 + "}", "orders.json is not usable: a number of 5,000 digits is too large"),
        ('{"a": {"b": 1, "b": 2}}', "orders.json is not usable: the key 'b' stands twice in one object"),
        ('{"a": 1}\n{"a": 1, "a": 2}', "orders.json is not usable: line 2: the key 'a' stands twice in one object"),
        ("[" * 100_000, "orders.json is not usable: it is nested too deeply"),
        ("", "orders.json is empty"),
        (" \n\n", "orders.json is empty"),
        ("[]", "orders.json is an empty array"),
    ],
    ids=range(10),
)
def test_what_a_lenient_parser_would_take_is_refused(text: str, expected: str) -> None:
    assert expected == problem(text)


def test_files_and_stdin_are_read_as_utf_8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "with a space.json"
    file.write_bytes("\ufeff".encode() + '{"a": "ä"}'.encode())
    assert [Document({"a": "ä"})] == read(str(file))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO('{"a": "ö"}'.encode())))
    assert [Document({"a": "ö"})] == read("-")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe4"}')
    for name, expected in (("latin.json", "is not UTF-8 (byte 7)"), ("none.json", "No such file"), (".", "directory")):
        with pytest.raises(UsageError, match=expected.replace("(", r"\(").replace(")", r"\)")):
            read(str(tmp_path / name))
