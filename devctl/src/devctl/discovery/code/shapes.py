"""What an annotation asks for, as a JSON schema, as far as the tree shows it."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from devctl.discovery.code.configuration import default_of
from devctl.discovery.code.interpreter import Frame, Interpreter
from devctl.discovery.code.values import Class, External, Member, Opaque, plain, readable

Schema = dict[str, Any]
_DEEPEST = 5
_PLAIN: dict[str, Schema] = {
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "str": {"type": "string"},
    "bool": {"type": "boolean"},
    "UUID": {"type": "string", "format": "uuid"},
    "datetime": {"type": "string", "format": "date-time"},
    "date": {"type": "string", "format": "date"},
    "Decimal": {"anyOf": [{"type": "number"}, {"type": "string"}]},
    "Path": {"type": "string"},
    "EmailStr": {"type": "string", "format": "email"},
    "HttpUrl": {"type": "string", "format": "uri"},
    "AnyUrl": {"type": "string", "format": "uri"},
    "PositiveInt": {"type": "integer", "exclusiveMinimum": 0},
}
_LISTS = {
    "list",
    "List",
    "Sequence",
    "Iterable",
    "Collection",
    "MutableSequence",
    "set",
    "Set",
    "frozenset",
    "FrozenSet",
}
_TABLES = {"dict", "Dict", "Mapping", "MutableMapping"}
_WRAPPERS: dict[str, Callable[[list[Schema]], Schema]] = {
    "Optional": lambda parts: _any([parts[0], {"type": "null"}]),
    **dict.fromkeys(("Required", "NotRequired", "ReadOnly"), lambda parts: parts[0]),
    **dict.fromkeys(_LISTS, lambda parts: {"type": "array", "items": parts[0]}),
    **dict.fromkeys(_TABLES, lambda parts: {"type": "object", "additionalProperties": parts[1] if parts[1:] else {}}),
}
_LIMITS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "min_length": "minLength",
    "max_length": "maxLength",
    "pattern": "pattern",
    "multiple_of": "multipleOf",
}


def schema(node: ast.expr | None, interpreter: Interpreter, frame: Frame, depth: int = 0) -> Schema:
    """The schema of an annotation; empty where anything may come."""
    if node is None or depth > _DEEPEST:
        return {}
    if isinstance(node, ast.Constant):
        if node.value is None:
            return {"type": "null"}
        if isinstance(node.value, str):
            try:
                return schema(ast.parse(node.value, mode="eval").body, interpreter, frame, depth + 1)
            except SyntaxError:
                return {}
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _any([schema(one, interpreter, frame, depth + 1) for one in (node.left, node.right)])
    if isinstance(node, ast.Subscript):
        return _subscript(node, interpreter, frame, depth)
    return _named(node, interpreter, frame, depth)


def _any(options: list[Schema]) -> Schema:
    if any(not one for one in options):
        return {}
    flat = [inner for one in options for inner in (one["anyOf"] if {*one} == {"anyOf"} else [one])]
    return {"anyOf": flat} if len(flat) > 1 else flat[0]


def _subscript(node: ast.Subscript, interpreter: Interpreter, frame: Frame, depth: int) -> Schema:
    name = ast.unparse(node.value).rpartition(".")[2]
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]

    def inner(one: ast.expr) -> Schema:
        return schema(one, interpreter, frame, depth + 1)

    if name in _WRAPPERS:
        return _WRAPPERS[name]([inner(one) for one in parts[:2]])
    if name == "Union":
        return _any([inner(one) for one in parts])
    if name == "Literal":
        values = [plain(interpreter.value(one, frame)) for one in parts]
        return {"enum": values} if readable(values) else {}
    if name == "Annotated":
        return _annotated(inner(parts[0]), [interpreter.value(one, frame) for one in parts[1:]])
    if name not in {"tuple", "Tuple"}:
        return {}
    if len(parts) == 2 and isinstance(parts[1], ast.Constant) and parts[1].value is ...:
        return {"type": "array", "items": inner(parts[0])}
    fixed = [inner(one) for one in parts]
    return {"type": "array", "prefixItems": fixed, "minItems": len(fixed), "maxItems": len(fixed)}


def _annotated(found: Schema, more: list[Any]) -> Schema:
    for value in more if found else ():
        if isinstance(value, Opaque) and value.kind.endswith("Field"):
            found = {**found, **_limits(value)}
    return found


def _named(node: ast.expr, interpreter: Interpreter, frame: Frame, depth: int) -> Schema:
    value = interpreter.value(node, frame)
    if isinstance(value, Class):
        return _class(value, interpreter, depth)
    if isinstance(value, External):
        name = value.name.rpartition(".")[2]
        if name in _PLAIN:
            return dict(_PLAIN[name])
        if name in _LISTS or name in {"tuple", "Tuple"}:
            return {"type": "array"}
        if name in _TABLES:
            return {"type": "object"}
    return {}


def _class(cls: Class, interpreter: Interpreter, depth: int) -> Schema:
    if cls.is_a("Enum", "StrEnum", "IntEnum", "TextChoices", "IntegerChoices"):
        members = [one for one in cls.scope.names.values() if isinstance(one, Member)]
        if not members or not all(readable(one.value) for one in members):
            return {}
        return {"enum": [one.value for one in members], "x-names": {one.name: one.value for one in members}}
    data = any("dataclass" in ast.unparse(one) for one in cls.node.decorator_list)
    if not (cls.is_a("BaseModel", "TypedDict", "Struct") or data):
        return {}
    properties: dict[str, Schema] = {}
    required: list[str] = []
    for one in reversed(cls.line()):
        if isinstance(one, Class):
            _fields(one, interpreter, depth, properties, required)
    made: Schema = {"type": "object", "title": cls.name, "properties": properties, "required": required}
    if _forbids(cls):
        made["additionalProperties"] = False
    return made


def _fields(
    cls: Class, interpreter: Interpreter, depth: int, properties: dict[str, Schema], required: list[str]
) -> None:
    frame = Frame(cls.module, cls.module.scope, cls.scope)
    for node in cls.node.body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        name = node.target.id
        annotation = ast.unparse(node.annotation)
        if name.startswith("_") or "ClassVar" in annotation or name == "model_config":
            continue
        found = schema(node.annotation, interpreter, frame, depth + 1)
        value = interpreter.value(node.value, frame) if node.value is not None else None
        must = node.value is None and "NotRequired" not in annotation
        if isinstance(value, Opaque) and value.kind.rpartition(".")[2] in {"Field", "field"}:
            found = {**found, **_limits(value)} if found else found
            alias = value.keywords.get("alias")
            name = alias if isinstance(alias, str) else name
            has_default = {"default", "default_factory"} & {*value.keywords} or (
                value.arguments and value.arguments[0] is not ...
            )
            must = not has_default
            value = default_of(interpreter, value) if has_default else None
        if cls.is_a("BaseModel") and _validated(cls, name):
            found = {}  # a validator may take more than the annotation says
        if not must and readable(plain(value)) and value is not None:
            found = {**found, "default": plain(value)}
        properties[name] = found
        if must and name not in required:
            required.append(name)
        elif not must and name in required:
            required.remove(name)


def _validated(cls: Class, name: str) -> bool:
    for node in cls.node.body:
        for decorator in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
            if isinstance(decorator, ast.Call) and "validator" in ast.unparse(decorator.func):
                said = [one.value for one in decorator.args if isinstance(one, ast.Constant)]
                before = any(
                    one.arg in ("mode", "pre")
                    and isinstance(one.value, ast.Constant)
                    and one.value.value in ("before", "wrap", True)
                    for one in decorator.keywords
                )
                if before and (name in said or "*" in said):
                    return True
    return False


def _forbids(cls: Class) -> bool:
    found = cls.scope.names.get("model_config")
    inner = cls.scope.names.get("Config")
    if isinstance(found, Opaque):
        return found.keywords.get("extra") == "forbid"
    if isinstance(found, dict):
        return found.get("extra") == "forbid"
    return isinstance(inner, Class) and inner.scope.names.get("extra") == "forbid"


def _limits(given: Opaque) -> Schema:
    return {
        _LIMITS[name]: value
        for name, value in given.keywords.items()
        if name in _LIMITS and isinstance(value, int | float | str)
    }
