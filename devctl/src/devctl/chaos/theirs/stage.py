"""The copies of their stack: made of what Compose reads, one after the other, gone at the end."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from devctl.chaos.stage import free_ports
from devctl.chaos.theirs import copy_file, events, image
from devctl.chaos.theirs.copy_file import Copy
from devctl.chaos.theirs.ledger import Ledger
from devctl.clock import Clock
from devctl.errors import DevctlError
from devctl.settings import Settings
from devctl.stack import identity
from devctl.stack.model import Stack
from devctl.stack.port import Runtime
from devctl.stack.report import Building, failure
from devctl.stack.start import start
from devctl.workbench import Workbench

START_SECONDS = 90.0
CONFIG_SECONDS = 30.0


@dataclass
class Stage:
    """Makes a copy, with celeriac or without, and takes it away."""

    settings: Settings
    """Of the copy."""
    resolved: Mapping[str, Any]
    """What Compose makes of the checkout's files."""
    stack: Stack
    """Of the checkout."""
    service: str
    clock: Clock
    emit: Callable[[events.Event], None]

    def copy(self, *, celeriac: bool) -> Copy:
        """What a copy has beside what the checkout says; its ledger is empty."""
        port = self.stack.broker_port
        folder = identity.state_dir(self.settings) / ("ledger-celeriac" if celeriac else "ledger")
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)  # a service may run as any user
        for file in folder.glob("*.jsonl"):
            file.unlink()
        published = free_ports([(self.stack.broker, port)])[self.stack.broker, port]
        workers = tuple(dict.fromkeys([self.service, *self.stack.workers]))
        return Copy(self.stack.broker, port, published, workers, folder, celeriac)

    def write(self, copy: Copy) -> Workbench:
        """Have devctl and Compose know the copy; starts nothing."""
        identity.create(self.settings, {})
        document = copy_file.make(self.resolved, copy)
        descriptor = os.open(self.settings.compose_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as out:  # passwords are in it
            json.dump(document, out)
        return Workbench(self.settings)

    def build(self, copy: Copy) -> Copy:
        """Build and pull what is missing; returns the copy with what its images say."""
        runtime = self.write(copy).runtime
        needed = self.needed(runtime)
        if missing := runtime.missing_images(needed):
            self.emit(Building(tuple(missing)))
            runtime.build(missing, self.emit)
        paths = {name: image.python_path(self.image(runtime.stack, name)) for name in copy.workers if name in needed}
        return replace(copy, paths=paths)

    def needed(self, runtime: Runtime) -> list[str]:
        """The services of a copy."""
        return runtime.stack.closure([self.stack.broker, self.service])

    def image(self, stack: Stack, service: str) -> str:
        """The name of a service's image, as Compose gives it."""
        return stack.services[service].image or f"{stack.name}-{service}"

    def with_celeriac(self, copy: Copy) -> Copy:
        """Make images with celeriac of those that the workers have."""
        runtime = self.write(copy).runtime
        made: dict[str, str] = {}
        for name in set(copy.workers) & set(self.needed(runtime)):
            tag = f"{runtime.stack.name}-{name}-with-celeriac"
            image.with_celeriac(self.image(runtime.stack, name), tag, identity.state_dir(self.settings) / "image")
            made[name] = tag
        return replace(copy, images=made)

    @contextmanager
    def running(self, copy: Copy) -> Iterator[tuple[Workbench, Ledger]]:
        """The copy from its start to its end."""
        workbench = self.write(copy)
        runtime = workbench.runtime
        report = start(
            runtime,
            [self.stack.broker, self.service],
            timeout=START_SECONDS,
            scale={self.service: 1},
            emit=self.emit,
            clock=self.clock,
        )
        if problem := failure(report, self.settings.stack):
            problem.details = tuple(one for one in problem.details if f"--stack {self.settings.stack}" not in one)
            problem.hint = f"the copy is gone; this must work first: devctl up {self.service}"
            raise problem
        try:
            yield workbench, Ledger(copy.ledger)
        finally:
            runtime.stop(volumes=True)


def resolved(settings: Settings) -> Mapping[str, Any]:
    """What Compose makes of the checkout's files, read as it finds them."""
    call = ["docker", "compose", "--profile", "*", "config", "--format", "json"]
    environment = {**os.environ, **settings.environment}
    try:
        done = subprocess.run(
            call, cwd=settings.root, env=environment, capture_output=True, timeout=CONFIG_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as failed:
        raise DevctlError(f"docker compose config failed: {failed}", hint="devctl doctor") from failed
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()[-5:]
        raise DevctlError("docker compose config failed", details=lines, hint="docker compose config shows it, too")
    return dict(json.loads(done.stdout))
