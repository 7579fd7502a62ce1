"""What Python code does with tasks, by its syntax tree: nothing is imported, nothing runs."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from devctl.doctor.celery.evidence import Kind, Mark

_MENTIONS = ("celery", ".delay(", ".apply_async(", "AsyncResult")
_SENDS = ("delay", "apply_async")
_ONE_ROW = {"get", "create", "first", "last", "latest", "earliest", "get_or_create", "update_or_create", "one", "save"}
_VERBS = {"get", "post", "put", "patch", "delete", "head", "options", "request"}
_UNIT_SECONDS = {"days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1, "weeks": 604_800}
_NOT_THEIRS = {
    "node_modules", "site-packages", "venv", "env", "migrations", "tests", "test", "testing", "docs", "build", "dist",
    "__pycache__",
}  # fmt: skip


def files(root: Path, most: int = 5_000) -> Iterator[Path]:
    """The Python files of a folder that may run in a service: no tests, no migrations, nothing installed."""
    count = 0
    for path in sorted(root.rglob("*.py")):
        inside = path.relative_to(root).parts
        if {*inside[:-1]} & _NOT_THEIRS or any(part.startswith(".") for part in inside):
            continue
        if path.name.startswith("test_") or path.name.endswith("_test.py") or path.name in ("conftest.py", "tests.py"):
            continue
        count += 1
        if count > most:
            return
        yield path


def read(root: Path, folders: Iterable[Path]) -> tuple[Mark, ...]:
    """What the code in these folders does; places are relative to `root`."""
    found: dict[tuple[str, int, str], Mark] = {}
    seen: set[Path] = set()
    for folder in folders:
        for path in files(folder):
            if path in seen:
                continue
            seen.add(path)
            name = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
            try:
                text = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            for mark in marks(text, name):
                found.setdefault((mark.file, mark.line, mark.kind), mark)
    return tuple(found.values())


def marks(text: str, file: str) -> list[Mark]:
    """What one file does; nothing where it is not Python."""
    if not any(word in text for word in _MENTIONS):
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # theirs, about their code
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return []
    reader = _Reader(file, tree)
    with suppress(RecursionError):  # a file that no person wrote
        reader.visit(tree)
    return reader.found


@dataclass(frozen=True)
class _Scope:
    """Where the reader is."""

    task: str = ""
    """The task whose body this is."""
    atomic: bool = False
    """In a transaction of Django."""
    model: bool = False
    """In a method of a model: `self` is a row."""
    objects: frozenset[str] = field(default_factory=frozenset)
    """Names that hold an object of an ORM."""
    pending: frozenset[str] = field(default_factory=frozenset)
    """Names that hold the promise of a result."""


class _Reader(ast.NodeVisitor):
    def __init__(self, file: str, tree: ast.Module) -> None:
        self.found: list[Mark] = []
        self._file = file
        self._scope = _Scope()
        self._imports = {
            alias.asname or alias.name: f"{node.module}.{alias.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
        }
        self._celery = any(
            isinstance(node, ast.Import | ast.ImportFrom) and "celery" in ast.unparse(node).lower()
            for node in ast.walk(tree)
        )
        self._constants = {
            target.id: node.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }

    def _mark(self, kind: Kind, node: ast.expr | ast.stmt, text: str = "", seconds: float = 0.0) -> None:
        self.found.append(Mark(kind, self._file, node.lineno, text, seconds))

    # Where we are

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        before = self._scope
        model = any(ast.unparse(base) in ("models.Model", "Model") for base in node.bases)
        self._scope = replace(_Scope(), model=model)
        self.generic_visit(node)
        self._scope = before

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        before = self._scope
        self._scope = replace(before, atomic=False)  # it runs when it is called: on_commit's way
        self.generic_visit(node)
        self._scope = before

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        before = self._scope
        task = ""
        for decorator in node.decorator_list:
            self.visit(decorator)
            if self._is_task(decorator):
                task = node.name
                self._check_task(node, decorator)
        atomic = any(_last(_callee(one)) == "atomic" for one in node.decorator_list)
        parameters = [one.arg for one in (*node.args.posonlyargs, *node.args.args)]
        row = frozenset({"self"}) if before.model and parameters[:1] == ["self"] else frozenset()
        signal = any(_last(_callee(one)) == "receiver" for one in node.decorator_list)
        if signal and "instance" in parameters and "post_save" in " ".join(map(ast.unparse, node.decorator_list)):
            row |= {"instance"}
        self._scope = _Scope(task=task or before.task, atomic=atomic, objects=row)
        for statement in node.body:
            self.visit(statement)
        self._scope = before

    def visit_With(self, node: ast.With) -> None:
        before = self._scope
        for item in node.items:
            self.visit(item.context_expr)
        if any(_last(_callee(item.context_expr)) == "atomic" for item in node.items):
            self._scope = replace(self._scope, atomic=True)
        for statement in node.body:
            self.visit(statement)
        self._scope = replace(self._scope, atomic=before.atomic)

    def visit_For(self, node: ast.For) -> None:
        if isinstance(node.target, ast.Name) and _is_queryset(node.iter):
            self._scope = replace(self._scope, objects=self._scope.objects | {node.target.id})
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target in node.targets:
            name = target.id if isinstance(target, ast.Name) else ""
            made = _last(_callee(node.value)) if isinstance(node.value, ast.Call) else ""
            if isinstance(target, ast.Tuple) and made in ("get_or_create", "update_or_create"):
                first = target.elts[0]
                name = first.id if isinstance(first, ast.Name) else ""
            if not name:
                continue
            objects, pending = self._scope.objects - {name}, self._scope.pending - {name}
            if _is_object(node.value):
                objects |= {name}
            if made in _SENDS:
                pending |= {name}
            self._scope = replace(self._scope, objects=objects, pending=pending)

    # What is done there

    def visit_Call(self, node: ast.Call) -> None:
        name = "" if isinstance(node.func, ast.Call) else _last(node.func)
        if isinstance(node.func, ast.Attribute):
            if name in _SENDS:
                self._sends(node, node.func)
            elif name == "get":
                self._joins(node, node.func)
            elif name == "retry" and self._scope.task:
                self._retries(node)
            if self._scope.task and _asks_without_timeout(node, node.func):
                self._mark("no timeout", node, f"requests.{name}")
        if name == "AsyncResult" and node.args:
            self._mark("by id", node)
        if name == "chord" and self._imports.get("chord", "").startswith("celery"):
            self._mark("chord", node)
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        value = node.value
        if isinstance(value, ast.Attribute) and value.attr in _SENDS and self._celery:
            self._mark("unsent", node, f"{_last(value.value)}.{value.attr}")
        canvas = _last(value.func) if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) else ""
        if canvas in ("chain", "chord", "group") and self._imports.get(canvas, "").startswith("celery"):
            self._mark("unsent", node, f"this {canvas}")
        self.generic_visit(node)

    def visit_Try(self, node: ast.Try) -> None:
        caught = [(one, ast.unparse(one.type) if one.type else "Exception") for one in node.handlers]
        everything = [one for one, kind in caught if kind in ("Exception", "BaseException")]
        raises = any(isinstance(inner, ast.Raise) for one in everything for inner in ast.walk(one))
        apart = any("Retry" in kind for _, kind in caught)
        if everything and not raises and not apart and self._scope.task:
            for inner in (part for statement in node.body for part in ast.walk(statement)):
                if isinstance(inner, ast.Call) and ast.unparse(inner.func) == "self.retry":
                    self._mark("swallowed retry", inner, self._scope.task)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        group = isinstance(node.op, ast.BitOr) and isinstance(node.left, ast.Call) and _last(node.left) == "group"
        if group and self._imports.get("group", "").startswith("celery"):
            self._mark("chord", node)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        sides = [node.left, *node.comparators]
        said = any(isinstance(one, ast.Constant) and one.value == "STARTED" for one in sides)
        asks = any(isinstance(one, ast.Attribute) and one.attr in ("state", "status") for one in sides)
        if said and asks and self._celery:
            self._mark("started", node)
        self.generic_visit(node)

    def _sends(self, node: ast.Call, method: ast.Attribute) -> None:
        task = _last(method.value) or "a task"
        what = f"{task}.{method.attr}"
        options = {one.arg: one.value for one in node.keywords if one.arg}
        values: list[ast.expr] = [*node.args, *options.values()] if method.attr == "delay" else []
        if method.attr == "apply_async":
            given = [*node.args[:2], *(options[key] for key in ("args", "kwargs") if key in options)]
            for one in given:
                if isinstance(one, ast.List | ast.Tuple):
                    values += one.elts
                elif isinstance(one, ast.Dict):
                    values += one.values
            self._waits(node, options, what)
            if "priority" in options:
                self._mark("priority", node, what)
        if not any(one.arg in (None, "queue", "routing_key", "exchange") for one in node.keywords):
            self._mark("sent", node, task)
        for value in values:
            if self._holds_object(value):
                self._mark("model", node, f"{ast.unparse(value)}, given to {what},")
        if self._scope.atomic:
            self._mark("before commit", node, what)

    def _waits(self, node: ast.Call, options: dict[str, ast.expr], what: str) -> None:
        seconds = self._seconds(options.get("countdown")) or self._ahead(options.get("eta"))
        if seconds:
            self._mark("wait", node, what, seconds)

    def _retries(self, node: ast.Call) -> None:
        options = {one.arg: one.value for one in node.keywords if one.arg}
        self._waits(node, options, f"a retry of {self._scope.task}")
        most = options.get("max_retries")
        if isinstance(most, ast.Constant) and most.value is None:
            self._mark("endless retry", node, self._scope.task)

    def _joins(self, node: ast.Call, method: ast.Attribute) -> None:
        value = method.value
        sent = isinstance(value, ast.Call) and _last(value.func) in _SENDS
        held = isinstance(value, ast.Name) and value.id in self._scope.pending
        if not (sent or held):
            return
        if any(one.arg == "disable_sync_subtasks" for one in node.keywords):
            return  # they know what they do
        self._mark("join in a task" if self._scope.task else "join", node, self._scope.task)

    def _holds_object(self, value: ast.expr) -> bool:
        if isinstance(value, ast.Name):
            return value.id in self._scope.objects
        return ast.unparse(value) in ("request.user", "self.request.user", "self.request") or _is_object(value)

    # Tasks

    def _is_task(self, decorator: ast.expr) -> bool:
        callee = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(callee, ast.Name):
            origin = self._imports.get(callee.id, "")
            return callee.id == "shared_task" or (origin.startswith("celery") and origin.endswith(".task"))
        return isinstance(callee, ast.Attribute) and callee.attr == "task" and self._celery

    def _check_task(self, node: ast.FunctionDef | ast.AsyncFunctionDef, decorator: ast.expr) -> None:
        options = {one.arg: one.value for one in decorator.keywords} if isinstance(decorator, ast.Call) else {}
        bind = options.get("bind")
        bound = isinstance(bind, ast.Constant) and bind.value is True
        arguments = node.args
        parameters = [one.arg for one in (*arguments.posonlyargs, *arguments.args)]
        if isinstance(node, ast.AsyncFunctionDef) and "base" not in options:
            self._mark("async", node, node.name)
        if None in options:  # **options: bind may be among them
            return
        if parameters[:1] == ["self"] and bind is None and "base" not in options:
            self._mark("unbound", node, node.name)
        if bound and not parameters and arguments.vararg is None:
            self._mark("no parameter", node, node.name)

    # Numbers

    def _seconds(self, value: ast.expr | None) -> float:
        """The value of an expression of numbers; 0 where it is another."""
        if isinstance(value, ast.Name):
            value = self._constants.get(value.id)
        if isinstance(value, ast.Constant) and isinstance(value.value, int | float):
            return float(value.value)
        if isinstance(value, ast.BinOp):
            left, right = self._seconds(value.left), self._seconds(value.right)
            if isinstance(value.op, ast.Mult):
                return left * right
            if isinstance(value.op, ast.Add) and left and right:
                return left + right
        return 0.0

    def _ahead(self, value: ast.expr | None) -> float:
        """Seconds from now of `now() + timedelta(…)`."""
        if not isinstance(value, ast.BinOp) or not isinstance(value.op, ast.Add):
            return 0.0
        for one in (value.left, value.right):
            if isinstance(one, ast.Call) and _last(one.func) == "timedelta" and not one.args:
                return sum(self._seconds(part.value) * _UNIT_SECONDS.get(part.arg or "", 0) for part in one.keywords)
        return 0.0


def _last(node: ast.expr) -> str:
    """`delay` of `images.resize.delay`, of a call the same of what is called."""
    if isinstance(node, ast.Call):
        node = node.func
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _callee(node: ast.expr) -> ast.expr:
    return node.func if isinstance(node, ast.Call) else node


def _asks_without_timeout(node: ast.Call, method: ast.Attribute) -> bool:
    """Whether it is a call of requests that may wait for ever."""
    if method.attr not in _VERBS or not isinstance(method.value, ast.Name) or method.value.id != "requests":
        return False
    return not any(one.arg in ("timeout", None) for one in node.keywords)


def _is_object(value: ast.expr) -> bool:
    """Whether an expression surely is one object of an ORM."""
    if not isinstance(value, ast.Call):
        return False
    name = _last(value.func)
    if name in ("get_object_or_404", "aget_object_or_404"):
        return True
    if not isinstance(value.func, ast.Attribute):
        return False
    if name == "get_object" and isinstance(value.func.value, ast.Name) and value.func.value.id == "self":
        return True
    if name == "save":
        return isinstance(value.func.value, ast.Name) and value.func.value.id in ("form", "serializer")
    return name in _ONE_ROW and ".objects." in f"{ast.unparse(value.func)}."


def _is_queryset(value: ast.expr) -> bool:
    """Whether an expression surely is a set of rows as objects."""
    text = ast.unparse(value)
    return (
        isinstance(value, ast.Call)
        and ".objects." in text
        and ".values" not in text
        and (_last(value.func) in ("all", "filter", "exclude", "order_by", "select_related", "iterator"))
    )
