"""The demo's request, sent once, and what came back."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass
from typing import Any

from devctl.demo.stage import NAME
from devctl.errors import DevctlError
from devctl.measurement.request import Request

CORRELATION_HEADER = "X-Correlation-ID"


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
