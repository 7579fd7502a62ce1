"""Whether a JSON value is what a schema asks for, and what is wrong with it, in words. Pure."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from typing import Any

from devctl.contracts.port import FieldProblem
from devctl.contracts.schema import Node, Schema

_LONGEST_SHOWN = 40
_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "integer": (lambda value: isinstance(value, int) and not isinstance(value, bool), "a whole number"),
    "number": (lambda value: isinstance(value, int | float) and not isinstance(value, bool), "a number"),
    "string": (lambda value: isinstance(value, str), "text"),
    "boolean": (lambda value: isinstance(value, bool), "true or false"),
    "null": (lambda value: value is None, "null"),
    "array": (lambda value: isinstance(value, list | tuple), "a list"),
    "object": (lambda value: isinstance(value, Mapping), "an object"),
}
_FORMATS: dict[str, tuple[Callable[[str], object], str]] = {
    "uuid": (uuid.UUID, "a UUID such as 0190b3c2-7d61-7c3e-9a55-2b7e1d0f4a11"),
    "date-time": (datetime.fromisoformat, "a time such as 2026-11-23T10:15:00Z"),
    "date": (date.fromisoformat, "a date such as 2026-11-23"),
}
_LIMITS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "minimum": (lambda value, limit: value >= limit, "at least {}"),
    "exclusiveMinimum": (lambda value, limit: value > limit, "more than {}"),
    "maximum": (lambda value, limit: value <= limit, "at most {}"),
    "exclusiveMaximum": (lambda value, limit: value < limit, "less than {}"),
}


def named(schema: Mapping[str, Any], value: Any) -> Any:
    """The value with what enum members' names stand for in their place: RED becomes what RED is."""
    if names := schema.get("x-names"):
        known = value not in schema["enum"] and isinstance(value, str)
        return names.get(value, value) if known else value
    for choice in schema.get("anyOf", ()):
        value = named(choice, value)
    if isinstance(value, list) and isinstance(schema.get("items"), Mapping):
        return [named(schema["items"], one) for one in value]
    if isinstance(value, Mapping) and "properties" in schema:
        return {key: named(schema["properties"].get(key, {}), one) for key, one in value.items()}
    return value


def problems(schema: Mapping[str, Any], value: Any, path: str = "") -> Iterator[FieldProblem]:
    """What is wrong with the value; nothing where it conforms."""
    choices = Schema(schema).choices(schema)
    found = [[*_of(choice, value, path)] for choice in choices]
    if all(found):
        if len(found) == 1:
            yield from found[0]
            return
        # The alternative that is meant is the one of this kind: its problems are the ones to tell.
        meant = [one for one, choice in zip(found, choices, strict=True) if _is_kind(choice, value)]
        if len(meant) == 1:
            yield from meant[0]
        else:
            words = dict.fromkeys(_word(choice) for choice in choices)
            yield FieldProblem(path, shown(value), f"must be {' or '.join(words)}")


def _is_kind(schema: Node, value: Any) -> bool:
    kind = _KINDS.get(str(schema.get("type")))
    return kind is not None and kind[0](value)


def _word(schema: Node) -> str:
    if "enum" in schema:
        return ", ".join(shown(one) for one in schema["enum"])
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]][1]
    return _KINDS.get(str(schema.get("type")), (None, "something else"))[1]


def _of(schema: Node, value: Any, path: str) -> Iterator[FieldProblem]:
    if "enum" in schema and value not in schema["enum"]:
        names = schema.get("x-names")
        allowed = [*names] if names else [shown(one) for one in schema["enum"]]
        yield FieldProblem(path, shown(value), f"must be {' or '.join(allowed)}")
        return
    if schema.get("type") in _KINDS and not _is_kind(schema, value):
        yield FieldProblem(path, shown(value), f"must be {_word(schema)}")
        return
    if isinstance(value, str):
        yield from _text(schema, value, path)
    elif isinstance(value, Mapping):
        yield from _object(schema, value, path)
    elif isinstance(value, list | tuple):
        yield from _array(schema, value, path)
    elif isinstance(value, int | float):
        for key, (fits, words) in _LIMITS.items():
            if key in schema and not fits(value, schema[key]):
                yield FieldProblem(path, shown(value), f"must be {words.format(schema[key])}")


def _text(schema: Node, value: str, path: str) -> Iterator[FieldProblem]:
    if schema.get("format") in _FORMATS:
        parse, words = _FORMATS[schema["format"]]
        try:
            parse(value)
        except ValueError:
            yield FieldProblem(path, shown(value), f"must be {words}")
    if len(value) < schema.get("minLength", 0):
        yield FieldProblem(path, shown(value), f"must have at least {schema['minLength']:,} characters")
    if len(value) > schema.get("maxLength", len(value)):
        yield FieldProblem(path, shown(value), f"must have at most {schema['maxLength']:,} characters")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        yield FieldProblem(path, shown(value), f"must look like {schema['pattern']}")


def _object(schema: Node, value: Mapping[str, Any], path: str) -> Iterator[FieldProblem]:
    known = schema.get("properties", {})
    for key in schema.get("required", ()):
        if key not in value:
            yield FieldProblem(_join(path, key), "–", "is missing")
    other = schema.get("additionalProperties", True)
    for key, one in value.items():
        if key in known:
            yield from problems(known[key], one, _join(path, key))
        elif other is False:
            yield FieldProblem(_join(path, key), shown(one), f"is not a field; there are {', '.join(known) or 'none'}")
        elif isinstance(other, Mapping):
            yield from problems(other, one, _join(path, key))


def _array(schema: Node, value: list[Any] | tuple[Any, ...], path: str) -> Iterator[FieldProblem]:
    fixed = schema.get("prefixItems", [])
    if len(value) < schema.get("minItems", 0):
        yield FieldProblem(path, shown(value), f"must have at least {schema['minItems']:,} entries")
    if len(value) > schema.get("maxItems", len(value)):
        yield FieldProblem(path, shown(value), f"must have at most {schema['maxItems']:,} entries")
    for index, one in enumerate(value):
        inner = fixed[index] if index < len(fixed) else schema.get("items", {})
        yield from problems(inner, one, _join(path, str(index)))


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def shown(value: Any) -> str:
    """A value as a message shows it."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"
