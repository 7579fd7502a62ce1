"""Small insertions into Python files. Where they go is found with `ast`; what stands around them stays as it is."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

WIDTH = 120

Sequence = ast.Tuple | ast.List


class NotFound(Exception):
    """The file has no place for what is to be inserted."""


@dataclass(frozen=True)
class Imports:
    """How imports are sorted: standard library, other packages, and those of this repository last."""

    own: frozenset[str]

    @classmethod
    def of(cls, root: Path) -> Imports:
        """The packages that lie in a `src/` of this repository."""
        return cls(frozenset(init.parent.name for init in root.glob("*/src/*/__init__.py")))

    def add(self, text: str, module: str, names: Iterable[str]) -> str:
        """Return the text with `from module import names`; as it is, without names."""
        wanted = set(names)
        if not wanted:
            return text
        body = ast.parse(text).body
        for node in body:
            if isinstance(node, ast.ImportFrom) and node.module == module and not node.level:
                have = {alias.name for alias in node.names if not alias.asname}
                if wanted <= have:
                    return text
                if node.lineno != node.end_lineno:
                    return _with_names(text, node, sorted(wanted - have, key=_order))
                written = {_written(alias) for alias in node.names} | wanted
                return _replaced(text, node, _import(module, written))
        return self._insert(text, body, module, wanted)

    def _insert(self, text: str, body: list[ast.stmt], module: str, names: set[str]) -> str:
        new = _import(module, names)
        before: ast.stmt | None = None
        after: ast.stmt | None = None
        for node in body:
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            if self._rank(node) <= self._key(module, plain=False):
                before = node
            elif after is None:
                after = node
        lines = text.splitlines(keepends=True)
        if before is not None and before.end_lineno is not None:
            gap = "" if self._section_of(before) == self._section(module) else "\n"
            lines.insert(before.end_lineno, f"{gap}{new}\n")
        elif after is not None:
            gap = "" if self._section_of(after) == self._section(module) else "\n"
            lines.insert(after.lineno - 1, f"{new}\n{gap}")
        else:
            docstring = body[0].end_lineno or 0 if body and ast.get_docstring(ast.Module(body, [])) is not None else 0
            code = body[1:] if docstring else body
            gap = "" if docstring or not code else "\n\n" if _bound(code[0]) else "\n"
            lines.insert(docstring, f"\n{new}\n" if docstring else f"{new}\n{gap}")
        return "".join(lines)

    def _rank(self, node: ast.Import | ast.ImportFrom) -> tuple[int, int, str]:
        plain = isinstance(node, ast.Import)
        name = node.names[0].name if isinstance(node, ast.Import) else node.module or ""
        return self._key(name, plain=plain)

    def _key(self, module: str, *, plain: bool) -> tuple[int, int, str]:
        return self._section(module), 0 if plain else 1, module.lower()

    def _section(self, module: str) -> int:
        top = module.partition(".")[0]
        if top == "__future__":
            return 0
        return 1 if top in sys.stdlib_module_names else 3 if top in self.own else 2

    def _section_of(self, node: ast.stmt) -> int:
        assert isinstance(node, ast.Import | ast.ImportFrom)
        return self._rank(node)[0]


def defines(text: str, name: str) -> bool:
    """Whether the module binds this name at its top: by `def`, `class` or an assignment."""
    return any(name in _bound(node) for node in ast.parse(text).body)


def appended(text: str, code: str) -> str:
    """Return the text with a definition at its end."""
    return f"{text.rstrip()}\n\n\n{code.strip()}\n" if text.strip() else f"{code.strip()}\n"


def inserted_before(text: str, name: str, code: str) -> str:
    """Return the text with statements before the one that binds this name, below the one above it."""
    body = ast.parse(text).body
    for index, node in enumerate(body):
        if name in _bound(node):
            above = body[index - 1].end_lineno or 0 if index else 0
            lines = text.splitlines(keepends=True)
            lines.insert(above, f"{code.strip()}\n")
            return "".join(lines)
    raise NotFound(f"no {name}")


def with_item(text: str, name: str, item: str) -> str:
    """Return the text with one more item in `NAME = (…)`."""
    for node in ast.parse(text).body:
        if name in _bound(node) and isinstance(node, ast.Assign | ast.AnnAssign):
            if isinstance(node.value, Sequence):
                return _with_element(text, node.value, item, whole=None)
            break
    raise NotFound(f"{name} is not written as a list of names")


def with_argument(text: str, function: str, item: str, *, keyword: str, position: int | None = None) -> str:
    """Return the text with one more item in the list that a call of this function is given."""
    for call in ast.walk(ast.parse(text)):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == function:
            given = {one.arg: one.value for one in call.keywords}
            value = given.get(keyword)
            if value is None and position is not None and len(call.args) > position:
                value = call.args[position]
            if isinstance(value, Sequence):
                return _with_element(text, value, item, whole=call)
    raise NotFound(f"no {function}(…) with a list of {keyword}")


def fields_of(text: str, name: str) -> dict[str, ast.AnnAssign]:
    """Return the annotated fields of a class that the module defines, without its ClassVars; NotFound without it."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return {
                one.target.id: one
                for one in node.body
                if isinstance(one, ast.AnnAssign)
                and isinstance(one.target, ast.Name)
                and not ast.unparse(one.annotation).startswith("ClassVar")
            }
    raise NotFound(f"no class {name}")


