"""The names of what is made: what was typed, and what follows from it."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from dataclasses import dataclass

from devctl.errors import UsageError

_QUEUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_PREFIX = "tasks."
_LONGEST = 36  # what is made of it fits into a line


@dataclass(frozen=True)
class TaskName:
    """A task: `send_mail`, which travels as `tasks.send_mail`."""

    short: str

    @classmethod
    def of(cls, typed: str) -> TaskName:
        """Take it with or without its prefix; UsageError where it cannot be the name of a variable."""
        short = typed.removeprefix(_PREFIX)
        if not re.fullmatch(r"[a-z][a-z0-9_]*", short) or keyword.iskeyword(short):
            raise UsageError(
                f"{typed!r} cannot be the name of a task: it becomes a variable of Python",
                hint="small letters, digits and _: devctl new task send_mail --queue mails",
            )
        if len(short) > _LONGEST:
            raise UsageError(f"{typed!r} is longer than {_LONGEST} characters", hint="a shorter name")
        return cls(short)

    @property
    def full(self) -> str:
        return f"{_PREFIX}{self.short}"

    @property
    def _camel(self) -> str:
        return "".join(part.capitalize() for part in self.short.split("_"))

    @property
    def payload(self) -> str:
        return f"{self._camel}Payload"

    @property
    def result(self) -> str:
        return f"{self._camel}Result"

    @property
    def handler(self) -> str:
        return f"handle_{self.short}"

    @property
    def variable(self) -> str:
        """What changes its retries, in the environment."""
        return f"RETRY_{self.full.upper().replace('.', '_')}"

    @property
    def words(self) -> str:
        return self.short.replace("_", " ")


def queue(typed: str) -> str:
    """Return the name of a queue; UsageError where it is none."""
    if not _QUEUE.fullmatch(typed):
        raise UsageError(f"{typed!r} cannot be the name of a queue", hint="letters, digits, _ . and -")
    return typed


def package(service: str, own: frozenset[str], others: frozenset[str]) -> str:
    """Return the package of a service of this name; UsageError where Python has one of that name already.

    `own`: the packages of this repository, which may be found; `others`: what its tests import beside them.
    """
    if not re.fullmatch(r"[a-z][a-z0-9-]*", service):
        raise UsageError(
            f"{service!r} cannot be the name of a service",
            hint="small letters, digits and -: devctl new service mails --http",
        )
    name = service.replace("-", "_")
    taken = name in sys.stdlib_module_names or name in others or (name not in own and _installed(name))
    if keyword.iskeyword(name) or taken:
        raise UsageError(f"Python has a module {name} already: imports would find the wrong one", hint="another name")
    return name


def path(typed: str) -> str:
    """Return the path of an endpoint; UsageError where it is none that a name can be made of."""
    if not re.fullmatch(r"(/[a-z0-9][a-z0-9_-]*)+", typed):
        raise UsageError(
            f"{typed!r} cannot be the path of an endpoint",
            hint="small letters, digits, - and _, without parameters: devctl new endpoint /api/mails …",
        )
    return typed


def _installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
