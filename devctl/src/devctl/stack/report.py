"""How a start goes and went: its events, its report, and a failure in words.

A failure says which service, what happened, the service's own last words, and what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from devctl.errors import DevctlError, ServiceCrashed, WaitTimeout
from devctl.stack.port import BuildProgress, Replica
from devctl.stack.readiness import Phase


@dataclass(frozen=True)
class Building:
    """Images are being built or pulled."""

    services: tuple[str, ...]


@dataclass(frozen=True)
class Built:
    """And that is done."""

    services: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Step:
    """A service is in another phase, or says something new. `seconds` counts from the first start."""

    service: str
    phase: Phase
    seconds: float
    detail: str = ""


Event = Building | BuildProgress | Built | Step
Emit = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Hear an event and say nothing."""


@dataclass(frozen=True)
class LeftOut:
    """A service that cannot run there, and so those that need it."""

    service: str
    why: DevctlError
    needed_by: tuple[str, ...]


@dataclass(frozen=True)
class ServiceStart:
    """How the start of one service went."""

    service: str
    phase: Phase = "waiting"
    detail: str = ""
    seconds: float = 0.0
    """From the first start of all to ready (or to the end of the waiting)."""
    waited: Mapping[str, float] = field(default_factory=dict)
    """What it depends on -> seconds until that was there."""
    own_seconds: float = 0.0
    """From its own start to ready."""
    was_running: bool = False
    """It ran before, and still does: nothing was done."""
    replicas: tuple[Replica, ...] = ()
    health_output: str = ""
    log: tuple[str, ...] = ()
    """The last lines of its log, where the start failed."""
    logfile: str = ""
    """The file that it writes its log to and not to its output, as it is called where it runs."""
    written: tuple[str, ...] = ()
    """The last lines of that."""
    not_installed: str = ""
    """A package of the checkout that its crash says is not there."""


@dataclass(frozen=True)
class StartReport:
    """How a start went, in start order."""

    runtime: str
    services: tuple[ServiceStart, ...]
    seconds: float
    built: tuple[str, ...] = ()
    build_seconds: float = 0.0

    @property
    def failure(self) -> ServiceStart | None:
        """The service to look at: one that crashed, else the first that was not ready in time."""
        lost = [s for s in self.services if s.phase in ("crashed", "timed out")]
        return min(lost, key=lambda s: s.phase != "crashed", default=None)


def failure(report: StartReport, stack: str = "") -> DevctlError | None:
    """Make the error of a report, None where all went well; `stack` is the name of an isolated stack."""
    failed = report.failure
    if failed is None:
        return None
    option = f" --stack {stack}" if stack else ""
    more = f"all of its log: devctl logs {failed.service}{option}"
    if failed.phase == "crashed":
        fix = "fix what its log says"
        if failed.not_installed and report.runtime == "local":
            fix = f"{failed.not_installed} is not installed in .venv: make setup"
        return ServiceCrashed(
            f"{failed.service} crashed after {failed.own_seconds:.1f}s: {failed.detail}",
            details=(*_said(failed), *([more] if failed.log else []), *_others(report, failed)),
            hint=f"{fix}, then: devctl up {failed.service}{option}",
        )
    return WaitTimeout(
        f"{failed.service} is {failed.detail}",
        details=(
            *_said(failed),
            *([more] if failed.log else []),
            *_others(report, failed),
        ),
        hint=f"fix what its log says, then: devctl up {failed.service}{option}\n"
        f"or, where it only needs longer: devctl up {failed.service}{option} --timeout {2 * report.seconds:.0f}",
    )


def _others(report: StartReport, failed: ServiceStart) -> list[str]:
    """What became of those that are not ready either."""
    said: Mapping[Phase, str] = {
        "crashed": "crashed, too",
        "timed out": "not ready, either",
        "starting": "was not ready yet when that happened",
        "waiting": "not started, as it waits",
    }
    found = {
        phase: [one.service for one in report.services if one.phase == phase and one is not failed] for phase in said
    }
    return [f"{said[phase]}: {', '.join(names)}" for phase, names in found.items() if names]


def _said(failed: ServiceStart) -> tuple[str, ...]:
    """Its last log lines and what its health check said."""
    log = [f"│ {line}" for line in failed.log] or [f"{failed.service} wrote nothing into its log"]
    if failed.logfile:
        end = [f"│ {line}" for line in failed.written]
        log += [f"it logs to {failed.logfile}, and that ends so:", *end] if end else [f"it logs to {failed.logfile}"]
    check = failed.health_output.strip().splitlines()
    return (*log, *([f"its health check says: {check[0]}", *(f"  {line}" for line in check[1:6])] if check else []))