def class_value(text: str, name: str, variable: str) -> object:
    """Return the constant that a class gives to a variable of its own; None without one."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            for one in node.body:
                if isinstance(one, ast.AnnAssign | ast.Assign) and isinstance(one.value, ast.Constant):
                    targets = [one.target] if isinstance(one, ast.AnnAssign) else one.targets
                    if any(isinstance(target, ast.Name) and target.id == variable for target in targets):
                        return one.value.value
    return None


def argument(text: str, name: str, keyword: str) -> ast.expr | None:
    """Return what `NAME = Something(…, keyword=value)` says there; None where it says nothing."""
    for node in ast.parse(text).body:
        if name in _bound(node) and isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call):
            return next((one.value for one in node.value.keywords if one.arg == keyword), None)
    return None


def source(text: str, node: ast.AST) -> str:
    """Return the text of a node."""
    return ast.get_source_segment(text, node) or ""


def last_return(text: str, function: str) -> ast.Return:
    """Return the last statement of a function of the module, if that is a return."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name == function and isinstance(node.body[-1], ast.Return):
            return node.body[-1]
    raise NotFound(f"no function {function} that ends with a return")


def first_line(text: str, name: str) -> int:
    """Return the number of the line where a definition begins, its decorators included."""
    for node in ast.parse(text).body:
        if name in _bound(node):
            decorators = getattr(node, "decorator_list", [])
            return int(min([node.lineno, *(one.lineno for one in decorators)]))
    raise NotFound(f"no {name}")


def inserted_at(text: str, line: int, code: str) -> str:
    """Return the text with code before the line of this number."""
    lines = text.splitlines(keepends=True)
    lines.insert(line - 1, code)
    return "".join(lines)


