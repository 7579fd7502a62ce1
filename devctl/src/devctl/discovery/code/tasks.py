"""The tasks of a repository: decorated functions, calls of a decorator, registered classes."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devctl.discovery.code import shapes
from devctl.discovery.code.interpreter import Frame, Interpreter
from devctl.discovery.code.operators import UNKNOWN
from devctl.discovery.code.session import class_attribute
from devctl.discovery.code.values import (
    App,
    Attribute,
    Bound,
    Class,
    External,
    Function,
    Instance,
    Member,
    Module,
    Opaque,
    Scope,
    plain,
)
from devctl.discovery.model import Parameter

_MENTION = re.compile(
    r"\bCelery\s*\(|shared_task|\.\s*task\b|register_task|tasks\.register|\btask\b.*\bimport\b|\bimport\b.*\btask\b"
)
_SHARED = re.compile(
    r"celery(\.app|\.current_app)?\.(shared_task|task)|celery\.(task|decorators)(\.base)?\.(task|periodic_task)"
)
_OTHERS = re.compile(
    r"huey|dramatiq|taskiq|\brq\b|arq|\bdag\b|flow|locust|invoke|prefect|airflow|scheduler|procrastinate"
)
_ATTRIBUTES = (
    "queue", "exchange", "routing_key", "ignore_result", "acks_late", "autoretry_for", "max_retries", "rate_limit",
    "time_limit", "soft_time_limit", "reject_on_worker_lost", "track_started",
)  # fmt: skip
_TESTING = re.compile(r"\bimport (pytest|unittest)\b|\bfrom (pytest|unittest|django\.test)\b|TestCase")
_TEST_FOLDERS = {"tests", "test", "testing"}
_ITSELF = {"self", "task", "_self", "_task", "celery_task"}
_UNCHANGED = {"staticmethod", "classmethod", "atomic", "transaction.atomic", "wraps", "override", "typing.override"}
"""Decorators below the task's own that take what the function takes."""


@dataclass
class Task:
    """One task before its queue is known."""

    name: Any
    module: Module
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
    function: str
    app: App | None
    """None: a shared one, of whichever app."""
    options: dict[str, Any] = field(default_factory=dict)
    whole: bool = True
    """Whether all options are known by name."""
    run: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | None = None
    run_module: Module | None = None
    drop_first: bool = False
    decorators: tuple[str, ...] = ()
    """Those below the task's own: they may take other arguments than the function."""


@dataclass(frozen=True)
class _Maker:
    """What makes a task of a function: `shared_task`, `app.task`, and the options given so far."""

    app: App | None
    options: Mapping[str, Any] = field(default_factory=dict)
    whole: bool = True
    own: bool = False
    """A decorator of the repository, around Celery's: it may hand over the task itself, or not."""


