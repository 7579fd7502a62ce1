"""Insertions into Python: where they go, and that the rest stays."""

from __future__ import annotations

import pytest

from devctl.new import python

IMPORTS = python.Imports(frozenset({"ours", "shop"}))


@pytest.mark.parametrize(
    ("text", "module", "names", "expected"),
    [
        ("from ours import a\n", "ours", ["a"], "from ours import a\n"),
        ("from ours import a\n", "ours", ["B", "C_D", "c"], "from ours import C_D, B, a, c\n"),
        ("from ours import a as b  # why\n", "ours", ["c"], "from ours import a as b, c  # why\n"),
        (
            "from ours import (\n    B,\n    a,  # why\n)\n",
            "ours",
            ["C", "b"],
            "from ours import (\n    B,\n    C,\n    a,  # why\n    b,\n)\n",
        ),
        (
            "import os\n\nfrom ours import a\n",
            "uuid",
            ["UUID"],
            "import os\nfrom uuid import UUID\n\nfrom ours import a\n",
        ),
        (
            "import os\n\nfrom ours import a\n",
            "fastapi",
            ["Depends"],
            "import os\n\nfrom fastapi import Depends\n\nfrom ours import a\n",
        ),
        ("from ours import a\n", "typing", ["Any"], "from typing import Any\n\nfrom ours import a\n"),
        ("from shop import a\n", "ours", ["b"], "from ours import b\nfrom shop import a\n"),
        ('"""Why."""\n', "ours", ["b"], '"""Why."""\n\nfrom ours import b\n'),
        ("", "ours", ["b"], "from ours import b\n"),
        ("def f(): ...\n", "ours", ["b"], "from ours import b\n\n\ndef f(): ...\n"),
    ],
)
def test_an_import_stands_where_isort_would_put_it(text: str, module: str, names: list[str], expected: str) -> None:
    assert expected == IMPORTS.add(text, module, names)


def test_an_import_that_is_too_long_has_a_line_for_each_name() -> None:
    names = [f"a_long_name_{number}" for number in range(8)]
    lines = IMPORTS.add("from ours import b\n", "ours", names).splitlines()
    assert ["from ours import (", *(f"    {name}," for name in names), "    b,", ")"] == lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A = (x,)\n", "A = (x, y)\n"),
        ("A = ()\n", "A = (y,)\n"),
        ("A: list[int] = [x]  # why\n", "A: list[int] = [x, y]  # why\n"),
        ("A = (\n    x,  # ü\n)\n", "A = (\n    x,  # ü\n    y,\n)\n"),
        ("A = [\n    x\n]\n", "A = [\n    x,\n    y\n]\n"),
        ("A = (y,)\n", "A = (y,)\n"),
        ("Ü = 1\nA = (ü, x)\n", "Ü = 1\nA = (ü, x, y)\n"),
        (f"A = [{'x' * 112}]\n", f"A = [\n    {'x' * 112},\n    y,\n]\n"),
    ],
)
def test_an_item_is_added_to_a_list_of_the_module(text: str, expected: str) -> None:
    assert expected == python.with_item(text, "A", "y")


@pytest.mark.parametrize("text", ["B = (x,)\n", "A = tuple(x)\n", "A = B\n"])
def test_a_list_that_is_not_there_is_told(text: str) -> None:
    with pytest.raises(python.NotFound):
        python.with_item(text, "A", "y")


def test_an_item_is_added_to_the_list_of_a_call() -> None:
    assert 'serve("a", owns=[x, y])\n' == python.with_argument('serve("a", owns=[x])\n', "serve", "y", keyword="owns")
    assert 'Api("a", [y], z)\n' == python.with_argument('Api("a", [], z)\n', "Api", "y", keyword="p", position=1)


def test_a_call_that_is_too_long_has_a_line_for_each_argument() -> None:
    call = f'def main():\n    return serve("a", owns=[{"x" * 80}], port=8001)\n'
    long = "y" * 20
    assert (
        f'def main():\n    return serve(\n        "a",\n        owns=[{"x" * 80}, {long}],\n        port=8001,\n    )\n'
        == python.with_argument(call, "serve", long, keyword="owns")
    )
