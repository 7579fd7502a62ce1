"""Which runtime a command uses, and why."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from devctl.errors import DevctlError
from devctl.settings import Settings
from devctl.stack import identity
from devctl.stack.engine import Daemon, Engine, look


def choose(settings: Settings, ask: Callable[[], Engine] | None = None) -> tuple[str, str]:
    """Return runtime and reason: what was asked for, else where the stack already is, else what the machine has."""
    sure = ask is None and _answers  # where it is clear which runtime is meant, a look at the socket is enough
    ask = ask or (lambda: look(dict(settings.environment)))
    if settings.runtime == "local":
        return "local", "asked for"
    if settings.runtime == "compose":
        if not (sure and sure()):
            _insist(ask(), "compose")
        return "compose", "asked for"
    last = identity.last_runtime(settings)
    if last == "local":
        return "local", "this stack was started there"
    if last == "compose" and sure and sure():
        return "compose", "this stack was started there"
    engine = ask()
    if last == "compose":
        _insist(engine, "this stack was started in containers")
        return "compose", "this stack was started there"
    if engine.usable:
        return "compose", f"engine {engine.server}, Compose {engine.compose}"
    return "local", f"{engine.lack[0]}; --runtime compose to require it"


def _answers() -> bool:
    """Whether an engine answers and there is a client for it: 3 ms, where asking the client takes 100."""
    daemon = Daemon.find()
    return daemon is not None and shutil.which("docker") is not None and daemon.answers()


def _insist(engine: Engine, why: str) -> None:
    problem, fix = engine.lack
    if problem:
        raise DevctlError(
            f"{problem}, and {why} was asked for" if why == "compose" else f"{problem}, but {why}",
            hint=f"{fix}\nor without containers: --runtime local",
        )
