"""What an image of this machine runs, asked of the engine: only where no file says it, and never required."""

from __future__ import annotations

from collections.abc import Mapping

from devctl.discovery.launch import ImageConfig, Inspect
from devctl.stack.engine import Away, Daemon


def inspect(environment: Mapping[str, str]) -> Inspect:
    """Return the question to the engine that the docker client would ask."""
    daemon = Daemon.find(environment)

    def ask(image: str) -> ImageConfig | None:
        try:
            config = daemon.image(image) if daemon is not None else {}
        except Away:
            return None
        if not config:
            return None
        return ImageConfig(
            entrypoint=tuple(config.get("Entrypoint") or ()),
            command=tuple(config.get("Cmd") or ()),
            environment=dict(one.split("=", 1) for one in config.get("Env") or () if "=" in one),
            folder=str(config.get("WorkingDir") or ""),
        )

    return ask
