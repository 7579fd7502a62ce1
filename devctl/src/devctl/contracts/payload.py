"""From a JSON value to a checked payload, and what is wrong with it, field by field, in words."""

from __future__ import annotations

import difflib
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from devctl.broker.port import Message
from devctl.contracts.port import Contract, FieldProblem, Wrong
from devctl.contracts.schema import Schema

_LONGEST_SHOWN = 40
REPEATED_FOR_SECONDS = 60  # of a task that leaves no record


def checked(contract: Contract, value: Any) -> Any:
    """The payload as it travels, with everything that its model fills in; Wrong where it is not one."""
    from pydantic import ValidationError

    try:
        # In Python mode, as the owner does it: what JSON mode would forgive, the owner would not.
        payload = contract.adapter.validate_python(value)
    except ValidationError as exc:
        raise Wrong([_problem(contract, error) for error in _causes(exc.errors(include_url=False), value)]) from exc
    return contract.adapter.dump_python(payload, mode="json")


def message(contract: Contract, value: Any, *, queue: str = "") -> Message:
    """A checked payload as a message. Its task_id is the task's; where it has none, the task gets one of its own."""
    args = () if contract.payload is None else (checked(contract, value),)
    given = args[0].get("task_id") if args and isinstance(args[0], Mapping) else None
    task_id = str(given or uuid.uuid4())
    return Message(
        contract.name,
        queue or contract.queue,
        task_id,
        args,
        headers=traced(task_id),
        ignore_result=contract.ignore_result,
        remembered_seconds=contract.record_seconds or REPEATED_FOR_SECONDS,
    )


def traced(task_id: str) -> dict[str, Any]:
    """Headers by which all that this task causes can be found under its own id."""
    return {"x_correlation_id": task_id}


def _causes(errors: Sequence[Any], value: Any) -> list[Any]:
    """Without what only follows from another error: a list that is short of its wrong items, a field that the model
    itself filled in from a wrong one."""
    places = [error["loc"] for error in errors]

    def follows(error: Any) -> bool:
        inside = any(len(place) > len(error["loc"]) and place[: len(error["loc"])] == error["loc"] for place in places)
        filled_in = isinstance(value, Mapping) and error["type"] != "missing" and not {*error["loc"][:1]} & {*value}
        return (error["type"] == "too_short" and inside) or (filled_in and bool(error["loc"]))

    return [error for error in errors if not follows(error)] or list(errors)


def _problem(contract: Contract, error: Any) -> FieldProblem:
    path = ".".join(str(step) for step in error["loc"]) or "payload"
    missing = error["type"] == "missing"
    return FieldProblem(path, "–" if missing else _shown(error["input"]), _expected(contract, error))


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


def _expected(contract: Contract, error: Any) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        *parents, name = [str(step) for step in error["loc"]]
        known = _siblings(contract, parents)
        near = difflib.get_close_matches(name, known, n=1)
        return "is not a field" + (f": did you mean {near[0]}?" if near else f"; there are {', '.join(known)}")
    if kind == "value_error":  # a validator's own words
        return str(context.get("error", error["msg"]))
    if kind in _WORDS:
        return _WORDS[kind](context)
    return str(error["msg"]).removeprefix("Input ").removeprefix("Value error, ").replace("should", "must", 1)


def _siblings(contract: Contract, parents: Sequence[str]) -> list[str]:
    schema = Schema(contract.schema)
    node: Any = contract.schema
    for step in parents:
        node = schema.step(node, step) or {}
    return schema.keys(node)


def _plural(count: Any, word: str) -> str:
    return f"{count:,} {word}" + ("" if count == 1 else "s")


_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "missing": lambda _: "is missing",
    "greater_than": lambda c: f"must be more than {c['gt']}",
    "greater_than_equal": lambda c: f"must be at least {c['ge']}",
    "less_than": lambda c: f"must be less than {c['lt']}",
    "less_than_equal": lambda c: f"must be at most {c['le']}",
    "multiple_of": lambda c: f"must be a multiple of {c['multiple_of']}",
    "enum": lambda c: f"must be {c['expected']}",
    "literal_error": lambda c: f"must be {c['expected']}",
    "string_type": lambda _: "must be text",
    "string_too_short": lambda c: f"must have at least {_plural(c['min_length'], 'character')}",
    "string_too_long": lambda c: f"must have at most {_plural(c['max_length'], 'character')}",
    "string_pattern_mismatch": lambda c: f"must look like {c['pattern']}",
    "too_short": lambda c: f"must have at least {_plural(c['min_length'], 'entry').replace('entrys', 'entries')}",
    "too_long": lambda c: f"must have at most {_plural(c['max_length'], 'entry').replace('entrys', 'entries')}",
    "int_type": lambda _: "must be a whole number",
    "int_parsing": lambda _: "must be a whole number",
    "int_from_float": lambda _: "must be a whole number",
    "float_type": lambda _: "must be a number",
    "float_parsing": lambda _: "must be a number",
    "bool_type": lambda _: "must be true or false",
    "bool_parsing": lambda _: "must be true or false",
    "list_type": lambda _: "must be a list",
    "tuple_type": lambda _: "must be a list",
    "dict_type": lambda _: "must be an object",
    "model_type": lambda _: "must be an object",
    "model_attributes_type": lambda _: "must be an object",
    "uuid_parsing": lambda _: "must be a UUID such as 0190b3c2-7d61-7c3e-9a55-2b7e1d0f4a11",
    "uuid_type": lambda _: "must be a UUID such as 0190b3c2-7d61-7c3e-9a55-2b7e1d0f4a11",
    "timezone_aware": lambda _: "must say its time zone, such as 2026-11-23T10:15:00Z",
    "datetime_parsing": lambda _: "must be a time such as 2026-11-23T10:15:00Z",
    "datetime_from_date_parsing": lambda _: "must be a time such as 2026-11-23T10:15:00Z",
    "datetime_type": lambda _: "must be a time such as 2026-11-23T10:15:00Z",
    "decimal_parsing": lambda _: 'must be a number as text, such as "12.50"',
    "decimal_type": lambda _: 'must be a number as text, such as "12.50"',
    "decimal_max_places": lambda c: f"must have at most {_plural(c['decimal_places'], 'decimal place')}",
    "none_required": lambda _: "takes no payload",
}
