"""The containers of one Compose project: what they are, making them, starting them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devctl.errors import OtherCheckout
from devctl.stack.compose import problems
from devctl.stack.compose.client import Client, Failed
from devctl.stack.compose.containers import PROJECT, Container, parse
from devctl.stack.engine import Away, Daemon
from devctl.stack.model import Stack

if TYPE_CHECKING:
    from python_on_whales import DockerClient

_STARTS_AT_A_TIME = 8


class Project:
    """All containers that Compose made for a stack of this checkout."""

    def __init__(self, stack: Stack, root: Path, client: Client, daemon: Daemon | None) -> None:
        self._stack, self._root, self._client, self._daemon = stack, root, client, daemon
        self._made: dict[str, int | None] = {}
        """Services whose containers are as they should be and wait for their start, and how many were asked for."""
        self._kept: dict[str, set[str]] = {}
        """Service -> its containers after we made them: nobody has to make them again as long as they are these."""

    def containers(self) -> list[Container]:
        """The project's containers; OtherCheckout where they are another checkout's."""
        label = f"{PROJECT}={self._stack.name}"
        inspected = None
        if self._daemon:
            with suppress(Away):
                inspected = self._daemon.containers(label)
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
        root = self._root.resolve()
        for other in {c.working_dir for c in present} - {""}:
            if Path(other).resolve() == root:  # the same folder, perhaps behind a symbolic link
                continue
            raise OtherCheckout(
                f"the containers of project {self._stack.name!r} belong to another checkout: {other}",
                details=("two folders of one name are one project to Compose; devctl does not touch the other's",),
                hint=f"COMPOSE_PROJECT_NAME={self._stack.name}-2 devctl …, or an isolated stack: devctl up --isolated\n"
                f"or end the other one: docker compose -p {self._stack.name} down",
            )

    def make(self, services: Sequence[str], scale: Mapping[str, int]) -> None:
        """Make the containers as Compose would, without starting them; Failed where one is refused.

        With `--no-deps`, Compose would cut `depends_on` out of what a container's configuration hash is made of: the
        next plain `docker compose up` would make every container anew.
        """
        before = self.containers()
        if not scale and all(self._kept.get(name) == _ids(before, name) for name in services):
            self._made |= dict.fromkeys(services)
            return
        with self._client.changing() as whales:
            whales.compose.up(
                list(services),
                start=False,
                no_build=True,
                scales=dict(self._scale(before, scale, services)),
                quiet=True,
            )
        self._made |= {name: scale.get(name) for name in services}
        known = {container.id for container in before}
        ran = {container.replica.service for container in before if container.replica.state == "running"}
        after = self.containers()
        self._kept |= {name: _ids(after, name) for name in services}
        anew = [c for c in after if c.id not in known and c.replica.service not in services]
        if superfluous := [c.id for c in anew if c.replica.service not in ran]:  # dependencies that nobody asked for
            self._remove(superfluous)
        self._start([c for c in anew if c.replica.service in ran])

    def make_anew(self) -> None:
        """Have the next `make` ask Compose again: images are other ones."""
        self._kept.clear()

    def start(self, services: Sequence[str], replicas: int | None, outdated: Sequence[str] = ()) -> None:
        """Start the containers of these services, made before or now; Failed where one is refused.

        Those of the services `outdated` are restarted where they run.
        """
        if any(self._made.pop(name, "not yet") != replicas for name in services):
            self.make(services, {} if replicas is None else dict.fromkeys(services, replicas))
            self._made.clear()
        mine = [c for c in self.containers() if c.replica.service in services]
        self._start([c for c in mine if c.replica.state in ("created", "exited")])
        # A container in a crash loop, too: who asks for a start wants a new try.
        again = [c for c in mine if c.replica.state == "restarting" or (c.running and c.replica.service in outdated)]
        self.restart([c.id for c in again])

    def restart(self, ids: Sequence[str]) -> None:
        """Restart containers in place; Failed where one is refused.

        Not by `docker compose restart`: that restarts what depends on them, too.
        """
        self._all(ids, lambda whales, id_: whales.container.restart(id_))

    def sweep(self) -> None:
        """Remove containers that were made and never ran: they would be in the way of the next start."""
        self._made.clear()
        if halves := [c.id for c in self.containers() if c.replica.state == "created"]:
            self._remove(halves)

    def _remove(self, ids: Sequence[str]) -> None:
        with self._client.changing() as whales:
            whales.container.remove(list(ids), force=True)

    def _scale(
        self, present: Sequence[Container], scale: Mapping[str, int], services: Sequence[str]
    ) -> Iterator[tuple[str, int]]:
        """Say how many are wanted where that is not the file's number: without it, Compose goes back to that.

        Of these services and what they need: Compose takes a number for no other.
        """
        for name in self._stack.closure(services):
            service = self._stack.services[name]
            count = scale.get(name, sum(container.replica.service == name for container in present))
            if name in scale or (count and count != service.replicas):
                yield name, count

    def _start(self, idle: Sequence[Container]) -> None:
        self._all([container.id for container in idle], lambda whales, id_: whales.container.start(id_))

    def _all(self, ids: Sequence[str], do: Callable[[DockerClient, str], object]) -> None:
        """Do it to all of them at the same time: one call of docker for several takes one after the other."""
        if not ids:
            return
        with (
            self._client.changing() as whales,
            ThreadPoolExecutor(max_workers=min(len(ids), _STARTS_AT_A_TIME)) as pool,
        ):
            for done in [pool.submit(do, whales, id_) for id_ in ids]:
                done.result()


def _ids(containers: Sequence[Container], service: str) -> set[str]:
    return {container.id for container in containers if container.replica.service == service}
