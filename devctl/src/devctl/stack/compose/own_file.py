"""The Compose file of an isolated stack, kept in the stack's state."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from devctl.errors import DevctlError
from devctl.settings import Settings
from devctl.stack import identity, isolation
from devctl.stack.compose.client import Client


class OwnFile:
    """What Compose reads of an isolated stack, in place of the checkout's files."""

    def __init__(self, settings: Settings, client: Client) -> None:
        self._settings, self._client = settings, client
        self._file = identity.state_dir(settings) / "isolated.json"
        self._current: dict[str, Any] | None = None

    def renew(self, services: Sequence[str]) -> None:
        """Write it, once; DevctlError where one of these services cannot be had twice."""
        if self._current is None:
            self._current = isolation.config(self._client.resolved())
            draft = self._file.with_suffix(f".{os.getpid()}")
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
                json.dump(self._current, out)  # passwords are in it: it is for its owner alone
            draft.replace(self._file)
            self._client.use(self._file)
        known = self._current["services"]
        if hosts := [name for name in services if (known.get(name) or {}).get("network_mode") == "host"]:
            raise DevctlError(
                f"{', '.join(hosts)} cannot run in an isolated stack: network_mode: host",
                details=("it would have the ports, and the broker, of what runs on this machine already",),
                hint=f"give {hosts[0]} a network of the stack in the Compose file, or start others: "
                f"devctl up SERVICE{self._settings.option}",
            )

    def take(self) -> None:
        """Have Compose read it as it is."""
        if self._file.is_file():
            self._client.use(self._file)
        else:
            self.renew(())
