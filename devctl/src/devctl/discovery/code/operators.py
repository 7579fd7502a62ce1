"""What operators do with values, as far as these are known."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

from devctl.discovery.code.values import Class, External, Member, Opaque, Table, readable
from devctl.discovery.model import Unreadable

UNKNOWN = Unreadable("")
"""Nobody can tell; who asked puts the text of the expression in its place."""
_OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitOr: operator.or_,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
    ast.Is: lambda a, b: a is b,
    ast.IsNot: lambda a, b: a is not b,
}
_LONGEST = 100_000
_FALSE = {"", "0", "false", "no", "off", "f", "n", "none"}
_TRUE = {"1", "true", "yes", "on", "t", "y", "ok"}


def truth(value: Any) -> bool | None:
    """Whether it counts as true; None where nobody can tell."""
    if isinstance(value, Unreadable | Opaque):
        return None
    if isinstance(value, External):
        # Nothing that only a type checker imports is there when the code runs.
        return False if value.name.endswith("TYPE_CHECKING") else None
    if isinstance(value, Member):
        return truth(value.value)
    if isinstance(value, Table | dict | list | tuple | set | str | int | float | None):
        return bool(value)
    return True


def items(value: Any) -> list[Any] | None:
    """The parts of what can be iterated over; None where nobody can tell."""
    if isinstance(value, Class) and value.is_a("Enum", "StrEnum", "IntEnum"):
        return [one for one in value.scope.names.values() if isinstance(one, Member)]
    if isinstance(value, str | list | tuple | dict | range):
        return list(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    return None


def text_of(value: Any) -> str | None:
    """What an f-string shows; None where nobody can tell."""
    if isinstance(value, str | int | float | bool | None):
        return str(value)
    if isinstance(value, Opaque) and value.kind.endswith(("quote", "quote_plus")):
        return text_of(value.arguments[0]) if value.arguments else None
    return None


def operate(kind: type[ast.operator], left: Any, right: Any) -> Any:
    """`left + right` and the like."""
    left, right = (one.value if isinstance(one, Member) else one for one in (left, right))
    if kind is ast.Div and isinstance(left, Opaque):
        return UNKNOWN
    sequences = isinstance(left, list | tuple | dict) and type(left) in (type(right), Table, list, tuple)
    if not (sequences or (readable(left) and readable(right))) or kind not in _OPERATORS:
        return UNKNOWN
    if kind in (ast.Mult, ast.Pow) and not all(isinstance(one, int | float) for one in (left, right)):
        return UNKNOWN
    if kind is ast.Pow and (abs(left) > 1000 or abs(right) > 64):
        return UNKNOWN
    try:
        if isinstance(left, dict) and isinstance(right, dict):
            places = {**getattr(left, "places", {}), **getattr(right, "places", {})}
            return Table({**left, **right}, places)
        found = _OPERATORS[kind](left, right)
    except (TypeError, ValueError, ArithmeticError, KeyError):
        return UNKNOWN
    return UNKNOWN if isinstance(found, str | list | tuple) and len(found) > _LONGEST else found


def compare(kind: type[ast.cmpop], left: Any, right: Any) -> Any:
    """`left == right` and the like."""
    left, right = (one.value if isinstance(one, Member) else one for one in (left, right))
    if kind in (ast.Is, ast.IsNot) and right is None and not isinstance(left, Unreadable | Opaque | External):
        return (left is None) is (kind is ast.Is)
    if isinstance(left, External) and left.name == "__name__":
        return UNKNOWN
    if kind in (ast.In, ast.NotIn) and readable(left) and isinstance(right, dict):
        return (left in right) is (kind is ast.In)
    if not readable(left) or not readable(right):
        return UNKNOWN
    try:
        return bool(_COMPARISONS[kind](left, right))
    except TypeError:
        return UNKNOWN


def to_bool(text: str) -> Any:
    """As the libraries for settings read a switch."""
    low = text.strip().lower()
    return False if low in _FALSE else True if low in _TRUE else UNKNOWN
