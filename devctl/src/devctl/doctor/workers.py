"""Contracts against the workers that run: is there somebody for each, and does nobody take what he cannot do."""

from __future__ import annotations

from collections.abc import Iterator

from devctl.doctor.broker import NOT_STARTED
from devctl.doctor.check import Check
from devctl.doctor.facts import Facts
from devctl.errors import DevctlError


def contracts(facts: Facts) -> Iterator[Check]:
    """Every contract is served; a task without a contract is nobody's fault."""
    known = facts.contracts
    if not facts.started:
        yield Check("contracts", "skipped", f"{len(known)} contracts; workers {NOT_STARTED}", "devctl up")
        return
    try:
        consumers = facts.consumers
    except DevctlError:
        yield Check("contracts", "skipped", "the broker does not answer")
        return
    fine = True
    for contract in known:
        takers = [one for one in consumers if contract.queue in one.queues]
        blind = [one.node for one in takers if one.tasks and contract.name not in one.tasks]
        if blind:
            fine = False
            service = blind[0].partition("@")[0]
            yield Check(
                "contracts",
                "problem",
                f"{blind[0]} consumes '{contract.queue}' and does not know {contract.name}: it throws it away",
                f"old code? devctl up --build {service}, devctl restart {service}",
            )
        elif not takers:
            fine = False
            yield Check(
                "contracts",
                "warning",
                f"nobody serves {contract.name}: it waits in '{contract.queue}'",
                "devctl up     starts every service",
            )
    if fine:
        yield Check("contracts", "ok", f"{len(known)} contracts, each served; {len(consumers)} workers answer")
