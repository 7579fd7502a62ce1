"""Runs the top level of modules as far as their text says what happens, and never a line of them.

What only running would tell is `Unreadable`, and stays so in whatever is made of it.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from devctl.discovery.code import library
from devctl.discovery.code.modules import Modules
from devctl.discovery.code.operators import UNKNOWN, compare, items, operate, text_of, truth
from devctl.discovery.code.session import Call, class_attribute
from devctl.discovery.code.values import (
    App,
    Bound,
    Class,
    External,
    Function,
    Instance,
    Member,
    Module,
    Opaque,
    Place,
    Scope,
    Table,
    readable,
)
from devctl.discovery.model import Incomplete, Unreadable

_DEEPEST_CALL = 10
_MOST_STEPS = 200_000
_MOST_TURNS = 500
_LONGEST_TEXT = 80
_TRANSPARENT = {"cache", "lru_cache", "cached_property", "property", "staticmethod", "classmethod", "computed_field"}
_PROPERTIES = {"property", "cached_property"}
_BUILTINS = {"True": True, "False": False, "None": None}


class Frame:
    """Where code runs: its module, its names, and what is in doubt there."""

    def __init__(self, module: Module, *scopes: Scope) -> None:
        self.module, self.scopes = module, scopes
        self.doubt = 0
        """Within branches of which nobody knows whether they run."""
        self.results: list[Any] = []
        self.certain = False
        """Whether the last of the results is sure to be returned, if none before it is."""


class Interpreter:
    """One reading of a repository in one environment."""

    def __init__(self, modules: Modules, environment: Mapping[str, str]) -> None:
        self.modules = modules
        self.environment: dict[str, str] = dict(environment)
        self.incomplete = isinstance(environment, Incomplete)
        self.loaded: dict[str, Module | None] = {}
        self.skipped: dict[Path, str] = {}
        self.apps: list[App] = []
        self._texts: dict[Path, str | None] = {}
        self._steps = 0
        self._depth = 0

    # ---- modules

    def text(self, file: Path) -> str | None:
        """The text of a file; None where it cannot be read."""
        if file not in self._texts:
            try:
                self._texts[file] = file.read_text(encoding="utf-8-sig", errors="replace")
            except OSError:
                self._texts[file] = None
        return self._texts[file]

    def module(self, name: str) -> Module | None:
        """The module by its dotted name, executed; None where it is not of this repository, or does not parse."""
        if name in self.loaded:
            return self.loaded[name]
        file = self.modules.find(name)
        self.loaded[name] = None
        if file is None:
            return None
        text = self.text(file)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of escapes in strings: their author's affair
                tree = ast.parse(text or "")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
            self.skipped[file] = f"{type(exc).__name__}: {exc}"
            return None
        parent = name.rpartition(".")[0]
        if parent:
            self.module(parent)
        module = self.loaded[name] = Module(name, file, tree)
        module.scope.names.update({"__name__": name, "__file__": str(file)})
        depth, steps, self._depth, self._steps = self._depth, self._steps, 0, 0
        try:
            self.run(tree.body, Frame(module, module.scope))
        except RecursionError:
            self.skipped[file] = "it is nested too deeply"
        self._depth, self._steps = depth, steps
        return module

    def current_app(self) -> App:
        """`celery.current_app`: the app that was made last, else one without a configuration."""
        if not self.apps:
            self.apps.append(App("", self.modules.root, 0))
        return self.apps[-1]

    def django_settings(self) -> Module | None:
        """Django's settings; None where nothing says which module they are, or where more may be in them."""
        return self.module(self.environment.get("DJANGO_SETTINGS_MODULE", ""))

    # ---- statements

    def run(self, body: Iterable[ast.stmt], frame: Frame) -> bool:
        """Execute statements; True where what follows them is not reached."""
        return any(self._statement(one, frame) for one in body)

    def _statement(self, node: ast.stmt, frame: Frame) -> bool:
        self._steps += 1
        if self._steps > _MOST_STEPS:
            return True
        handler = getattr(self, f"_do_{type(node).__name__.lower()}", None)
        return bool(handler(node, frame)) if handler else False

    def _do_expr(self, node: ast.Expr, frame: Frame) -> None:
        if not isinstance(node.value, ast.Constant):
            self.value(node.value, frame)

    def _do_assign(self, node: ast.Assign, frame: Frame) -> None:
        value = self.value(node.value, frame)
        for target in node.targets:
            self._assign(target, value, frame)

    def _do_annassign(self, node: ast.AnnAssign, frame: Frame) -> None:
        if node.value is not None:
            self._assign(node.target, self.value(node.value, frame), frame)

    def _do_augassign(self, node: ast.AugAssign, frame: Frame) -> None:
        before = self.value(node.target, frame)
        after = operate(type(node.op), before, self.value(node.value, frame))
        self._assign(node.target, self._or_text(after, node), frame)

    def _do_delete(self, node: ast.Delete, frame: Frame) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                frame.scopes[-1].names.pop(target.id, None)

    def _do_return(self, node: ast.Return, frame: Frame) -> bool:
        frame.results.append(self.value(node.value, frame) if node.value else None)
        frame.certain = not frame.doubt
        return True

    def _do_raise(self, node: ast.Raise, frame: Frame) -> bool:
        return True

    def _do_continue(self, node: ast.Continue, frame: Frame) -> bool:
        return True

    def _do_break(self, node: ast.Break, frame: Frame) -> bool:
        return True

    def _do_if(self, node: ast.If, frame: Frame) -> bool:
        test = truth(self.value(node.test, frame))
        if test is not None:
            return self.run(node.body if test else node.orelse, frame)
        before = len(frame.results)
        frame.doubt += 1
        ended = [self.run(node.body, frame), self.run(node.orelse, frame)]
        if len(frame.results) == before or all(ended):
            frame.doubt -= 1  # else what follows may not be reached
        return all(ended)

    def _do_try(self, node: ast.Try, frame: Frame) -> bool:
        ended = self.run(node.body, frame) or self.run(node.orelse, frame)
        return self.run(node.finalbody, frame) or ended

    _do_trystar = _do_try

    def _do_with(self, node: ast.With, frame: Frame) -> bool:
        for item in node.items:
            value = self.value(item.context_expr, frame)
            if item.optional_vars is not None:
                self._assign(item.optional_vars, value, frame)
        return self.run(node.body, frame)

    def _do_for(self, node: ast.For, frame: Frame) -> bool:
        over = items(self.value(node.iter, frame))
        if over is not None and len(over) <= _MOST_TURNS:
            for one in over:
                self._assign(node.target, one, frame)
                before = len(frame.results)
                if self.run(node.body, frame) and len(frame.results) > before:
                    return True
            return self.run(node.orelse, frame)
        frame.doubt += 1
        self._assign(node.target, Unreadable(_text(node.target)), frame)
        before = len(frame.results)
        self.run(node.body, frame)
        frame.doubt -= len(frame.results) == before
        return False

    def _do_while(self, node: ast.While, frame: Frame) -> bool:
        frame.doubt += 1
        before = len(frame.results)
        self.run(node.body, frame)
        frame.doubt -= len(frame.results) == before
        return False

    def _do_match(self, node: ast.Match, frame: Frame) -> bool:
        before = len(frame.results)
        frame.doubt += 1
        for case in node.cases:
            self.run(case.body, frame)
        frame.doubt -= len(frame.results) == before
        return False

    def _do_global(self, node: ast.Global, frame: Frame) -> None:
        frame.scopes[-1].places.update({f"global {name}": (frame.module.file, node.lineno) for name in node.names})

    def _do_import(self, node: ast.Import, frame: Frame) -> None:
        for one in node.names:
            module = self.module(one.name)
            if one.asname:
                self._name(one.asname, module or External(one.name), frame, node)
            else:
                top = one.name.partition(".")[0]
                self._name(top, self.module(top) or External(top), frame, node)

    def _do_importfrom(self, node: ast.ImportFrom, frame: Frame) -> None:
        base = node.module or ""
        if node.level:
            parts = frame.module.package.split(".")
            parts = parts[: len(parts) - node.level + 1]
            base = ".".join([*filter(None, parts), *([base] if base else [])])
        module = self.module(base) if base else None
        for one in node.names:
            if one.name != "*":
                self._name(one.asname or one.name, self._imported(module, base, one.name), frame, node)
            elif module is None:
                frame.scopes[-1].doubt = f"from {base} import *"
            else:
                scope = frame.scopes[-1]
                shown = module.scope.names.get("__all__")
                for name, value in module.scope.names.items():
                    if name in shown if isinstance(shown, list | tuple) else not name.startswith("_"):
                        scope.names[name] = value
                        scope.places[name] = module.scope.places.get(name, (module.file, 1))
                scope.doubt = scope.doubt or module.scope.doubt

    def _imported(self, module: Module | None, base: str, name: str) -> Any:
        if module is not None and name in module.scope.names:
            return module.scope.names[name]
        full = f"{base}.{name}" if base else name
        if inner := self.module(full):
            return inner
        if module is not None:
            function = module.scope.names.get("__getattr__")
            return Unreadable(f"{name} of {base}") if function or module.scope.doubt else Unreadable(full)
        if self.modules.find(full.partition(".")[0]) is not None and self.modules.find(base) is not None:
            return Unreadable(full)
        return self.current_app() if full == "celery.current_app" else External(full)

    def _do_functiondef(self, node: ast.FunctionDef, frame: Frame) -> None:
        function = Function(node, frame.module, frame.scopes)
        for decorator in node.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            name = _text(called).rpartition(".")[2]
            if name in _PROPERTIES:
                function.kind = "property"
            elif name in {"staticmethod", "classmethod"}:
                function.kind = name
            elif name not in _TRANSPARENT and not function.kind:
                function.kind = "opaque"
        self._name(node.name, function, frame, node)

    _do_asyncfunctiondef = _do_functiondef

    def _do_classdef(self, node: ast.ClassDef, frame: Frame) -> None:
        bases = tuple(self.value(base, frame) for base in node.bases)
        made = Class(node, frame.module, bases)
        inner = Frame(frame.module, *frame.scopes, made.scope)
        self.run(node.body, inner)
        for value in made.scope.names.values():
            if isinstance(value, Function) and value.owner is None:
                value.owner = made
        if made.is_a("Enum", "StrEnum", "IntEnum", "TextChoices", "IntegerChoices"):
            for name, value in made.scope.names.items():
                if not name.startswith("_") and not isinstance(value, Function):
                    made.scope.names[name] = Member(name, _member(value, name))
        self._name(node.name, made, frame, node)

    # ---- names

    def _name(self, name: str, value: Any, frame: Frame, node: ast.AST) -> None:
        scope = frame.scopes[-1]
        if f"global {name}" in scope.places:
            scope = frame.module.scope
        if frame.doubt and not isinstance(value, Module | External | Function | Class):
            same = name in scope.names and _same(scope.names[name], value)
            value = value if same or isinstance(value, App) else Unreadable(f"{name}, under a condition")
        scope.names[name] = value
        scope.places[name] = (frame.module.file, getattr(node, "lineno", 0))
        made = isinstance(node, ast.Name) and isinstance(value, App) and not value.variable
        if made and scope is frame.module.scope:
            value.variable, value.module = name, frame.module.name
            if not value.line:
                value.file, value.line = scope.places[name]

    def _assign(self, target: ast.expr, value: Any, frame: Frame) -> None:
        if isinstance(target, ast.Name):
            self._name(target.id, value, frame, target)
        elif isinstance(target, ast.Tuple | ast.List):
            parts = items(value)
            starred = any(isinstance(one, ast.Starred) for one in target.elts)
            if parts is None or starred or len(parts) != len(target.elts):
                parts = [Unreadable(_text(one)) for one in target.elts]
            for one, part in zip(target.elts, parts, strict=True):
                self._assign(one.value if isinstance(one, ast.Starred) else one, part, frame)
        elif isinstance(target, ast.Attribute):
            place = (frame.module.file, target.lineno)
            doubted = Unreadable(f"{_text(target)}, under a condition") if frame.doubt else value
            library.set_attribute(self, self.value(target.value, frame), target.attr, doubted, place)
        elif isinstance(target, ast.Subscript):
            place = (frame.module.file, target.lineno)
            doubted = Unreadable(f"{_text(target)}, under a condition") if frame.doubt else value
            holder, key = self.value(target.value, frame), self.value(target.slice, frame)
            library.set_item(self, holder, key, doubted, place)

    # ---- expressions

    def value(self, node: ast.expr, frame: Frame) -> Any:
        """What an expression is."""
        self._steps += 1
        if self._steps > _MOST_STEPS:
            return Unreadable(_text(node))
        handler = getattr(self, f"_of_{type(node).__name__.lower()}", None)
        found = handler(node, frame) if handler else Unreadable(_text(node))
        return self._or_text(found, node)

    def _or_text(self, found: Any, node: ast.AST) -> Any:
        return Unreadable(_text(node)) if found is UNKNOWN else found

    def _of_constant(self, node: ast.Constant, frame: Frame) -> Any:
        return node.value

    def _of_name(self, node: ast.Name, frame: Frame) -> Any:
        for scope in reversed(frame.scopes):
            if node.id in scope.names:
                return scope.names[node.id]
        if node.id in _BUILTINS:
            return _BUILTINS[node.id]
        if any(scope.doubt for scope in frame.scopes):
            return UNKNOWN
        return External(node.id) if node.id in library.BUILTINS else UNKNOWN

    def _of_attribute(self, node: ast.Attribute, frame: Frame) -> Any:
        return self.attribute(self.value(node.value, frame), node.attr)

    def attribute(self, value: Any, name: str) -> Any:
        """An attribute of a value; UNKNOWN where nobody can tell."""
        if isinstance(value, Module):
            return self._imported(value, value.name, name)
        return library.attribute(self, value, name)

    def _of_subscript(self, node: ast.Subscript, frame: Frame) -> Any:
        return library.item(self, self.value(node.value, frame), self.value(node.slice, frame))

    def _of_slice(self, node: ast.Slice, frame: Frame) -> Any:
        parts = [self.value(one, frame) if one else None for one in (node.lower, node.upper, node.step)]
        return slice(*parts) if all(isinstance(one, int | None) for one in parts) else UNKNOWN

    def _of_list(self, node: ast.List, frame: Frame) -> Any:
        return self._sequence(node.elts, frame)

    def _of_tuple(self, node: ast.Tuple, frame: Frame) -> Any:
        found = self._sequence(node.elts, frame)
        return tuple(found) if isinstance(found, list) else found

    def _of_set(self, node: ast.Set, frame: Frame) -> Any:
        found = self._sequence(node.elts, frame)
        try:
            return set(found) if isinstance(found, list) and readable(found) else UNKNOWN
        except TypeError:
            return UNKNOWN

    def _sequence(self, nodes: Sequence[ast.expr], frame: Frame) -> Any:
        found: list[Any] = []
        for one in nodes:
            if isinstance(one, ast.Starred):
                inner = items(self.value(one.value, frame))
                if inner is None:
                    return UNKNOWN
                found += inner
            else:
                found.append(self.value(one, frame))
        return found

    def _of_dict(self, node: ast.Dict, frame: Frame) -> Any:
        made = Table()
        for key, one in zip(node.keys, node.values, strict=True):
            value = self.value(one, frame)
            if key is None:
                if not isinstance(value, dict):
                    return UNKNOWN
                made.update(value)
                made.places.update(getattr(value, "places", {}))
                continue
            named = self.value(key, frame)
            named = named.value if isinstance(named, Member) else named
            named = _task_name(named) if isinstance(named, Function) else named
            try:
                made[named] = value
                made.places[named] = (frame.module.file, key.lineno)
            except TypeError:
                return UNKNOWN
        return made

    def _of_joinedstr(self, node: ast.JoinedStr, frame: Frame) -> Any:
        parts = []
        for one in node.values:
            value = self.value(one.value, frame) if isinstance(one, ast.FormattedValue) else self.value(one, frame)
            value = text_of(value)
            if value is None or (
                isinstance(one, ast.FormattedValue) and (one.format_spec or one.conversion == ord("r"))
            ):
                return UNKNOWN
            parts.append(value)
        return "".join(parts)

    def _of_binop(self, node: ast.BinOp, frame: Frame) -> Any:
        return operate(type(node.op), self.value(node.left, frame), self.value(node.right, frame))

    def _of_boolop(self, node: ast.BoolOp, frame: Frame) -> Any:
        value: Any = UNKNOWN
        for one in node.values:
            value = self.value(one, frame)
            true = truth(value)
            if true is None:
                return UNKNOWN
            if true is not isinstance(node.op, ast.And):
                return value
        return value

    def _of_unaryop(self, node: ast.UnaryOp, frame: Frame) -> Any:
        value = self.value(node.operand, frame)
        if isinstance(node.op, ast.Not):
            true = truth(value)
            return UNKNOWN if true is None else not true
        if isinstance(node.op, ast.USub) and isinstance(value, int | float):
            return -value
        return UNKNOWN

    def _of_compare(self, node: ast.Compare, frame: Frame) -> Any:
        left = self.value(node.left, frame)
        for operator, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.value(right_node, frame)
            found = compare(type(operator), left, right)
            if found is not True:
                return found
            left = right
        return True

    def _of_ifexp(self, node: ast.IfExp, frame: Frame) -> Any:
        test = truth(self.value(node.test, frame))
        if test is None:
            one, other = self.value(node.body, frame), self.value(node.orelse, frame)
            return one if _same(one, other) else UNKNOWN
        return self.value(node.body if test else node.orelse, frame)

    def _of_namedexpr(self, node: ast.NamedExpr, frame: Frame) -> Any:
        value = self.value(node.value, frame)
        self._assign(node.target, value, frame)
        return value

    def _of_await(self, node: ast.Await, frame: Frame) -> Any:
        return self.value(node.value, frame)

    def _of_lambda(self, node: ast.Lambda, frame: Frame) -> Any:
        return Function(node, frame.module, frame.scopes)

    def _of_listcomp(self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp, frame: Frame) -> Any:
        found = self._comprehend(node.generators, frame, lambda inner: self.value(node.elt, inner))
        return UNKNOWN if found is None else found

    _of_generatorexp = _of_listcomp

    def _of_dictcomp(self, node: ast.DictComp, frame: Frame) -> Any:
        pairs = self._comprehend(
            node.generators, frame, lambda inner: (self.value(node.key, inner), self.value(node.value, inner))
        )
        try:
            return UNKNOWN if pairs is None else Table(pairs)
        except TypeError:
            return UNKNOWN

    def _comprehend(self, generators: Sequence[ast.comprehension], frame: Frame, make: Any) -> list[Any] | None:
        if len(generators) != 1:
            return None
        over = items(self.value(generators[0].iter, frame))
        if over is None or len(over) > _MOST_TURNS:
            return None
        found = []
        for one in over:
            inner = Frame(frame.module, *frame.scopes, Scope())
            self._assign(generators[0].target, one, inner)
            tests = [truth(self.value(test, inner)) for test in generators[0].ifs]
            if None in tests:
                return None
            if all(tests):
                found.append(make(inner))
        return found

    # ---- calls

    def _of_call(self, node: ast.Call, frame: Frame) -> Any:
        function = self.value(node.func, frame)
        arguments: list[Any] = []
        keywords = Table()
        whole = True
        for one in node.args:
            if isinstance(one, ast.Starred):
                inner = items(self.value(one.value, frame))
                whole = whole and inner is not None
                arguments += inner or []
            else:
                arguments.append(self.value(one, frame))
        for keyword in node.keywords:
            value = self.value(keyword.value, frame)
            if keyword.arg is None:
                whole = whole and isinstance(value, dict)
                keywords.update(value if isinstance(value, dict) else {})
                keywords.places.update(getattr(value, "places", {}))
            else:
                keywords[keyword.arg] = value
                keywords.places[keyword.arg] = (frame.module.file, keyword.value.lineno)
        call = Call(
            _text(node), (frame.module.file, node.lineno), frame.module, bool(frame.doubt), whole, arguments, keywords
        )
        return self.call(function, call)

    def call(self, function: Any, call: Call) -> Any:
        """What a call returns; UNKNOWN where nobody can tell."""
        if isinstance(function, Bound) and isinstance(function.function, Function):
            call = call.given(function.arguments, dict(function.keywords))
            function = function.function
        if isinstance(function, Function):
            return self._call_function(function, call)
        if isinstance(function, Class):
            return self._instantiate(function, call)
        return library.call(self, function, call)

    def _instantiate(self, cls: Class, call: Call) -> Any:
        if cls.is_a("Celery"):
            return library.make_app(self, call, cls)
        if cls.is_a("Enum", "StrEnum", "IntEnum"):
            return next(
                (one for one in cls.scope.names.values() if isinstance(one, Member) and [one.value] == call.arguments),
                UNKNOWN,
            )
        instance = Instance(cls, dict(call.keywords))
        start = class_attribute(cls, "__init__")
        if isinstance(start, Function):
            instance.attributes.clear()
            self._call_function(start, call.given((instance,), {}))
        return instance

    def _call_function(self, function: Function, call: Call) -> Any:
        if function.kind == "opaque" or self._depth >= _DEEPEST_CALL:
            return UNKNOWN
        bound = bind(function.node.args, call)
        if bound is None:
            return UNKNOWN
        scope = Scope()
        frame = Frame(function.module, *function.outer, scope)
        frame.doubt = int(call.doubt)
        for name, default in bound.items():
            scope.names[name] = self.value(default.node, frame) if isinstance(default, Default) else default
        if isinstance(function.node, ast.Lambda):
            return self.value(function.node.body, frame)
        self._depth += 1
        try:
            self.run(function.node.body, frame)
        finally:
            self._depth -= 1
        return _result(frame, function.node)


