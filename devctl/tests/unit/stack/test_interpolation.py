"""Interpolation alone; that Compose agrees is in tests/test_same_as_compose.py."""

from __future__ import annotations

import pytest

from devctl.interpolation import InterpolationError, interpolate, variables

ENV = {"SET": "value", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$SET and ${SET}", "value and value"),
        ("$$SET costs $$5", "$SET costs $5"),
        ("${UNSET:-default}", "default"),
        ("${EMPTY:-default}", "default"),
        ("${EMPTY-default}", ""),
        ("${UNSET-${SET}}", "value"),
        ("${UNSET:-${NOR_THIS:-${SET}}}", "value"),
        ("${SET:+there}", "there"),
        ("${EMPTY:+there}", ""),
        ("${EMPTY+there}", "there"),
        ("${UNSET:-{}}", "{}"),
        ("${SET:?needed}", "value"),
        ("${UNSET:-redis://redis:6379/0}", "redis://redis:6379/0"),
        ("no variable", "no variable"),
        ("pa$1 costs $", "pa$1 costs $"),
        ("${UNSET:-pa$1}", "pa$1"),
    ],
)
def test_a_value(text: str, expected: str) -> None:
    assert expected == interpolate(text, ENV)


@pytest.mark.parametrize("text", ["${UNSET:?say which}", "${UNSET?say which}", "${EMPTY:?say which}"])
def test_a_required_variable_that_is_missing_is_named_with_its_message(text: str) -> None:
    with pytest.raises(InterpolationError, match=r"(UNSET|EMPTY) is not set: say which"):
        interpolate(text, ENV)


@pytest.mark.parametrize("text", ["${", "${1}", "$5${", "${SET", "${SET!x}"])
def test_a_dollar_sign_that_begins_no_variable_is_an_error_that_says_how_to_write_one(text: str) -> None:
    with pytest.raises(InterpolationError, match=r"written \$\$"):
        interpolate(text, ENV)


def test_a_variable_that_nobody_set_is_empty_and_is_told() -> None:
    missing: list[str] = []
    assert "a--b" == interpolate("a-${UNSET}-b", ENV, missing.append)
    assert ["UNSET"] == missing


def test_what_has_a_default_is_not_missing() -> None:
    missing: list[str] = []
    interpolate("${UNSET:-x} ${UNSET-} ${EMPTY} ${UNSET:+x}", ENV, missing.append)
    assert [] == missing


def test_the_variables_of_a_value() -> None:
    assert ["PORT", "OTHER", "LAST"] == list(variables("127.0.0.1:${PORT:-${OTHER}}:80$$NO $LAST"))
