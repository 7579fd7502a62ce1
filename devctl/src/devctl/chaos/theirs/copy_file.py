"""The Compose file of the copy: the checkout's as Compose resolves it, moved out of the way, its workers watched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devctl.stack import isolation

MOUNTED = Path(__file__).parent / "mounted"
INSIDE, LEDGER_INSIDE, CELERIAC_INSIDE = "/devctl/mounted", "/devctl/ledger", "/opt/devctl-celeriac"


@dataclass(frozen=True)
class Copy:
    """What the copy has beside what the checkout says."""

    broker: str
    port: int
    """Where the broker listens in its container."""
    published: int
    """A free one of this machine: it stays the same when the broker is started again."""
    workers: tuple[str, ...]
    ledger: Path
    celeriac: bool = False
    paths: Mapping[str, str] = field(default_factory=dict)
    """Worker -> the PYTHONPATH that its image has."""
    images: Mapping[str, str] = field(default_factory=dict)
    """Worker -> the image to run in place of its own."""


def make(resolved: Mapping[str, Any], copy: Copy) -> dict[str, Any]:
    """The document, for a project of its own."""
    document = isolation.config({key: value for key, value in resolved.items() if key != "name"})
    services = document["services"]
    port = {"target": copy.port, "published": str(copy.published), "host_ip": "127.0.0.1", "mode": "ingress"}
    services[copy.broker] = {**services[copy.broker], "ports": [port]}
    for name in copy.workers:
        services[name] = _watched(services[name], name, copy)
    return document


def _watched(service: Mapping[str, Any], name: str, copy: Copy) -> dict[str, Any]:
    given = dict(service.get("environment") or {})
    theirs = [one for one in (given.get("PYTHONPATH"), copy.paths.get(name)) if one][:1]
    paths = [INSIDE, *([CELERIAC_INSIDE] if copy.celeriac else []), *theirs]
    said = {"PYTHONPATH": ":".join(paths), "DEVCTL_LEDGER": LEDGER_INSIDE}
    watched = {key: value for key, value in service.items() if key != "scale"}
    if "deploy" in watched:
        watched["deploy"] = {key: value for key, value in watched["deploy"].items() if key != "replicas"}
    if copy.celeriac:
        said["DEVCTL_CELERIAC"] = "1"
    if name in copy.images:
        watched |= {"image": copy.images[name], "pull_policy": "never"}
        watched.pop("build", None)
    mounts = [
        {"type": "bind", "source": str(MOUNTED), "target": INSIDE, "read_only": True},
        {"type": "bind", "source": str(copy.ledger), "target": LEDGER_INSIDE},
    ]
    return {**watched, "environment": {**given, **said}, "volumes": [*(service.get("volumes") or ()), *mounts]}
