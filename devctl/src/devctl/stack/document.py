"""A YAML file as Compose reads it: plain values, and the line each of them stands on."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path as FilePath
from typing import Any

import yaml

from devctl.errors import DevctlError

Path = tuple[str | int, ...]
"""Where a value stands: ("services", "redis", "ports", 0)."""

_RESET, _OVERRIDE = "!reset", "!override"
_NOTHING = object()

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where the wheel has it: 10 times quicker


class _Loader(_Base):  # type: ignore[misc]  # the base is chosen at run time
    """YAML 1.2's scalars, like Compose: `on` and `no` are words, 22:22 is a port and not a number in base 60."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # PyYAML's own attribute


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*|0[0-7_]+|0o[0-7_]+|0x[0-9a-fA-F_]+)", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?", "-+0123456789."),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))


@dataclass(frozen=True)
class Document:
    """The values of a file, merge keys and anchors resolved, nothing interpolated."""

    file: FilePath
    data: dict[str, Any]
    lines: dict[Path, int] = field(repr=False)
    cleared: tuple[Path, ...] = ()
    """What `!reset` and `!override` take away from the files before it."""

    def where(self, path: Path) -> str:
        """`docker-compose.yml:12`: the line of this value, or of the nearest one around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.file.name}:{self.lines.get(path, 1)}"


def parse(file: FilePath) -> Document:
    """Read a YAML mapping; DevctlError names file and line of what is wrong."""
    try:
        state = file.stat()
        return _parsed(file, state.st_mtime_ns, state.st_size, state.st_ino)
    except OSError as wrong:
        raise DevctlError(f"{file} cannot be read: {wrong.strerror}", hint=f"ls -l {file}") from wrong


@lru_cache(maxsize=32)
def _parsed(file: FilePath, *_: int) -> Document:
    try:
        root = yaml.compose(file.read_text(encoding="utf-8"), Loader=_Loader)
        lines: dict[Path, int] = {}
        cleared: list[Path] = []
        data = _value(root, (), lines, cleared) if root is not None else None
    except yaml.MarkedYAMLError as wrong:
        mark = wrong.problem_mark or wrong.context_mark
        line = mark.line + 1 if mark else 1
        says = ", ".join(part for part in (wrong.context, wrong.problem) if part)
        raise DevctlError(f"{file.name}:{line}: not YAML: {says}", hint=f"look at line {line} of {file}") from wrong
    except (yaml.YAMLError, UnicodeDecodeError) as wrong:
        raise DevctlError(f"{file.name}: not YAML: {wrong}", hint=f"look at {file}") from wrong
    if not isinstance(data, dict):
        raise DevctlError(f"{file.name}:1: empty, or not a mapping", hint="a Compose file starts with `services:`")
    return Document(file, data, lines, tuple(cleared))


def _value(node: yaml.Node, path: Path, lines: dict[Path, int], cleared: list[Path]) -> Any:
    lines[path] = node.start_mark.line + 1
    if node.tag in (_RESET, _OVERRIDE):
        cleared.append(path)
    if node.tag == _RESET:
        return _NOTHING
    if isinstance(node, yaml.MappingNode):
        children = {key: _value(child, (*path, key), lines, cleared) for key, child in _pairs(node).items()}
        return {key: child for key, child in children.items() if child is not _NOTHING}
    if isinstance(node, yaml.SequenceNode):
        return [_value(child, (*path, index), lines, cleared) for index, child in enumerate(node.value)]
    return _scalar(str(node.value), node.tag.rpartition(":")[2])


def _pairs(node: yaml.MappingNode) -> dict[str, yaml.Node]:
    """Return the keys of a mapping: its own over those it merges in with `<<`."""
    own: dict[str, yaml.Node] = {}
    merged: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if key.tag == "tag:yaml.org,2002:merge":
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if not isinstance(source, yaml.MappingNode):
                    raise yaml.constructor.ConstructorError(None, None, "<< merges mappings only", source.start_mark)
                merged = {**_pairs(source), **merged}
        elif str(key.value) in own:
            raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} stands twice", key.start_mark)
        else:
            own[str(key.value)] = value
    return {**merged, **own}


def _scalar(text: str, kind: str) -> object:
    match kind:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            digits = text.replace("_", "")
            return int(digits, 8 if re.fullmatch(r"[-+]?0[0-7]+", digits) else 0)
        case "float":
            return float(text.replace("_", ""))
        case _:
            return text
