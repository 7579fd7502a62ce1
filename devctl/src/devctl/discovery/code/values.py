"""What an expression is, as far as the code itself says it."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from devctl.discovery.model import Setting, Unreadable

Place = tuple[Path, int]


class Table(dict[Any, Any]):
    """A dict, and where each key stands."""

    def __init__(self, values: Any = (), places: dict[Any, Place] | None = None) -> None:
        super().__init__(values)
        self.places: dict[Any, Place] = dict(places or {})


@dataclass(eq=False)
class Scope:
    """Names, and where each was set last."""

    names: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    doubt: str = ""
    """What may have set more of them: a star import of what is not here."""


@dataclass(eq=False)
class Module:
    """One file, executed as far as it can be read."""

    name: str
    file: Path
    tree: ast.Module
    scope: Scope = field(default_factory=Scope)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All of its tree, walked once."""
        return [*ast.walk(self.tree)]

    @property
    def package(self) -> str:
        """What a relative import begins with."""
        return self.name if self.file.name == "__init__.py" else self.name.rpartition(".")[0]


@dataclass(frozen=True)
class External:
    """Something of a library, by its full name: `os.environ`, `celery.Celery`."""

    name: str


@dataclass(eq=False)
class Opaque:
    """An object that a library made: nobody knows it, but what was put into it can be found again."""

    text: str
    kind: str = ""
    """The full name of what made it."""
    arguments: tuple[Any, ...] = ()
    keywords: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Function:
    """A function of the repository."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    module: Module
    outer: tuple[Scope, ...] = ()
    owner: Class | None = None
    kind: str = ""
    """property, staticmethod, classmethod, or "opaque" where a decorator of a library decides."""


@dataclass(eq=False)
class Class:
    """A class of the repository."""

    node: ast.ClassDef
    module: Module
    bases: tuple[Any, ...]
    scope: Scope = field(default_factory=Scope)

    @property
    def name(self) -> str:
        """As it is written."""
        return self.node.name

    def line(self) -> list[Any]:
        """Itself and its bases, as attributes are looked up; libraries' classes among them."""
        found: list[Any] = [self]
        for base in self.bases:
            found += base.line() if isinstance(base, Class) else [base]
        return found

    def is_a(self, *names: str) -> bool:
        """Whether a class of a library by one of these names, the last part of them, is among its bases."""
        return any(isinstance(one, External) and one.name.rpartition(".")[2] in names for one in self.line())


@dataclass(eq=False)
class Instance:
    """An object of such a class."""

    cls: Class
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Bound:
    """A method, or a function with some of its arguments given."""

    function: Any
    arguments: tuple[Any, ...] = ()
    keywords: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Member:
    """A member of an enum."""

    name: str
    value: Any


@dataclass(eq=False)
class App:
    """A Celery app while it is made and configured."""

    module: str
    file: Path
    line: int
    main: Any = ""
    variable: str = ""
    settings: dict[str, Setting] = field(default_factory=dict)
    source: dict[str, Setting] = field(default_factory=dict)
    """Of `config_from_object`: under what is set on `conf`."""
    unreadable: list[str] = field(default_factory=list)
    include: list[Any] = field(default_factory=list)
    discovers: list[tuple[Any, Any]] = field(default_factory=list)
    """`autodiscover_tasks(packages, related_name)`; packages None: those that Django has installed."""
    registered: list[Any] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)

    def all_settings(self) -> dict[str, Setting]:
        """The settings that are in force."""
        return {**self.source, **self.settings}


@dataclass(frozen=True)
class Attribute:
    """Something of an app: `task`, `conf`, `Task`."""

    app: App
    name: str


@dataclass(frozen=True)
class QueueValue:
    """`kombu.Queue(…)`, as far as a router needs it."""

    name: Any
    exchange: Any = None
    routing_key: Any = None
    kind: Any = "direct"
    """The type of its exchange."""


def readable(value: Any) -> bool:
    """Whether it is all known, its parts included."""
    if isinstance(value, Unreadable | Opaque | External | Function | Class | Instance | Bound | Attribute | Module):
        return False
    if isinstance(value, dict):
        return all(readable(key) and readable(one) for key, one in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return all(readable(one) for one in value)
    return True


def plain(value: Any) -> Any:
    """The value as a reader outside of this package can use it: literals, and `Unreadable` for the rest."""
    if isinstance(value, Member):
        return plain(value.value)
    if isinstance(value, dict):
        return {plain(key) if not isinstance(key, dict | list) else str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, tuple):
        return tuple(plain(one) for one in value)
    if isinstance(value, Opaque):
        return Unreadable(value.text)
    if isinstance(value, External):
        return Unreadable(value.name)
    if isinstance(value, QueueValue):
        return plain(value.name)
    if isinstance(value, Function | Class):
        return Unreadable(getattr(value.node, "name", "lambda"))
    if isinstance(value, Instance | Bound | Attribute | App | Module):
        return Unreadable(type(value).__name__.lower())
    return value
