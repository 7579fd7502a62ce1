"""The proxy's remote control."""

from __future__ import annotations

import json
import urllib.request
from typing import Any


class Link:
    """Tells a running proxy what to do to the link."""

    def __init__(self, host: str, port: int) -> None:
        self._base = f"http://{host}:{port}"
        # A proxy of the user's has no business between us and a program on this machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def rules(self, **rules: float) -> None:
        """What is done to what passes, from now on; none named: nothing."""
        self._post("/rules", rules)

    def stall(self) -> int:
        """Let the connections of now go silent; how many went."""
        before = self.counts()["stalled"]
        return int(self._post("/stall", {})["stalled"]) - before

    def cut(self) -> None:
        """Reset the connections of now."""
        self._post("/cut", {})

    def counts(self) -> dict[str, int]:
        """What happened so far."""
        with self._opener.open(f"{self._base}/counts", timeout=5) as answer:
            return dict(json.loads(answer.read()))

    def _post(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        asked = urllib.request.Request(self._base + path, data=json.dumps(document).encode(), method="POST")  # noqa: S310  # our own
        with self._opener.open(asked, timeout=5) as answer:
            return dict(json.loads(answer.read()))
