"""`.env` and env_file, read as Compose reads them."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, Mapping
from pathlib import Path

from devctl.errors import DevctlError
from devctl.interpolation import InterpolationError, interpolate

_ENTRY = re.compile(
    r"""^[^\S\n]*(?:export[^\S\n]+)?(?P<name>[\w.-]+)[^\S\n]*
    (?:[=:][^\S\n]*(?:'(?P<literal>(?:\\'|[^'])*)' | "(?P<quoted>(?:\\.|[^"\\])*)" | (?P<bare>[^\n]*)) )?[^\n]*$""",
    re.MULTILINE | re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what such a byte becomes


def refuse(problem: DevctlError) -> None:
    """What a reader does with a wrong line unless told otherwise."""
    raise problem


def skip(_: DevctlError) -> None:
    """Read on without a wrong line."""


def read(
    file: Path, environment: Mapping[str, str] | None = None, wrong: Callable[[DevctlError], None] = refuse
) -> dict[str, str]:
    """Return the file's variables; values may use earlier ones and `environment`. A folder or no file is empty.

    A line that is wrong is a DevctlError that names it, never its value; `wrong` may note it and go on without it.
    """
    known = environment or {}
    values: dict[str, str] = {}
    text = _text(file, wrong)
    for found in _ENTRY.finditer(text):
        name, line = found["name"], text.count("\n", 0, found.start("name")) + 1
        try:
            value = _value(found, ChainMap(values, dict(known)))
        except _Wrong as odd:
            wrong(DevctlError(f"{file}:{line}: {odd.problem}", hint=odd.hint))
            continue
        if value is not None:
            values[name] = value
        elif name in known:  # a name alone passes the environment's value on
            values[name] = known[name]
    return values


class _Wrong(DevctlError):
    """What is wrong in an entry, without its place."""


def _text(file: Path, wrong: Callable[[DevctlError], None]) -> str:
    """The file without its comments, line by line."""
    try:
        if not file.is_file():
            return ""
        # Compose takes any byte in a comment; one in a value is an error of that line.
        text = file.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as unreadable:
        wrong(DevctlError(f"{file} cannot be read: {unreadable.strerror}", hint=f"ls -l {file}"))
        return ""
    return re.sub(r"^[^\S\n]*#.*$", "", text, flags=re.MULTILINE)


def _value(found: re.Match[str], scope: Mapping[str, str]) -> str | None:
    """The value of an entry; None for a name alone."""
    literal, quoted, bare = found["literal"], found["quoted"], found["bare"]
    if bare is not None:
        bare = re.split(r"\s#", bare, maxsplit=1)[0].strip()
    written = next((one for one in (literal, quoted, bare) if one is not None), None)
    if _NOT_UTF8.search(found[0] if written is None else written):
        # Compose reads it, but the engine then puts U+FFFD in its place: a wrong password, without a word.
        raise _Wrong(f"{found['name']} is not UTF-8", hint="save the file as UTF-8")
    if literal is not None:
        return literal.replace("\\'", "'")
    if quoted is not None:
        return _interpolated(found["name"], re.sub(r"\\([nrt\"\\])", lambda m: _ESCAPES[m[1]], quoted), scope)
    return None if bare is None else _interpolated(found["name"], bare, scope)


def _interpolated(name: str, value: str, scope: Mapping[str, str]) -> str:
    try:
        return interpolate(value, scope) if "$" in value else value
    except InterpolationError as odd:  # not chained: its own message shows the value
        if odd.required:
            raise _Wrong(
                f"{name} needs {odd.required}, which is not set", hint=f"set {odd.required}, there or before that line"
            ) from None
        raise _Wrong(
            f"the value of {name} has a ${{ that does not begin a variable",
            hint=f"in single quotes every $ stands for itself, {name}='…'; without them write $$",
        ) from None
