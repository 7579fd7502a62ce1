"""What runs: is it well, is there somebody for each contract, and does nobody take what he cannot do."""

from __future__ import annotations

from collections.abc import Iterator

from devctl.doctor.broker import NOT_STARTED
from devctl.doctor.check import Check
from devctl.doctor.facts import Facts
from devctl.errors import DevctlError
from devctl.stack.port import Replica


def services(facts: Facts) -> Iterator[Check]:
    """Every service that was started runs and is healthy."""
    replicas = facts.all_replicas
    fine = True
    for one in replicas:
        done = one.state == "exited" and one.exit_code == 0
        if done and one.service in facts.stack.services and facts.stack.may_end(one.service):
            continue
        if why := _ill(one):
            fine = False
            yield Check("services", "problem", f"{one.name} {why}", f"devctl logs {one.service} --tail 20")
    if replicas and fine:
        names = dict.fromkeys(one.service for one in replicas)
        starting = [one.name for one in replicas if one.health == "starting"]
        well = f"still starting: {', '.join(starting)}" if starting else "healthy"
        yield Check("services", "ok", f"{', '.join(names)}: {well}")


def contracts(facts: Facts) -> Iterator[Check]:
    """Every contract is served; a task without a contract is nobody's fault."""
    if not facts.stack.contracts:
        return
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
                f"{blind[0]} consumes '{contract.queue}' and does not know {contract.name}: "
                "a dead letter, or lost if it is a stock worker",
                f"old code? devctl up --build {service}, devctl restart {service}",
            )
        elif not takers:
            fine = False
            yield Check(
                "contracts",
                "warning",
                f"no worker runs {contract.name}: it waits in '{contract.queue}'",
                "devctl up     starts every service",
            )
    if fine:
        yield Check("contracts", "ok", f"{len(known)} contracts, each has a worker; {len(consumers)} workers answer")


def _ill(replica: Replica) -> str:
    """What is wrong with a replica; empty where nothing is."""
    code = "" if replica.exit_code is None else f" (exit {replica.exit_code})"
    if replica.state == "restarting":
        return f"ends again and again{code}, {replica.restarts} restarts so far"
    if replica.state == "exited":
        return f"has ended{code}"
    if replica.state == "paused":
        return "is paused: docker compose unpause"
    if replica.health == "unhealthy":
        return f"is unhealthy: {' '.join(replica.health_output.split()) or 'its health check fails'}"
    return ""
