"""`$X` and `${X:-default}` as Compose reads them; shell expansion (os.path.expandvars) differs in every corner."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

_FLAT = r"(?:[^{}]|\{[^{}]*\})*"
_DEFAULT = rf"(?:[^{{}}]|\{{{_FLAT}\}})*"  # braces in braces: three levels are more than anybody wrote
_VARIABLE = re.compile(
    r"\$(?:(?P<escape>\$)|(?P<plain>[A-Za-z_]\w*)|"
    rf"\{{(?P<name>[A-Za-z_]\w*)(?:(?P<op>:?[-?+])(?P<arg>{_DEFAULT}))?\}}|(?P<wrong>\{{))",
    re.ASCII | re.DOTALL,
)


class InterpolationError(ValueError):
    """A value that cannot be interpolated: a required variable that is missing, or a `${` that is no variable."""

    def __init__(self, message: str, *, required: str = "") -> None:
        super().__init__(message)
        self.required = required
        """The name of the required variable; empty where the value itself is wrong."""


def interpolate(text: str, env: Mapping[str, str], missing: Callable[[str], None] = lambda name: None) -> str:
    """Replace the variables of one value; `missing` hears of plain variables that are not set (they become empty).

    A dollar sign that begins no variable stands for itself, as in `pa$1`.
    """

    def one(found: re.Match[str]) -> str:
        if found["escape"]:
            return "$"
        if found["wrong"] is not None:
            raise InterpolationError(f"{text!r}: not a variable; a dollar sign itself is written $$")
        name, op, argument = found["plain"] or found["name"], found["op"] or "", found["arg"] or ""
        value = env.get(name)
        present = value is not None and not (":" in op and value == "")
        if op[-1:] == "-":
            return value if present else interpolate(argument, env, missing)  # type: ignore[return-value]
        if op[-1:] == "+":
            return interpolate(argument, env, missing) if present else ""
        if op[-1:] == "?" and not present:
            message = f"{name} is not set: {interpolate(argument, env) or 'it is required'}"
            raise InterpolationError(message, required=name)
        if value is None:
            missing(name)
        return value or ""

    return _VARIABLE.sub(one, text)


def variables(text: str) -> Iterator[str]:
    """Return the names of all variables in a value, those inside defaults too."""
    for found in _VARIABLE.finditer(text):
        if found["plain"] or found["name"]:
            yield found["plain"] or found["name"]
        yield from variables(found["arg"] or "")
