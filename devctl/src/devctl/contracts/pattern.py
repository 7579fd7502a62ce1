"""Text that a regular expression matches. It need not find every such text: who calls, checks."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable
from re import _constants as sre  # type: ignore[attr-defined]  # the only reader of patterns that Python has
from re import _parser  # type: ignore[attr-defined]
from typing import Any

_LONGEST_REPEAT = 12
_LETTERS = string.ascii_lowercase
_CATEGORIES = {
    sre.CATEGORY_DIGIT: string.digits,
    sre.CATEGORY_WORD: _LETTERS + string.digits,
    sre.CATEGORY_SPACE: " ",
    sre.CATEGORY_NOT_DIGIT: _LETTERS,
    sre.CATEGORY_NOT_SPACE: _LETTERS + string.digits,
    sre.CATEGORY_NOT_WORD: "-",
}
_ANY = _LETTERS + string.digits + "-_.:/@ " + string.ascii_uppercase


def matching(pattern: str, rng: random.Random) -> str:
    """One text for the pattern, different from call to call; "" where the pattern is beyond us."""
    try:
        return _sequence(_parser.parse(pattern), rng, {})
    except (re.error, NotImplementedError, OverflowError):
        return ""


def _sequence(parts: Any, rng: random.Random, groups: dict[int, str]) -> str:
    return "".join(_MAKERS.get(code, _unknown)(argument, rng, groups) for code, argument in parts)


def _unknown(_: Any, __: random.Random, ___: dict[int, str]) -> str:
    raise NotImplementedError


def _nothing(_: Any, __: random.Random, ___: dict[int, str]) -> str:
    return ""  # anchors and look-arounds take no room


def _one_of(argument: Any, rng: random.Random, _: dict[int, str]) -> str:
    wanted, unwanted = "", False
    for code, value in argument:
        if code is sre.NEGATE:
            unwanted = True
        elif code is sre.LITERAL:
            wanted += chr(value)
        elif code is sre.RANGE:
            wanted += "".join(map(chr, range(value[0], min(value[1], value[0] + 255) + 1)))
        elif code is sre.CATEGORY:
            wanted += _CATEGORIES.get(value, "")
    allowed = [one for one in _ANY if one not in wanted] if unwanted else list(dict.fromkeys(wanted))
    if not allowed:
        raise NotImplementedError
    return rng.choice(allowed)


def _repeat(argument: Any, rng: random.Random, groups: dict[int, str]) -> str:
    least, most, part = argument
    most = max(least, min(int(most), least + _LONGEST_REPEAT))
    return "".join(_sequence(part, rng, groups) for _ in range(rng.randint(least, most)))


def _group(argument: Any, rng: random.Random, groups: dict[int, str]) -> str:
    number, _, _, part = argument
    text = _sequence(part, rng, groups)
    if number is not None:
        groups[number] = text
    return text


_MAKERS: dict[Any, Callable[[Any, random.Random, dict[int, str]], str]] = {
    sre.LITERAL: lambda argument, _, __: chr(argument),
    sre.NOT_LITERAL: lambda argument, rng, _: rng.choice([one for one in _ANY if one != chr(argument)]),
    sre.ANY: lambda _, rng, __: rng.choice(_ANY),
    sre.IN: _one_of,
    sre.BRANCH: lambda argument, rng, groups: _sequence(rng.choice(argument[1]), rng, groups),
    sre.SUBPATTERN: _group,
    sre.ATOMIC_GROUP: _sequence,
    sre.MAX_REPEAT: _repeat,
    sre.MIN_REPEAT: _repeat,
    sre.POSSESSIVE_REPEAT: _repeat,
    sre.GROUPREF: lambda argument, _, groups: groups.get(argument, ""),
    sre.AT: _nothing,
    sre.ASSERT: _nothing,
    sre.ASSERT_NOT: _nothing,
}
