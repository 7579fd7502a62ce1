"""What each service is made of here, in place of an image: its recipe, its environment, its files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from devctl.errors import DevctlError
from devctl.settings import Settings
from devctl.stack import sources
from devctl.stack.local import environment, recipe
from devctl.stack.local.environment import Environment
from devctl.stack.local.place import Place
from devctl.stack.local.recipe import Recipe
from devctl.stack.local.root import Root
from devctl.stack.model import Service, Stack
from devctl.stack.port import BuildProgress

# Without a container they mean nothing, or nothing that the service would notice.
_MEANS_NOTHING = re.compile(
    r"init|tty|stdin_open|logging|labels|annotations|cap_add|cap_drop|security_opt|platform|pull_policy|expose|networks"
    r"|network_mode|container_name|attach|oom_\w+|(mem|memswap|cpu|cpus|shm|pids)(_\w+)?|ulimits|sysctls|read_only|ipc|pid"
    r"|userns_mode|uts|isolation|blkio_config|cgroup\w*|dns\w*|domainname|mac_address|storage_opt|runtime|privileged"
    r"|deploy\.(resources|placement|labels|mode|update_config|rollback_config|endpoint_mode)|stop_signal"
    r"|build\.(cache_\w+|labels|network|shm_size|pull|no_cache|platforms|tags|ulimits|privileged|isolation|extra_hosts)"
)
_ANOTHER_THING = {
    "secrets": "nothing mounts them",
    "configs": "nothing mounts them",
    "volumes_from": "its volumes are another service's",
    "provider": "it is no container",
    "gpus": "nothing gives it a GPU",
    "devices": "nothing gives it a device",
    "build.ssh": "nothing gives a key to the installation",
    "build.secrets": "nothing gives them to the installation",
    "build.dockerfile_inline": "its Dockerfile stands in the Compose file",
}


class Images:
    """The images of one stack, that are none."""

    def __init__(self, settings: Settings, stack: Stack, place: Place) -> None:
        self._settings, self._stack, self._place = settings, stack, place
        self._recipes: dict[str, Recipe | None] = {}

    def recipe(self, service: Service) -> Recipe | None:
        """Return how it is made; None where the checkout's own environment, or this machine, has what it needs.

        DevctlError where it cannot be made here. Where x-devctl names contracts, devctl itself runs in the checkout's
        environment, and so do the services.
        """
        if self._stack.contracts:
            return None
        if service.name not in self._recipes:
            self._recipes[service.name] = recipe.read(self._built(service), self._settings.root)
        return self._recipes[service.name]

    def _built(self, service: Service) -> Service:
        """The service that builds its image, where another one does."""
        if service.build or not service.image:
            return service
        others = (one for one in self._stack.services.values() if one.build and one.image == service.image)
        return next(others, service)

    def environment(self, service: Service) -> Environment | None:
        """Return the environment of a service with a recipe; it may still have to be made."""
        made = self.recipe(service)
        return environment.of(made, self._settings.state / "environments", self.root(service)) if made else None

    def root(self, service: Service) -> Root:
        """Where its files are, made or not."""
        place = self._place
        return Root(place.state / "roots" / service.name, place.state / "volumes", place.roots / service.name)

    def files(self, service: Service) -> Root | None:
        """Make its files, where they are not as its sources are now."""
        made = self.recipe(service)
        if made is None:
            return None
        root, note = self.root(service), self._note(service)
        if not (
            root.folder.is_dir() and note.is_file() and note.read_text(encoding="utf-8") == self._digest(service, made)
        ):
            self._make_files(service, made, lambda: None)
        return root

    def _make_files(self, service: Service, made: Recipe, before_mounts: Callable[[], None]) -> None:
        root, note = self.root(service), self._note(service)
        note.unlink(missing_ok=True)
        now = self._digest(service, made)
        root.make(made)
        before_mounts()
        root.mount(service)
        note.write_text(now, encoding="utf-8")

    def _note(self, service: Service) -> Path:
        return self._place.state / "roots" / f"{service.name}.made"

    def missing(self, services: Iterable[str]) -> list[str]:
        """Return those whose environment has to be made."""
        found = []
        for name in services:
            one = self.environment(self._stack.services[name])
            if one is not None and not one.ready:
                found.append(name)
        return found

    def build(self, services: Sequence[str], emit: Callable[[BuildProgress], None]) -> None:
        """Make the environments of these, also of one that has it: each once."""
        done: set[Path] = set()
        for name in services:
            service = self._stack.services[name]
            made, one = self.recipe(service), self.environment(service)
            if made is None or one is None or one.folder in done:
                continue
            done.add(one.folder)
            self._settings.make_state()
            making = partial(environment.make, made, one, self.root(service), partial(_say, emit, name))
            self._make_files(service, made, making)  # before its volumes: an installation writes where it is

    def refusal(self, service: Service) -> DevctlError | None:
        """Say why this service cannot be made here; None where it can."""
        wrong = [key for key in service.unmodelled if key in _ANOTHER_THING]
        if wrong and not self._stack.contracts:
            why = f"`{wrong[0]}:` in the Compose file: {_ANOTHER_THING[wrong[0]]}"
            return DevctlError(
                f"{service.name} cannot run without a container: {why}",
                hint="use containers: --runtime compose",
            )
        try:
            self.recipe(service)
        except DevctlError as refused:
            return refused
        return None

    def remarks(self, services: Iterable[str]) -> list[str]:
        """Say what is left out of what their files say, one line for all services that share it.

        What a Dockerfile says counts when an environment is made: then it shows whether it was needed.
        """
        found: dict[str, list[str]] = {}
        for name in services:
            service = self._stack.services[name]
            made = self.recipe(service)
            if made is None:
                continue
            one = self.environment(service)
            lines = [] if one is None or one.ready else _by_instruction(made.skipped)
            if service.user and one and not one.ready:
                lines.append("`user:` is left out: it runs as you")
            if one and "(" in one.python:
                lines.append(f"runs on Python {one.python}")
            lines += [f"`{key}:` is left out" for key in service.unmodelled if not _MEANS_NOTHING.fullmatch(key)]
            for line in lines:
                found.setdefault(line, []).append(name)
        return [f"{', '.join(names)}: {line}" for line, names in found.items()]

    def _digest(self, service: Service, made: Recipe) -> str:
        contexts = sources.stamps_of_build(made.build) if made.build else {}
        text = f"{made!r}\0{service.mounts!r}\0{sources.digest(contexts)}"
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _say(emit: Callable[[BuildProgress], None], service: str, text: str) -> None:
    emit(BuildProgress(service, text))


def _by_instruction(skipped: Iterable[str]) -> list[str]:
    """`Dockerfile:6: left out: apt-get install gcc, apt-get install git`."""
    found: dict[str, list[str]] = {}
    for line in skipped:
        where, _, text = line.partition(" ")
        found.setdefault(where, []).append(text)
    return [f"{where}: left out: {', '.join(texts)}" for where, texts in found.items()]
