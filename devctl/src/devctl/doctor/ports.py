"""The host ports of the stack: free, or held by the stack itself."""

from __future__ import annotations

from collections.abc import Iterator

from devctl.doctor.check import Check
from devctl.doctor.facts import Facts
from devctl.stack import movable
from devctl.stack import ports as machine
from devctl.stack.model import Port


def ports(facts: Facts) -> Iterator[Check]:
    """Every published port can be had."""
    ours = {shown.partition("->")[0].rpartition(":")[2] for one in _replicas(facts) for shown in one}
    free, own = [], []
    for service in facts.stack.services.values():
        for port in service.ports:
            if not port.published or port.protocol != "tcp":
                continue
            if str(port.published) in ours:
                own.append(str(port.published))
            elif machine.free(port.published, port.host_ip):
                free.append(str(port.published))
            else:
                yield _held(facts, service.name, port)
    parts = [f"{', '.join(free)} free"] if free else []
    parts += [f"{', '.join(own)} held by this stack"] if own else []
    if parts:
        yield Check("ports", "ok", "; ".join(parts))


def _held(facts: Facts, service: str, port: Port) -> Check:
    who = machine.holder(port.published)
    variable = movable.variables_of(facts.settings, service).get(port.target, "")
    other = machine.another(port.published, port.host_ip)
    fix = f"{variable}={other} devctl up {service}" if variable else f"devctl up {service} --isolated"
    if who.container or who.pid is None:
        stop = f"docker ps --filter publish={port.published} shows whose container it is"
    else:
        stop = "or stop that process"
    return Check(f"port {port.published}", "problem", f"held by {who}: {service} cannot start", f"{fix}, {stop}")


def _replicas(facts: Facts) -> list[tuple[str, ...]]:
    return [replica.ports for replica in facts.replicas] if facts.started else []