def _bound(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    targets: Iterator[ast.expr] = iter(())
    if isinstance(node, ast.Assign):
        targets = iter(node.targets)
    elif isinstance(node, ast.AnnAssign):
        targets = iter((node.target,))
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _with_element(text: str, node: ast.Tuple | ast.List, item: str, whole: ast.Call | None) -> str:
    elements = [source(text, one) for one in node.elts]
    if item in elements:
        return text
    opening, closing = ("(", ")") if isinstance(node, ast.Tuple) else ("[", "]")
    if node.lineno != node.end_lineno:
        return _with_line(text, node, item)
    elements.append(item)
    comma = "," if len(elements) == 1 and isinstance(node, ast.Tuple) else ""
    short = _replaced(text, node, f"{opening}{', '.join(elements)}{comma}{closing}")
    if max(map(len, short.splitlines()[node.lineno - 1 : node.lineno])) <= WIDTH:
        return short
    indent = _indent(text, node)
    if whole is None:
        return _replaced(text, node, _exploded(opening, elements, closing, indent))
    return _replaced(text, whole, _call(text, whole, node, elements, indent))


def _with_line(text: str, node: ast.Tuple | ast.List, item: str) -> str:
    """One more line in a list that has a line for each item."""
    if not node.elts:
        raise NotFound("an empty list on several lines")
    last = node.elts[-1]
    end, line = _index(text, last.end_lineno or 0, last.end_col_offset or 0), text.splitlines()[last.lineno - 1]
    indent = line[: len(line) - len(line.lstrip())]
    if text[end:].lstrip().startswith(","):
        end = text.index(",", end) + 1
        rest = text[end:].splitlines()[0]
        end += len(rest)  # a comment belongs to the line above
        return f"{text[:end]}\n{indent}{item},{text[end:]}"
    return f"{text[:end]},\n{indent}{item}{text[end:]}"


def _exploded(opening: str, parts: Iterable[str], closing: str, indent: str) -> str:
    inside = "".join(f"{indent}    {part},\n" for part in parts)
    return f"{opening}\n{inside}{indent}{closing}"


def _call(text: str, call: ast.Call, node: ast.expr, elements: list[str], indent: str) -> str:
    """A call with a line for each argument; the list is given a line for each item where one is not enough."""

    def written(value: ast.expr, name: str) -> str:
        if value is not node:
            return f"{name}{source(text, value)}"
        line = f"{name}[{', '.join(elements)}]"
        if len(indent) + 4 + len(line) + 1 <= WIDTH:
            return line
        return name + _exploded("[", elements, "]", f"{indent}    ")

    parts = [written(one, "") for one in call.args]
    parts += [written(one.value, f"{one.arg}=") for one in call.keywords]
    return _exploded(f"{source(text, call.func)}(", parts, ")", indent)


def _with_names(text: str, node: ast.ImportFrom, names: Iterable[str]) -> str:
    """A line for each in an import that has a line for each name."""
    lines = text.splitlines(keepends=True)
    places = [(_order(alias.name), alias.lineno) for alias in node.names]
    for name in reversed(list(names)):
        after = max((line for order, line in places if order < _order(name)), default=node.lineno)
        lines.insert(after, f"    {name},\n")
    return "".join(lines)


def _import(module: str, names: Iterable[str]) -> str:
    ordered = sorted(names, key=_order)
    line = f"from {module} import {', '.join(ordered)}"
    if len(line) <= WIDTH:
        return line
    return _exploded(f"from {module} import (", ordered, ")", "")


def _order(name: str) -> tuple[int, str, str]:
    """As isort has it: CONSTANTS, Classes, functions."""
    name = name.partition(" ")[0]
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2
    return kind, name.lower(), name


def _written(alias: ast.alias) -> str:
    return f"{alias.name} as {alias.asname}" if alias.asname else alias.name


def _indent(text: str, node: ast.expr) -> str:
    line = text.splitlines()[node.lineno - 1]
    return line[: len(line) - len(line.lstrip())]


def _replaced(text: str, node: ast.expr | ast.stmt, new: str) -> str:
    start = _index(text, node.lineno, node.col_offset)
    end = _index(text, node.end_lineno or 0, node.end_col_offset or 0)
    return f"{text[:start]}{new}{text[end:]}"


def _index(text: str, line: int, column: int) -> int:
    """Line and column as ast has them, in bytes -> place in the text."""
    lines = text.splitlines(keepends=True)
    return sum(map(len, lines[: line - 1])) + len(lines[line - 1].encode()[:column].decode())
