"""docs/message-life.md names files, functions and keys: they exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from celeriac.broker import keys

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "message-life.md").read_text(encoding="utf-8")
SCRIPTS = DOCS.parent / "celeriac" / "src" / "celeriac"
NAMED = [
    (name.rpartition(".")[2], path)
    for text, path in re.findall(r"\[([^]]+)\]\((\.\./[^)]+\.py)\)", PAGE)
    for name in re.findall(r"`([\w.]+)`", text)
]


@pytest.mark.parametrize(("name", "path"), NAMED)
def test_what_it_names_is_in_the_file_that_it_names(name: str, path: str) -> None:
    assert re.search(rf"^\s*(def|class) {name}\b", (DOCS / path).read_text(encoding="utf-8"), re.MULTILINE)


def test_every_script_of_the_life_of_a_message_is_in_it_and_no_other() -> None:
    told = set(re.findall(r"(\w+)\.lua", PAGE))
    assert told == {path.stem for path in SCRIPTS.glob("*/*.lua")} - {"letters", "count"}  # looks


def test_every_key_is_in_the_table() -> None:
    table = PAGE.partition("## What lies in Redis")[2].partition("\n## ")[0]
    for key in (
        keys.UNACKED,
        keys.LEASES,
        keys.DUE,
        keys.STARTS,
        keys.ONCE,
        keys.UNCLAIMED,
        keys.DEAD,
        keys.REVOKED,
        keys.LIFE,
    ):
        assert f"| `{key}" in table
    assert f"`{keys.REVOKED_STAMPS}`" in table
