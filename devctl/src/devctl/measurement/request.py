"""The demo's one HTTP request: what the Compose file says to send (`x-devctl: demo:`), and sending it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from devctl.demo.stage import NAME
from devctl.errors import DevctlError
from devctl.stack.model import Stack

CORRELATION_HEADER = "X-Correlation-ID"


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
                hint='it wants {service: service1, port: 8001, request: "POST /api/orders", body: {…}}',
            ) from wrong


@dataclass(frozen=True)
class Answer:
    """What came back; `sent_at` in unix seconds, `seconds` from sending to the last byte."""

    body: Any
    correlation_id: str
    sent_at: float
    seconds: float
    status: int | None = None
    """Of HTTP; None for a task that was published."""
    location: str = ""


def send(request: Request, host: str, port: int, *, timeout: float = 10.0) -> Answer:
    """Send it and read the JSON answer; DevctlError unless the answer is a 2xx."""
    correlation_id = f"demo-{uuid.uuid4().hex[:12]}"
    asked = urllib.request.Request(
        f"http://{host}:{port}{request.path}",
        method=request.method,
        data=json.dumps(request.body).encode(),
        headers={"Content-Type": "application/json", CORRELATION_HEADER: correlation_id},
    )
    # A proxy of the user's has no business between us and a service on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    sent_at, start = time.time(), time.perf_counter()
    try:
        with opener.open(asked, timeout=timeout) as answer:
            body = json.loads(answer.read() or b"null")
            seconds = time.perf_counter() - start
            return Answer(
                body, correlation_id, sent_at, seconds, answer.status, location=answer.headers.get("Location", "")
            )
    except urllib.error.HTTPError as refused:
        text = refused.read(500).decode("utf-8", "replace")
        raise DevctlError(
            f"{request.method} {request.path} answered {refused.code}",
            details=[text],
            hint=f"devctl demo --keep, then: devctl logs {request.service} --stack {NAME}",
        ) from refused
    except (OSError, ValueError) as broken:
        raise DevctlError(
            f"{request.method} http://{host}:{port}{request.path} failed: {broken}",
            hint=f"devctl demo --keep, then: devctl logs {request.service} --stack {NAME}",
        ) from broken
