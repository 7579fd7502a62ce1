"""What a check finds, and what the checks look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from devctl.broker.port import Broker
    from devctl.contracts.catalog import Catalog
    from devctl.discovery.model import Found
    from devctl.settings import Settings
    from devctl.stack.model import Stack
    from devctl.stack.port import Runtime

Status = Literal["ok", "warning", "problem", "skipped"]
"""A warning works, yet will surprise; a problem does not work, or loses tasks; skipped: nothing to look at."""


@dataclass(frozen=True)
class Check:
    """One finding: what it is about, how it is, in words, and what to do about it."""

    name: str
    status: Status
    message: str
    fix: str = ""
    place: str = ""
    """The file and line that it is about, where there is one."""
    subject: str = ""
    """What it belongs to: one of SUBJECTS in checks.py."""


class Subject(Protocol):
    """What is examined: the workbench has all of it. Each may raise DevctlError."""

    settings: Settings

    @property
    def stack(self) -> Stack: ...
    @property
    def found(self) -> Found: ...
    @property
    def runtime_choice(self) -> tuple[str, str]: ...
    @property
    def runtime(self) -> Runtime: ...
    @property
    def broker(self) -> Broker: ...
    @property
    def catalog(self) -> Catalog: ...
