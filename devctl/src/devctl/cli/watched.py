"""A start under a live view; used by the commands that wait for services."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext

from devctl.errors import Interrupted
from devctl.stack.hearing import Ask
from devctl.stack.http import addresses_of, with_docs
from devctl.stack.report import Emit, StartReport, failure, ignore
from devctl.workbench import Workbench


def watched(
    workbench: Workbench, services: Sequence[str], work: Callable[[Emit], StartReport], *, as_json: bool
) -> StartReport:
    """Do the work and show it; return its report, or raise the error for what failed in it."""
    from devctl.ui.progress import Progress
    from devctl.ui.services import show_start

    stack = workbench.settings.stack
    try:
        with nullcontext(ignore) if as_json else Progress(services) as emit:
            report = work(emit)
    except KeyboardInterrupt:
        raise Interrupted(
            "interrupted: what was started before keeps running",
            hint=f"devctl down{workbench.settings.option}     stops and removes it",
        ) from None
    if problem := failure(report, stack):
        if not as_json:
            show_start(report, {}, sys.stderr)
        raise problem
    return report


def answering(workbench: Workbench) -> Ask:
    """How workers are asked whether they are there; the broker's library is loaded for that alone."""
    return lambda: [consumer.node for consumer in workbench.broker.consumers(timeout=0.5)]


def addresses(workbench: Workbench, report: StartReport) -> Mapping[str, list[str]]:
    """Service -> where it answers on this machine, its API documentation where it has one."""
    return {
        one.service: [
            with_docs(address)
            for address in addresses_of(
                workbench.stack.services[one.service], [port for replica in one.replicas for port in replica.ports]
            )
        ]
        for one in report.services
    }