class Finder:
    """Goes through all files that may have tasks."""

    def __init__(self, interpreter: Interpreter) -> None:
        self._interpreter = interpreter
        self._modules = interpreter.modules
        self._wrappers: set[str] | None = None

    def candidates(self) -> list[Path]:
        """The files that mention tasks; those of tests only where they are imported."""
        loaded = {one.file for one in self._interpreter.loaded.values() if one}
        found = []
        for file in self._modules.files:
            text = self._interpreter.text(file) or ""
            if file not in loaded and _is_test(file.relative_to(self._modules.root), text):
                continue
            if ("task" in text or "Celery" in text) and _MENTION.search(text):
                found.append(file)
        more = self._wrapper_names(found)
        if more:
            pattern = re.compile(rf"@(?:\w+\.)*(?:{'|'.join(map(re.escape, more))})\b")
            for file in self._modules.files:
                text = self._interpreter.text(file) or ""
                seen = file in found or _is_test(file.relative_to(self._modules.root), text)
                if not seen and pattern.search(text):
                    found.append(file)
        return found

    def _wrapper_names(self, files: list[Path]) -> list[str]:
        """Functions of the repository that make tasks: `def my_task(**kw): return shared_task(**kw)`."""
        names = []
        for file in files:
            text = self._interpreter.text(file) or ""
            if re.search(r"return\s+(?:\w+\.)*(?:shared_)?task\(|partial\(\s*(?:\w+\.)*(?:shared_)?task\b", text):
                names += re.findall(r"^def (\w+)\(", text, re.MULTILINE)
            if re.search(r"=\s*(?:\w+\.)*(?:shared_)?task\(", text):
                names += re.findall(r"^class (\w+)", text, re.MULTILINE)
                names += re.findall(r"^(\w+)\s*=\s*(?:functools\.)?partial\(", text, re.MULTILINE)
        return sorted({name for name in names if len(name) > 2})

    def load(self, file: Path) -> Module | None:
        """The module of a file, by the name under which it was loaded first."""
        for module in self._interpreter.loaded.values():
            if module is not None and module.file == file:
                return module
        return self._interpreter.module(self._modules.name(file))

    def tasks(self, module: Module) -> Iterator[Task]:
        """All tasks of one module, in their order."""
        found = [*self._decorated(module), *self._called(module), *self._registered(module)]
        yield from sorted(found, key=lambda one: one.node.lineno)

    # ---- @app.task

    def _decorated(self, module: Module) -> Iterator[Task]:
        for node, frame in _functions(module):
            for index, decorator in enumerate(node.decorator_list):
                maker = self._maker(decorator, frame, module)
                if maker is None:
                    continue
                below = tuple(ast.unparse(one) for one in node.decorator_list[index + 1 :])
                task = self._task(maker, node, module, node.name)
                task.decorators = tuple(one for one in below if one.partition("(")[0] not in _UNCHANGED)
                yield task
                break

    def _maker(self, node: ast.expr, frame: Frame, module: Module, depth: int = 0) -> _Maker | None:
        called = node.func if isinstance(node, ast.Call) else node
        text = ast.unparse(called)
        value = self._interpreter.value(called, frame)
        maker = self._known(value, text, module, depth)
        if maker is None or not isinstance(node, ast.Call):
            return maker
        options, whole = dict(maker.options), maker.whole
        for keyword in node.keywords:
            given = self._interpreter.value(keyword.value, frame)
            if keyword.arg is not None:
                options[keyword.arg] = given
            elif isinstance(given, dict):
                options.update({name: one for name, one in given.items() if isinstance(name, str)})
            else:
                whole = False
        return _Maker(maker.app, options, whole, maker.own)

    def _known(self, value: Any, text: str, module: Module, depth: int) -> _Maker | None:
        if isinstance(value, Attribute) and value.name == "task":
            return _Maker(value.app)
        if isinstance(value, External) and _SHARED.fullmatch(value.name):
            return _Maker(None)
        if isinstance(value, Bound) and isinstance(value.function, External | Attribute | Function):
            inner = self._known(value.function, text, module, depth)
            return inner and _Maker(inner.app, {**inner.options, **dict(value.keywords)}, inner.whole, inner.own)
        if isinstance(value, Class):  # a decorator that is a class: __call__ gets the function
            value = class_attribute(value, "__call__")
        if isinstance(value, Function) and depth < 2:
            return self._wrapper(value, depth)
        if isinstance(value, External | Function | Class | App | Module):
            return None
        if isinstance(value, Bound) and isinstance(value.function, Opaque):
            return _wrapped(value.function, text)
        # Nobody can tell what it is: its name must.
        holder, _, last = text.rpartition(".")
        if last == "task" and holder and not _OTHERS.search(holder):
            mentions = "elery" in holder or "elery" in (self._interpreter.text(module.file) or "")
            return _Maker(None, whole=True) if mentions else None
        return None

    def _wrapper(self, function: Function, depth: int) -> _Maker | None:
        if isinstance(function.node, ast.Lambda):
            return None
        frame = Frame(function.module, *function.outer, Scope())
        for node in ast.walk(function.node):
            if isinstance(node, ast.Call):
                last = ast.unparse(node.func).rpartition(".")[2]
                if last in {"task", "shared_task"} and (found := self._maker(node, frame, function.module, depth + 1)):
                    # What it hands through is what it is called with.
                    return _Maker(found.app, found.options, True, own=True)
        return None

    # ---- app.task(…)(f)

    def _called(self, module: Module) -> Iterator[Task]:
        frame = Frame(module, module.scope)
        for node in _calls(module):
            if not node.args or isinstance(node.args[0], ast.Starred):
                continue
            if "task" not in _last(node.func):
                continue
            maker = self._maker(node.func, frame, module)
            if maker is None:
                continue
            given = self._interpreter.value(node.args[0], frame)
            if not isinstance(given, Function):  # f = app.task(f): the name is the task's by now
                given = _defined(module, node.args[0])
            if isinstance(given, Function) and not isinstance(given.node, ast.Lambda):
                if not isinstance(node.func, ast.Call):  # app.task(f, name="x")
                    more = self._maker(node, frame, module)
                    maker = more or maker
                yield self._task(maker, given.node, given.module, given.node.name)

    # ---- classes

    def _registered(self, module: Module) -> Iterator[Task]:
        frame = Frame(module, module.scope)
        for node in _calls(module):
            if _last(node.func) not in {"register_task", "register"} or not node.args:
                continue
            if not ast.unparse(node.func).endswith(("register_task", "tasks.register")):
                continue
            given = self._interpreter.value(node.args[0], frame)
            cls = given.cls if isinstance(given, Instance) else given
            if not isinstance(cls, Class):
                continue
            holder = self._interpreter.value(node.func, frame)
            app = holder.app if isinstance(holder, Attribute) else None
            name = class_attribute(cls, "name")
            run = class_attribute(cls, "run")
            task = Task(
                f"{cls.module.name}.{cls.name}" if name is UNKNOWN or name is None else name,
                cls.module,
                cls.node,
                cls.name,
                app,
                _inherited(cls),
                run=run.node if isinstance(run, Function) else None,
                run_module=run.module if isinstance(run, Function) else None,
                drop_first=True,
            )
            yield task

    def _task(self, maker: _Maker, node: ast.FunctionDef | ast.AsyncFunctionDef, module: Module, function: str) -> Task:
        options = dict(maker.options)
        base = options.get("base")
        if base is None and maker.app is not None:
            base = maker.app.attributes.get("Task")
        if isinstance(base, Class):
            options = {**_inherited(base), **options}
        name = options.get("name")
        if isinstance(name, Member):
            name = name.value
        if not name:
            name = f"{module.name}.{function}"
        return Task(
            name,
            module,
            node,
            function,
            maker.app,
            options,
            maker.whole,
            run=node,
            run_module=module,
            drop_first=_is_the_task(node) if maker.own else options.get("bind") is True,
        )

    def parameters(self, task: Task) -> tuple[Parameter, ...] | None:
        """What it takes; None where a class decides when it runs."""
        if task.run is None or task.run_module is None:
            return None
        arguments = task.run.args
        frame = Frame(task.run_module, task.run_module.scope)
        found: list[Parameter] = []
        usual = [*arguments.posonlyargs, *arguments.args]
        defaults: list[ast.expr | None] = [None] * (len(usual) - len(arguments.defaults)) + [*arguments.defaults]
        for index, (one, default) in enumerate(zip(usual, defaults, strict=True)):
            if index == 0 and task.drop_first:
                continue
            kind = "positional only" if index < len(arguments.posonlyargs) else "usual"
            found.append(self._parameter(one, kind, default, frame))
        if arguments.vararg:
            found.append(self._parameter(arguments.vararg, "*", None, frame))
        for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            found.append(self._parameter(one, "keyword only", default, frame))
        if arguments.kwarg:
            found.append(self._parameter(arguments.kwarg, "**", None, frame))
        return tuple(found)

    def _parameter(self, one: ast.arg, kind: Any, default: ast.expr | None, frame: Frame) -> Parameter:
        return Parameter(
            one.arg,
            kind,
            ast.unparse(one.annotation) if one.annotation else "",
            ast.unparse(default) if default is not None else None,
            shapes.schema(one.annotation, self._interpreter, frame),
        )


