"""A failed start in words: which service, what happened, its own last words, what to do."""

from __future__ import annotations

from devctl.errors import DevctlError, ServiceCrashed, WaitTimeout
from devctl.stack.start import ServiceStart, StartReport


def failure(report: StartReport, stack: str = "") -> DevctlError | None:
    """Make the error of a report, None where all went well; `stack` is the name of an isolated stack."""
    failed = report.failure
    if failed is None:
        return None
    option = f" --stack {stack}" if stack else ""
    more = f"all of its log: devctl logs {failed.service}{option}"
    if failed.phase == "crashed":
        return ServiceCrashed(
            f"{failed.service} crashed after {failed.own_seconds:.1f}s: {failed.detail}",
            details=(*_said(failed), *([more] if failed.log else [])),
            hint=f"fix what its log says, then: devctl up {failed.service}{option}",
        )
    blocked = [s.service for s in report.services if s.phase == "waiting"]
    return WaitTimeout(
        f"{failed.service} is {failed.detail}",
        details=(
            *_said(failed),
            *([more] if failed.log else []),
            *([f"not started, as it waits: {', '.join(blocked)}"] if blocked else []),
        ),
        hint=f"fix what its log says, then: devctl up {failed.service}{option}\n"
        f"or, where it only needs longer: devctl up {failed.service}{option} --timeout {2 * report.seconds:.0f}",
    )


def _said(failed: ServiceStart) -> tuple[str, ...]:
    """Its last log lines and what its health check said."""
    log = [f"│ {line}" for line in failed.log] or [f"{failed.service} wrote nothing into its log"]
    check = failed.health_output.strip().splitlines()
    return (*log, *([f"its health check says: {check[0]}", *(f"  {line}" for line in check[1:6])] if check else []))
