"""What no file says, and a living worker does: that a service is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from devctl.discovery.model import Found, FoundService, Role


def answered(found: Found, nodes: Mapping[str, str]) -> Found:
    """Return what was found, with the services whose nodes answer (node -> service) as workers."""
    services = dict(found.services)
    for node, name in nodes.items():
        if name in services and "worker" not in services[name].roles:
            services[name] = _worker(services[name], node)
    return replace(found, services=services)


def _worker(service: FoundService, node: str) -> FoundService:
    others: tuple[Role, ...] = tuple(role for role in service.roles if role != "unknown")
    return replace(service, roles=("worker", *others), source=f"{node} (inspect)")
