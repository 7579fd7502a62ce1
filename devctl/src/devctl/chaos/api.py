"""The HTTP API as a client of it sees it: the request that `x-devctl: demo:` names (one that starts work) under an
Idempotency-Key, and the probes."""

from __future__ import annotations

import http.client
import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

from devctl.measurement.request import Request

TIMEOUT_SECONDS = 15.0
"""Longer than any answer should take, so that a slow one is seen as slow."""


@dataclass(frozen=True)
class Answer:
    """One exchange; status 0 where none came."""

    status: int
    seconds: float
    task_id: str = ""
    retry_after: float = 0.0


class Api:
    """One service; a connection for each thread, kept open."""

    def __init__(self, host: str, port: int, request: Request) -> None:
        self._host, self._port, self._request = host, port, request
        self._local = threading.local()

    def order(self, key: str) -> Answer:
        """Send the request; the same key is the same order."""
        asked = self._request
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        begun = time.monotonic()
        try:
            status, text, retry_after = self._ask(asked.method, asked.path, json.dumps(asked.body), headers)
        except (OSError, http.client.HTTPException):
            return Answer(0, time.monotonic() - begun)
        task_id = ""
        with suppress(ValueError, TypeError, AttributeError):
            task_id = str(json.loads(text).get(asked.id) or "") if status == http.client.ACCEPTED else ""
        return Answer(status, time.monotonic() - begun, task_id, retry_after)

    def status(self, path: str) -> int:
        """The status of a GET; 0 without an answer."""
        try:
            return self._ask("GET", path, None, {})[0]
        except (OSError, http.client.HTTPException):
            return 0

    def _ask(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> tuple[int, bytes, float]:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_SECONDS)
            self._local.connection = connection
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        except BaseException:
            connection.close()
            self._local.connection = None
            raise
        seconds = answer.headers.get("Retry-After", "")
        return answer.status, text, float(seconds) if seconds.isdigit() else 0.0
