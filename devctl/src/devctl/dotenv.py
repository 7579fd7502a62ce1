"""`.env` and env_file, read as Compose reads them."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, Mapping
from pathlib import Path

from devctl.errors import DevctlError
from devctl.interpolation import InterpolationError, interpolate

_BETWEEN = re.compile(r"(?:\s|#[^\n]*)+")
_NAME = re.compile(r"(?:export[^\S\n]+)?(?P<name>[^=:\n]*)(?P<end>[=:]|\n|$)")
_GOOD_NAME = re.compile(r"[\w.\-\[\]]+")
_LITERAL = re.compile(r"'(?P<text>(?:\\.|[^'\\])*)'", re.DOTALL)
_QUOTED = re.compile(r'"(?P<text>(?:\\.|[^"\\])*)"', re.DOTALL)
_ESCAPE = re.compile(r'\\(?P<sign>[abfnrtv$"\\]|0(?P<octal>[0-7]{3}))')
_ESCAPES = dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True)) | {'"': '"', "\\": "\\", "$": "$$"}
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what such a byte becomes


def refuse(problem: DevctlError) -> None:
    """What a reader does with a wrong line unless told otherwise."""
    raise problem


def skip(_: DevctlError) -> None:
    """Read on without a wrong line."""


def read(
    file: Path, environment: Mapping[str, str] | None = None, wrong: Callable[[DevctlError], None] = refuse
) -> dict[str, str]:
    """Return the file's variables; values may use those of `environment`, then earlier ones. No file is empty.

    A line that is wrong is a DevctlError that names it, never its value; `wrong` may note it and go on without it.
    """
    known = environment or {}
    values: dict[str, str] = {}
    scope = ChainMap(dict(known), values)
    text = _text(file, wrong)
    at = _past(text, 0)
    while at < len(text):
        try:
            name, value, end = _entry(text, at, scope)
        except _Wrong as odd:
            wrong(DevctlError(f"{file}:{text.count(chr(10), 0, at) + 1}: {odd.problem}", hint=odd.hint))
            end = odd.end
        else:
            if value is not None:
                values[name] = value
            elif name in known:  # a name alone passes the environment's value on
                values[name] = known[name]
        at = _past(text, end)
    return values


def read_raw(file: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of an env_file with `format: raw`: what stands behind the first `=` is the value."""
    values: dict[str, str] = {}
    for line in _text(file, refuse).split("\n"):
        name, equals, value = line.lstrip().partition("=")
        if not name or name.startswith("#"):
            continue
        if equals:
            values[name] = value
        elif name in environment:
            values[name] = environment[name]
    return values


class _Wrong(DevctlError):
    """What is wrong in an entry, without its place; `end` is where the next one may begin."""

    def __init__(self, problem: str, hint: str, end: int) -> None:
        super().__init__(problem, hint=hint)
        self.end = end


def _text(file: Path, wrong: Callable[[DevctlError], None]) -> str:
    try:
        if not file.is_file():
            return ""
        # Compose takes any byte in a comment; one in a value is an error of that line.
        return file.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as unreadable:
        wrong(DevctlError(f"{file} cannot be read: {unreadable.strerror}", hint=f"ls -l {file}"))
        return ""


def _past(text: str, at: int) -> int:
    """Where the next entry begins: behind white space and comments."""
    found = _BETWEEN.match(text, at)
    return found.end() if found else at


def _entry(text: str, at: int, scope: Mapping[str, str]) -> tuple[str, str | None, int]:
    """The name, its value (None for a name alone) and where it ends."""
    found = _NAME.match(text, at)
    assert found is not None  # it matches the empty text, too
    name, end = found["name"].strip(), _line_end(text, at)
    if not _GOOD_NAME.fullmatch(name):
        raise _Wrong("this is no NAME=value", "a comment begins with #; a value of several lines is in quotes", end)
    if found["end"] not in ("=", ":"):
        return name, None, found.end()
    begin = found.end() + len(text[found.end() : end]) - len(text[found.end() : end].lstrip())
    sign = text[begin : begin + 1]
    if sign in ("'", '"'):
        quoted = (_LITERAL if sign == "'" else _QUOTED).match(text, begin)
        if not quoted:
            raise _Wrong(f"the value of {name} begins with {sign}, and no {sign} ends it", f"{name}={sign}…{sign}", end)
        end, written = quoted.end(), quoted["text"]
    else:
        written = text[begin:end].partition(" #")[0].rstrip()
    if _NOT_UTF8.search(written):
        # Compose reads it, but the engine then puts U+FFFD in its place: a wrong password, without a word.
        raise _Wrong(f"{name} is not UTF-8", "save the file as UTF-8", end)
    if sign == "'":
        return name, written.replace("\\'", "'"), end
    if sign == '"':
        written = _ESCAPE.sub(_unescaped, written)
    return name, _interpolated(name, written, scope, end), end


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found["octal"], 8)) if found["octal"] else _ESCAPES[found["sign"]]


def _interpolated(name: str, value: str, scope: Mapping[str, str], end: int) -> str:
    try:
        return interpolate(value, scope) if "$" in value else value
    except InterpolationError as odd:  # not chained: its own message shows the value
        if odd.required:
            problem = f"{name} needs {odd.required}, which is not set"
            raise _Wrong(problem, f"set {odd.required}, there or before that line", end) from None
        raise _Wrong(
            f"the value of {name} has a ${{ that does not begin a variable",
            f"in single quotes every $ stands for itself, {name}='…'; without them write $$",
            end,
        ) from None
