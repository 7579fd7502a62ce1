"""The HTTP request that the Compose file names (`x-devctl: demo:`): demo sends it once, chaos under load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from devctl.errors import DevctlError
from devctl.stack.model import Stack


@dataclass(frozen=True)
class Request:
    """`service` and `port` (the container's) name who is asked; the body is sent as JSON."""

    service: str
    port: int
    method: str
    path: str
    body: Mapping[str, Any]
    id: str = ""
    """The field of the answer that is the id of the task; "": it has none."""
    follow_up: str = ""
    """The task that this task publishes."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def document(self) -> dict[str, Any]:
        """What the JSON says of it."""
        return {"method": self.method, "path": self.path}

    @classmethod
    def of(cls, stack: Stack) -> Request:
        """The request of the Compose file; DevctlError where it is incomplete, or nobody in the stack can answer it."""
        asked = cls.read(stack.demo)
        if asked.service not in stack.services:
            raise DevctlError(
                f"x-devctl: demo: no service {asked.service!r} in the Compose file",
                hint=f"services: {', '.join(stack.services)}; without `demo`, devctl sends a sample of a contract",
            )
        if asked.port not in (ports := [port.target for port in stack.services[asked.service].ports]):
            raise DevctlError(
                f"x-devctl: demo: {asked.service} publishes no port {asked.port}",
                hint=f"it publishes {', '.join(map(str, ports)) or 'none'}; change `port` or the service",
            )
        return asked

    @classmethod
    def read(cls, demo: Mapping[str, Any]) -> Request:
        """Read `{service, port, request: "POST /path", body, id, follow_up}`; DevctlError names what is missing."""
        try:
            method, path = str(demo["request"]).split()
            return cls(
                str(demo["service"]),
                int(demo["port"]),
                method,
                path,
                dict(demo.get("body", {})),
                str(demo.get("id", "")),
                str(demo.get("follow_up", "")),
            )
        except (KeyError, ValueError, TypeError) as wrong:
            raise DevctlError(
                f"x-devctl: demo: is not usable: {wrong}",
                hint='it wants {service: web, port: 8000, request: "POST /api/images", body: {…}}',
            ) from wrong