def _is_the_task(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether the first parameter is called as the task itself is."""
    first = [*node.args.posonlyargs, *node.args.args][:1]
    return bool(first) and first[0].arg in _ITSELF


def _defined(module: Module, name: ast.expr) -> Function | None:
    """The function that stands in the module by this name."""
    for node in module.tree.body:
        if isinstance(node, ast.FunctionDef) and isinstance(name, ast.Name) and node.name == name.id:
            return Function(node, module, (module.scope,))
    return None


def _wrapped(holder: Opaque, text: str) -> _Maker | None:
    """A library made the object: of an app of Celery that it was given, or it says in its name that it is one."""
    if not text.endswith(".task"):
        return None
    given = [one for one in (*holder.arguments, *holder.keywords.values()) if isinstance(one, App)]
    if given:
        return _Maker(given[0])
    return _Maker(None) if "elery" in holder.kind or "elery" in text else None


def _functions(module: Module) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, Frame]]:
    """Every function of a module at whatever depth, and where its decorators are evaluated."""
    frame = Frame(module, module.scope)
    for node in module.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.decorator_list:
            yield node, frame


def _calls(module: Module) -> Iterator[ast.Call]:
    """Calls, without those that decorate."""
    decorating = {
        id(inner)
        for node in module.nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        for decorator in node.decorator_list
        for inner in ast.walk(decorator)
    }
    for node in module.nodes:
        if isinstance(node, ast.Call) and id(node) not in decorating:
            yield node


def _last(node: ast.expr) -> str:
    """`task` of `app.task` and of `app.task(…)`."""
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _inherited(cls: Class) -> dict[str, Any]:
    found = {name: class_attribute(cls, name) for name in _ATTRIBUTES}
    return {name: value for name, value in found.items() if value is not UNKNOWN}


def _is_test(path: Path, text: str) -> bool:
    if {*path.parts[:-1]} & _TEST_FOLDERS or path.name in {"conftest.py", "tests.py"}:
        return True
    return path.name.startswith("test_") and _TESTING.search(text) is not None


def shown_options(options: Mapping[str, Any]) -> dict[str, object]:
    """The options as others can read them, without those that have a place of their own."""
    own = {"name", "queue", "bind", "base", "pydantic", "ignore_result"}
    return {name: plain(value) for name, value in options.items() if name not in own}