class Default:
    """A parameter's default, not yet evaluated."""

    def __init__(self, node: ast.expr) -> None:
        self.node = node


def bind(parameters: ast.arguments, call: Call) -> dict[str, Any] | None:
    """The names of a function's parameters and what a call gives them; None where it does not fit."""
    bound: dict[str, Any] = {}
    usual = [*parameters.posonlyargs, *parameters.args]
    defaults: list[ast.expr | None] = [None] * (len(usual) - len(parameters.defaults)) + [*parameters.defaults]
    given = dict(call.keywords)
    for index, one in enumerate(usual):
        if index < len(call.arguments):
            bound[one.arg] = call.arguments[index]
        elif one.arg in given:
            bound[one.arg] = given.pop(one.arg)
        elif (default := defaults[index]) is not None:
            bound[one.arg] = Default(default)
        elif call.whole:
            return None
        else:
            bound[one.arg] = Unreadable(one.arg)
    for one, default in zip(parameters.kwonlyargs, parameters.kw_defaults, strict=True):
        if one.arg in given:
            bound[one.arg] = given.pop(one.arg)
        else:
            bound[one.arg] = Default(default) if default is not None else Unreadable(one.arg)
    if parameters.vararg:
        bound[parameters.vararg.arg] = tuple(call.arguments[len(usual) :])
    if parameters.kwarg:
        bound[parameters.kwarg.arg] = Table(given)
    return bound


def _result(frame: Frame, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Any:
    if any(isinstance(one, ast.Yield | ast.YieldFrom) for one in ast.walk(node)):
        return UNKNOWN
    results = frame.results
    if not results:
        return None
    apps = [one for one in results if isinstance(one, App)]
    if apps and all(one is apps[0] for one in apps):
        return apps[0]
    if not frame.certain:
        results = [*results, None]
    if all(_same(one, results[0]) for one in results):
        return results[0]
    return UNKNOWN


def _same(one: Any, other: Any) -> bool:
    if one is other:
        return True
    return readable(one) and readable(other) and type(one) is type(other) and bool(one == other)


def _member(value: Any, name: str) -> Any:
    if isinstance(value, Opaque) and value.kind.rpartition(".")[2] == "auto":
        return name.lower()
    return value[0] if isinstance(value, tuple) and value else value


def _task_name(function: Function) -> Any:
    return Unreadable(getattr(function.node, "name", "lambda"))


def _text(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"


def place_text(place: Place, root: Path) -> str:
    """`app/celery.py:12`."""
    file, line = place
    shown = file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)
    return f"{shown}:{line}"
