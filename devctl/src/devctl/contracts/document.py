"""JSON as people bring it: one object, an array, or JSON lines; read strictly, and each value with its place."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from devctl.errors import UsageError

LARGEST_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Document:
    """One value and where it stood: "line 3", "item 3"; empty where there is only one."""

    value: Any
    place: str = ""


class _Refused(ValueError):
    """Valid for a lenient parser, but not what somebody meant."""


def strict(text: str) -> Any:
    """Parse one JSON value; ValueError for NaN, Infinity and duplicate keys, too."""
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_integer
        )
    except RecursionError:
        raise _Refused("it is nested too deeply") from None


def array(option: str, text: str | None) -> list[Any]:
    """What an option like --args says; empty where it is not given."""
    return cast("list[Any]", _given(option, text, list, "an array: '[1, 2]'"))


def mapping(option: str, text: str | None) -> dict[str, Any]:
    """What an option like --kwargs says."""
    return cast("dict[str, Any]", _given(option, text, dict, "an object: '{\"n\": 1}'"))


def _given(option: str, text: str | None, kind: type[Any], example: str) -> Any:
    if text is None:
        return kind()
    try:
        value = strict(text)
    except ValueError as exc:
        raise UsageError(f"{option} is not JSON: {exc}", hint=f"it takes {example}") from exc
    if not isinstance(value, kind):
        raise UsageError(f"{option} is not {example.partition(':')[0]}: {text}", hint=f"it takes {example}")
    return value


def read(name: str) -> list[Document]:
    """The documents of a file, or of stdin for `-`; UsageError where it is not JSON."""
    source = "stdin" if name == "-" else name
    try:
        raw = sys.stdin.buffer.read(LARGEST_BYTES + 1) if name == "-" else Path(name).read_bytes()
    except OSError as exc:
        raise UsageError(
            f"cannot read {source}: {exc.strerror}", hint="--json-file takes a file, or - for stdin"
        ) from exc
    if len(raw) > LARGEST_BYTES:
        raise UsageError(f"{source} is larger than {LARGEST_BYTES >> 20} MiB", hint="send it in parts")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise UsageError(f"{source} is not UTF-8 (byte {exc.start:,})", hint="JSON is UTF-8 text") from exc
    return list(documents(text, source))


def documents(text: str, source: str) -> Iterator[Document]:
    """The values in a text."""
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise UsageError(f"{source} is empty", hint="write a JSON object, an array of objects, or one object a line")
    if len(lines) > 1 and _is_json(lines[0][1]):
        for number, line in lines:
            yield Document(_parse(line, source, line_offset=number - 1), f"line {number}")
        return
    value = _parse(text, source)
    if isinstance(value, list):
        if not value:
            raise UsageError(f"{source} is an empty array", hint="nothing to send")
        yield from (Document(one, f"item {number}") for number, one in enumerate(value, 1))
    else:
        yield Document(value)


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    except RecursionError:
        return True
    return True


def _parse(text: str, source: str, line_offset: int = 0) -> Any:
    try:
        return strict(text)
    except json.JSONDecodeError as exc:
        where = f"line {exc.lineno + line_offset}, column {exc.colno}"
        raise UsageError(f"{source} is not JSON: {exc.msg} ({where})", hint="nothing was published") from exc
    except ValueError as exc:
        where = f"line {line_offset + 1}: " if line_offset else ""
        raise UsageError(f"{source} is not usable: {where}{exc}", hint="nothing was published") from exc


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Refused(f"the key {twice!r} stands twice in one object")
    return made


def _constant(name: str) -> Any:
    raise _Refused(f"{name} is not JSON")


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _Refused(f"{text} is too large a number")
    return number


def _integer(text: str) -> int:
    if len(text) > 400:
        raise _Refused(f"a number of {len(text):,} digits is too large")
    return int(text)
