"""What runs: is it well, is there somebody for each contract, and does nobody take what he cannot do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from devctl.broker.nodes import service_of
from devctl.broker.port import Consumer
from devctl.broker.unknown import ignorant
from devctl.doctor.broker import NOT_STARTED
from devctl.doctor.check import Check
from devctl.doctor.facts import Facts
from devctl.errors import DevctlError
from devctl.stack.port import WELL, Replica


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
        elif one.health == "degraded":
            fine = False
            said = " ".join(one.health_output.split())
            yield Check("services", "warning", f"{one.name} is degraded: {said}", "devctl queues")
    if replicas and fine:
        names = dict.fromkeys(one.service for one in replicas)
        starting = [one.name for one in replicas if one.health == "starting"]
        kind = "healthy" if all(one.health in WELL for one in replicas) else "running"
        well = f"still starting: {', '.join(starting)}" if starting else kind
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
        blind = [one.node for one in ignorant(takers, contract.queue, contract.name)]
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


def tasks(facts: Facts) -> Iterator[Check]:
    """Every task of the code has a worker that knows it, and no message lies where nobody looks."""
    if not facts.readable or facts.stack.contracts or not facts.started:
        return
    running = [one.name for one in facts.having("worker") if facts.runs(one.name)]
    if not running:
        return
    try:
        consumers = facts.consumers
        waiting = [one for one in facts.depths([]) if one.waiting]
    except DevctlError:  # a check of its own
        return
    if not consumers:
        hint = f"devctl logs {running[0]} --tail 20"
        yield Check("workers", "warning", f"{', '.join(running)} runs, and no worker answers", hint)
        return
    consumed = {queue for one in consumers for queue in one.queues}
    fine = True
    for depth in waiting:
        if depth.name not in consumed:
            fine = False
            yield Check(
                "workers",
                "problem",
                f"{depth.waiting:,} messages wait in '{depth.name}', and no worker consumes it",
                f"devctl up WORKER, or -Q …,{depth.name} in a worker's command",
            )
    for node, queue, names in _unknown_to(facts, consumers):
        fine = False
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield Check(
            "workers",
            "problem",
            f"{node} consumes '{queue}' and does not know {names[0]}{more}: it discards what it does not know",
            "import it where the app is, or start the worker anew with today's code: devctl restart",
        )
    if fine:
        answer = "1 worker answers" if len(consumers) == 1 else f"{len(consumers)} workers answer"
        yield Check("workers", "ok", f"{answer}, for {', '.join(sorted(consumed))}")


def _unknown_to(facts: Facts, consumers: Sequence[Consumer]) -> Iterator[tuple[str, str, list[str]]]:
    """Node, queue and the tasks that are sent there and that the node has not registered."""
    for node in consumers:
        service = service_of(node.node, facts.replicas, facts.stack.services)
        found = facts.found.services.get(service)
        if not node.tasks or found is None or found.code is None:
            continue
        by_queue: dict[str, list[str]] = {}
        for task in facts.code(found).tasks:
            queue = task.queue.value
            served = not facts.code(found).served or task.name in facts.code(found).served
            if served and queue in node.queues and task.name not in node.tasks:
                by_queue.setdefault(queue or "", []).append(task.name)
        for name, tasks_ in by_queue.items():
            yield node.node, name, tasks_


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
