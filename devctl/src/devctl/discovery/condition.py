"""Whether a `[ … ]` or `[[ … ]]` of a shell holds, where its words say it."""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable, Sequence

from devctl.discovery.variables import UNKNOWN

_TEXTS: dict[str, Callable[[str, str], bool]] = {
    "=": fnmatch.fnmatchcase,
    "==": fnmatch.fnmatchcase,
    "!=": lambda left, right: not fnmatch.fnmatchcase(left, right),
}
_NUMBERS: dict[str, Callable[[int, int], bool]] = {
    "-eq": operator.eq,
    "-ne": operator.ne,
    "-gt": operator.gt,
    "-ge": operator.ge,
    "-lt": operator.lt,
    "-le": operator.le,
}
_JOINED = (("||", True), ("-o", True), ("&&", False), ("-a", False))
"""Words between two tests, and the answer of one side that decides."""


def holds(words: Sequence[str]) -> bool | None:
    """Return the answer; None where only running it would tell: files, unknown values, patterns."""
    for word, decisive in _JOINED:
        if word in words[1:-1]:
            at = words.index(word, 1)
            sides = [holds(words[:at]), holds(words[at + 1 :])]
            if decisive in sides:
                return decisive
            return None if None in sides else not decisive
    if words[:1] == ["!"] and len(words) > 1:
        answer = holds(words[1:])
        return None if answer is None else not answer
    if any(UNKNOWN in word for word in words):
        return None
    return _simple(words)


def _simple(words: Sequence[str]) -> bool | None:
    match [*words]:
        case []:
            return False
        case [word]:
            return bool(word)
        case ["-z", word]:
            return not word
        case ["-n", word]:
            return bool(word)
        case [left, sign, right] if sign in _TEXTS:
            return _TEXTS[sign](left, right)
        case [left, sign, right] if sign in _NUMBERS and re.fullmatch(r"-?\d+ -?\d+", f"{left} {right}"):
            return _NUMBERS[sign](int(left), int(right))
    return None
