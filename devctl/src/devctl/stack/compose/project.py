"""The containers of one Compose project: what they are, making them, starting them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from devctl.errors import DevctlError
from devctl.stack.compose import problems
from devctl.stack.compose.client import Client, Failed
from devctl.stack.compose.containers import PROJECT, Container, parse
from devctl.stack.compose.engine import Away, Engine
from devctl.stack.model import Stack

_STARTS_AT_A_TIME = 8


class Project:
    """All containers that Compose made for a stack of this checkout."""

    def __init__(self, stack: Stack, root: Path, client: Client, engine: Engine | None) -> None:
        self._stack, self._root, self._client, self._engine = stack, root, client, engine

    def containers(self) -> list[Container]:
        """The project's containers; DevctlError where they are another checkout's."""
        label = f"{PROJECT}={self._stack.name}"
        inspected = None
        if self._engine:
            with suppress(Away):
                inspected = self._engine.containers(label)
        if inspected is None:
            inspected = self._inspected_by_client(label)
        present = parse(inspected)
        self._refuse_others(present)
        return present

    def _inspected_by_client(self, label: str) -> list[dict[str, Any]]:
        ids = self._client.docker("ps", "--all", "--quiet", "--no-trunc", f"--filter=label={label}").split()
        if not ids:
            return []
        try:
            found = self._client.call("docker", "inspect", *ids)
        except Failed as gone:  # one of them went in between: the others are printed all the same
            if problem := problems.engine_gone(gone.errors):
                raise problem from gone
            found = gone.output or "[]"
        return list(json.loads(found))

    def _refuse_others(self, present: Sequence[Container]) -> None:
        root = str(self._root)
        for other in {c.working_dir for c in present} - {root, ""}:
            raise DevctlError(
                f"the containers of project {self._stack.name!r} belong to another checkout: {other}",
                details=("two folders of one name are one project to Compose; devctl does not touch the other's",),
                hint=f"COMPOSE_PROJECT_NAME={self._stack.name}-2 devctl …, or an isolated stack: devctl up --isolated\n"
                f"or end the other one: docker compose -p {self._stack.name} down",
            )

    def start(self, services: Sequence[str], replicas: int | None) -> None:
        """Make the containers as Compose would, then start these services' own; Failed where one is refused.

        `docker compose up --no-deps` would do both, but it cuts `depends_on` out of what a container's configuration
        hash is made of: the next plain `docker compose up` would make every container anew.
        """
        before = self.containers()
        scale = self._scale(before, services, replicas)
        self._client.call(*self._client.compose, "create", "--no-build", *scale, *services)
        self._start(self._to_start(before, self.containers(), services))

    def sweep(self, services: Sequence[str]) -> None:
        """Remove containers that were made and never ran: they would be in the way of the next start."""
        halves = [c.id for c in self.containers() if c.replica.service in services and c.replica.state == "created"]
        if halves:
            self._client.docker("rm", "--force", *halves)

    def _scale(self, present: Sequence[Container], services: Sequence[str], replicas: int | None) -> Iterator[str]:
        """Say how many are wanted where that is not the file's number: without it, Compose goes back to that."""
        for name, service in self._stack.services.items():
            count = sum(container.replica.service == name for container in present)
            if replicas is not None and name in services:
                yield f"--scale={name}={replicas}"
            elif count and count != service.replicas:
                yield f"--scale={name}={count}"

    def _to_start(
        self, before: Sequence[Container], present: Sequence[Container], services: Sequence[str]
    ) -> list[Container]:
        """Those asked for, and dependencies that ran and that Compose made anew; new ones that nobody asked for go."""
        known = {container.id for container in before}
        ran = {container.replica.service for container in before if container.replica.state == "running"}
        idle = [container for container in present if container.replica.state in ("created", "exited")]
        mine = [c for c in idle if c.replica.service in services or (c.id not in known and c.replica.service in ran)]
        if superfluous := [c.id for c in idle if c not in mine and c.id not in known]:
            self._client.docker("rm", "--force", *superfluous)
        return mine

    def _start(self, idle: Sequence[Container]) -> None:
        """`docker start`, all at the same time: one call for several starts them one after the other."""
        if not idle:
            return
        with ThreadPoolExecutor(max_workers=min(len(idle), _STARTS_AT_A_TIME)) as pool:
            for started in [pool.submit(self._client.call, "docker", "start", container.id) for container in idle]:
                started.result()
