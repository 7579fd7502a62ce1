"""`--set items.0.quantity=3`: changing one place of a payload, guided by the contract's schema."""

from __future__ import annotations

import difflib
from typing import Any

from devctl.contracts.document import strict
from devctl.contracts.port import Task
from devctl.contracts.sample import part
from devctl.contracts.schema import Node, Schema
from devctl.errors import UsageError


def assign(contract: Task, payload: Any, assignment: str) -> Any:
    """The payload with `path=value` applied, in place; UsageError for a path that cannot be."""
    path, separator, text = assignment.partition("=")
    steps = path.split(".")
    if not separator or not all(steps):
        raise UsageError(f"--set {assignment} is not PATH=VALUE", hint="--set items.0.quantity=3")
    if contract.takes_nothing:
        raise UsageError(f"--set {path}: {contract.name} takes nothing", hint=f"devctl tasks {contract.short}")
    place = _Place(contract, path)
    parent, node = payload, place.schema.resolve(contract.schema)
    for number, step in enumerate(steps):
        inner = place.enter(parent, node, step, steps[:number])
        if number == len(steps) - 1:
            place.put(parent, step, _value(place.schema, inner, text))
        else:
            parent, node = place.child(parent, step, inner, steps[number + 1]), inner
    return payload


class _Place:
    def __init__(self, contract: Task, path: str) -> None:
        self.contract, self.path, self.schema = contract, path, Schema(contract.schema)

    def enter(self, parent: Any, node: Node, step: str, before: list[str]) -> Node:
        """The schema of one step further, if there can be such a step here."""
        where = ".".join(before) or "the payload"
        if isinstance(parent, list):
            # One past the end is an append; beyond that would leave a hole.
            if not step.isdecimal() or int(step) > len(parent):
                indices = f"0 to {len(parent) - 1}, or {len(parent)} for one more" if parent else "0 for the first"
                raise self._unknown(f"{where} is a list: {indices}")
        elif not isinstance(parent, dict):
            raise self._unknown(f"{where} is not an object: it has no fields")
        inner = self.schema.step(node, step)
        if inner is None:
            known = self.schema.keys(node)
            near = difflib.get_close_matches(step, known, n=1)
            raise self._unknown(
                f"{where} has {', '.join(known) or 'no fields'}",
                f": did you mean {'.'.join([*before, *near])}?" if near else "",
            )
        return inner

    def child(self, parent: Any, step: str, node: Node, following: str) -> Any:
        """What lies at this step, made where it is missing."""
        there = isinstance(parent, dict) and parent.get(step) is not None
        if isinstance(parent, list) and int(step) < len(parent):
            there = True
        if not there:
            kinds = {choice.get("type") for choice in self.schema.choices(node)}
            if isinstance(parent, list):
                made = part(self.contract, node, step)  # one more of its kind: the other fields must be there, too
            else:
                made = [] if "array" in kinds and following.isdecimal() else {}
            self.put(parent, step, made)
        return parent[int(step) if isinstance(parent, list) else step]

    def put(self, parent: Any, step: str, value: Any) -> None:
        if isinstance(parent, list):
            if int(step) == len(parent):
                parent.append(value)
            else:
                parent[int(step)] = value
        else:
            parent[step] = value

    def _unknown(self, what_exists: str, guess: str = "") -> UsageError:
        return UsageError(
            f"--set {self.path}: there is no such field{guess}",
            hint=f"{what_exists}\ndevctl tasks {self.contract.short}     all its fields",
        )


def _value(schema: Schema, node: Node, text: str) -> Any:
    """JSON where it is JSON, else text. A field that takes only text gets `12` as text: nobody would quote it twice."""
    try:
        value = strict(text)
    except ValueError:
        return text
    only_text = {choice.get("type") for choice in schema.choices(node)} <= {"string", "null"} and "enum" not in node
    if only_text and isinstance(value, int | float) and schema.choices(node) != [{}]:
        return text
    return value
