"""What executing code needs between its parts: a call, and the reading that is going on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from devctl.discovery.code.modules import Modules
from devctl.discovery.code.operators import UNKNOWN
from devctl.discovery.code.values import App, Class, Module, Opaque, Place, Table


class Session(Protocol):
    """One reading of a repository in one environment."""

    modules: Modules
    environment: dict[str, str]
    incomplete: bool
    """Whether a variable that is not in it may be set all the same."""
    apps: list[App]

    def module(self, name: str) -> Module | None:
        """The module by its dotted name, executed; None where it is not of this repository."""

    def attribute(self, value: Any, name: str) -> Any:
        """An attribute of a value; UNKNOWN where nobody can tell."""

    def call(self, function: Any, call: Call) -> Any:
        """What a call returns; UNKNOWN where nobody can tell."""

    def current_app(self) -> App:
        """`celery.current_app`."""

    def django_settings(self) -> Module | None:
        """Django's settings; None where nothing says which module they are."""


@dataclass(frozen=True)
class Call:
    """One call: its text and place, and what it gives."""

    text: str
    place: Place
    module: Module
    doubt: bool
    """Whether nobody knows that it happens."""
    whole: bool
    """Whether all that it gives is known by position or name."""
    arguments: list[Any]
    keywords: Table

    def given(self, before: Iterable[Any], keywords: Mapping[str, Any]) -> Call:
        """The same with more arguments before its own."""
        return replace(
            self,
            arguments=[*before, *self.arguments],
            keywords=Table({**keywords, **self.keywords}, self.keywords.places),
        )

    def get(self, index: int, name: str, default: Any = None) -> Any:
        """One argument, by position or name."""
        if index < len(self.arguments):
            return self.arguments[index]
        return self.keywords.get(name, default)


def opaque(call: Call, kind: str) -> Opaque:
    """What nobody knows, with what it was made of."""
    return Opaque(call.text, kind, tuple(call.arguments), dict(call.keywords))


def class_attribute(cls: Class, name: str) -> Any:
    """What a class or one of its bases has by this name; UNKNOWN where none that is here has it."""
    for one in cls.line():
        if isinstance(one, Class) and name in one.scope.names:
            return one.scope.names[name]
    return UNKNOWN
