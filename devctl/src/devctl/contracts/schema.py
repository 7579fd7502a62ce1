"""Reading a JSON schema as pydantic writes it: references, unions, and the fields by their paths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Node = Mapping[str, Any]
DEEPEST = 6  # a schema may contain itself


@dataclass(frozen=True)
class Field:
    """One field of a payload: its path (`items.0.quantity`), type, limits, and whether it may be left out."""

    path: str
    type: str
    limits: str = ""
    required: bool = True
    default: str = ""


class Schema:
    """A schema and the definitions that its parts refer to."""

    def __init__(self, root: Node) -> None:
        self.root = root

    def resolve(self, node: Any) -> Node:
        """Follow references; what stands beside a reference is kept."""
        node = dict(node) if isinstance(node, Mapping) else {}  # `true` stands for anything
        while "$ref" in node:
            name = str(node["$ref"]).rpartition("/")[2]
            node = {**self.root.get("$defs", {}).get(name, {}), **{k: v for k, v in node.items() if k != "$ref"}}
        if "allOf" in node:
            merged: dict[str, Any] = {}
            for part in node["allOf"]:
                merged |= self.resolve(part)
            node = {**merged, **{k: v for k, v in node.items() if k != "allOf"}}
        found: Node = node
        return found

    def choices(self, node: Any) -> list[Node]:
        """The alternatives of a node, itself where it has none."""
        node = self.resolve(node)
        options = node.get("anyOf") or node.get("oneOf")
        if not options:
            return [node]
        around = {k: v for k, v in node.items() if k not in {"anyOf", "oneOf", "discriminator"}}
        return [{**around, **choice} for option in options for choice in self.choices(option)]

    def step(self, node: Any, key: str) -> Node | None:
        """The schema of a property, or of a list's items; None where there cannot be one of that name."""
        for choice in self.choices(node):
            kind = choice.get("type")
            if kind == "object" or "properties" in choice:
                if key in choice.get("properties", {}):
                    return self.resolve(choice["properties"][key])
                if (other := choice.get("additionalProperties", True)) is not False:
                    return self.resolve(other)
            elif kind == "array" and key.isdecimal():
                return self.resolve(_item(choice, int(key)))
            elif not choice.get("type") and "enum" not in choice and "const" not in choice:
                return {}  # anything goes
        return None

    def keys(self, node: Any) -> list[str]:
        """The names that `step` takes, where they are listed."""
        return list(dict.fromkeys(key for choice in self.choices(node) for key in choice.get("properties", {})))

    def fields(self) -> list[Field]:
        """Every field that a value can have, in order, lists by their first item."""
        return list(self._fields(self.root, "", required=True, depth=0))

    def _fields(self, node: Any, path: str, *, required: bool, depth: int) -> Iterator[Field]:
        choices = [choice for choice in self.choices(node) if choice.get("type") != "null"]
        if path:
            yield self._field(node, path, required=required)
        if depth >= DEEPEST:
            return
        seen: set[str] = set()
        for choice in choices:
            for key, inner in choice.get("properties", {}).items():
                if key not in seen:
                    seen.add(key)
                    must = key in choice.get("required", ())
                    yield from self._fields(inner, f"{path}.{key}" if path else key, required=must, depth=depth + 1)
            if choice.get("type") == "array" and (item := self.resolve(_item(choice, 0))):
                inner = list(self._fields(item, f"{path}.0" if path else "0", required=True, depth=depth + 1))
                # The list's own row says what plain items are.
                yield from inner[1:] if "properties" in item or len(inner) > 1 else []

    def _field(self, node: Any, path: str, *, required: bool) -> Field:
        node = self.resolve(node)
        choices = self.choices(node)
        types = dict.fromkeys(self._type(choice) for choice in choices)
        limits = dict.fromkeys(filter(None, (_limits(choice) for choice in choices)))
        default = ""
        if not required:
            default = _shown(node["default"]) if node.get("default") is not None else ""
        return Field(path, " or ".join(types), "; ".join(limits), required, default)

    def _type(self, node: Node) -> str:
        if "const" in node:
            return _shown(node["const"])
        if "enum" in node:
            return " | ".join(_shown(one) for one in node["enum"])
        kind = str(node.get("type", "anything"))
        if kind == "array":
            return "list of " + " or ".join(dict.fromkeys(self._type(one) for one in self.choices(_item(node, 0))))
        if kind == "object":
            return str(node.get("title") or "object") if "properties" in node else "object"
        return {"uuid": "UUID", "date-time": "time", "date": "date"}.get(str(node.get("format")), kind)


def _item(node: Node, index: int) -> Any:
    fixed = node.get("prefixItems", [])
    return fixed[index] if index < len(fixed) else node.get("items", {})


_RANGES = (("Length", "character"), ("Items", "entry"), ("Properties", "entry"))
_WORDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "multipleOf": "a multiple of {}",
    "pattern": "{}",
}


def _limits(node: Node) -> str:
    sizes = [_range(node.get(f"min{kind}"), node.get(f"max{kind}"), word) for kind, word in _RANGES]
    found = [size for size in sizes if size]
    for key, words in _WORDS.items():
        if key in node:
            found.append(words.format(f"{node[key]:,}" if isinstance(node[key], int) else node[key]))
    return ", ".join(found)


def _range(least: int | None, most: int | None, word: str) -> str:
    many = word[:-1] + "ies" if word.endswith("y") else word + "s"
    if least and most is not None:
        return f"{least:,} to {most:,} {many}"
    if most is not None:
        return f"at most {most:,} {word if most == 1 else many}"
    return f"at least {least:,} {word if least == 1 else many}" if least else ""


def _shown(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
