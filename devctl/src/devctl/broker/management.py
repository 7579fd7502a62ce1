"""RabbitMQ's management API: what AMQP itself does not tell. Its numbers are up to five seconds old."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from base64 import b64encode
from typing import Any
from urllib.parse import quote, unquote, urlsplit

SECONDS = 2.0
PORT = 15672


class Management:
    """The API of the server behind a broker's URL."""

    def __init__(self, url: str, at: tuple[str, int] | None) -> None:
        """`at` is where it would be on this machine; None where that is known to be nowhere."""
        parts = urlsplit(url.split(";")[0])
        self._at = at
        self._vhost = quote(vhost(url), safe="")
        login = f"{unquote(parts.username or 'guest')}:{unquote(parts.password or 'guest')}"
        self._login = b64encode(login.encode()).decode()

    def queues(self) -> list[dict[str, Any]] | None:
        """All queues of the virtual host; None where the API does not answer, or does not let this user in."""
        found = self._get(f"queues/{self._vhost}")
        return found if isinstance(found, list) else None

    def bound_to(self, exchange: str, routing_key: str | None) -> list[str]:
        """The queues that get what is published to this exchange, with this key."""
        if not exchange:
            return [routing_key] if routing_key else []
        found = self._get(f"exchanges/{self._vhost}/{quote(exchange, safe='')}/bindings/source")
        return [
            one["destination"]
            for one in found or ()
            if one.get("destination_type") == "queue" and routing_key in (None, one.get("routing_key"), "#")
        ]

    def _get(self, path: str) -> Any:
        if self._at is None:
            return None
        address = f"http://{self._at[0]}:{self._at[1]}/api/{path}"
        asked = urllib.request.Request(address, headers={"Authorization": f"Basic {self._login}"})  # http
        try:
            with urllib.request.urlopen(asked, timeout=SECONDS) as answer:  # noqa: S310  # http
                return json.load(answer)
        except (urllib.error.URLError, OSError, ValueError, ssl.SSLError):
            return None


def vhost(url: str) -> str:
    """The virtual host that an URL of AMQP names."""
    path = urlsplit(url.split(";")[0]).path
    return unquote(path[1:]) or "/"
