"""The code of each service: where it is on this machine, and the tasks of all of them in one list."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from devctl.discovery.code.read import Code, read
from devctl.discovery.container_files import ContainerFiles
from devctl.discovery.launch import images
from devctl.discovery.model import Answer, Found, FoundService, FoundTask
from devctl.stack import dockerfile
from devctl.stack.model import Service, Stack


class Codes:
    """What the code of each service says; each place is read once for each app and environment."""

    def __init__(self, stack: Stack, found: Found, repository: Path) -> None:
        self._stack, self._found, self._repository = stack, found, repository
        self._builds = images(stack.services.values())
        self._read: dict[object, Code] = {}

    def of(self, name: str) -> Code | None:
        """The code of a service; None where none of it is here."""
        return self.read(self._stack.services[name], self._found.services[name])

    def read(self, service: Service, one: FoundService) -> Code | None:
        """The same, before all was found."""
        place = self._place(service, one)
        if place is None:
            return None
        root, paths = place
        app = one.celery.app if one.celery else ""
        environment = {**one.launch.environment, **service.environment}
        key = (root, paths, app, tuple(sorted(environment.items())))
        if key not in self._read:
            self._read[key] = read(root, environment, app=app, paths=paths, repository=self._repository)
        return self._read[key]

    def _place(self, service: Service, one: FoundService) -> tuple[Path, tuple[Path, ...]] | None:
        """The folder with all of a service's code, and the folders in it that Python looks in."""
        build = service.build or self._builds.get(service.image)
        image = dockerfile.read(build) if build is not None else None
        files = ContainerFiles(service, build, image)
        folder = one.launch.folder or service.working_dir or (image.folder if image else "")
        if one.celery and one.celery.workdir:
            folder = posixpath.join(folder or "/", one.celery.workdir)
        wanted = [folder, *one.launch.environment.get("PYTHONPATH", "").split(":")]
        here = [found for path in wanted if path and (found := files.here(path, folder)) and found.is_dir()]
        paths = tuple(dict.fromkeys(path.resolve() for path in here))
        context = build.context.resolve() if build is not None and build.context.is_dir() else None
        if folder and paths and _has_code(paths[0]) and all(path.is_relative_to(paths[0]) for path in paths):
            return paths[0], paths
        if context is not None:
            return context, tuple(path for path in paths if path.is_relative_to(context))
        return (paths[0], paths) if paths else None

    def tasks(self) -> tuple[FoundTask, ...]:
        """The tasks of all services, each with the services whose workers serve it."""
        workers = self._found.having("worker") or self._found.having("beat", "web", "unknown", "monitor")
        codes = {name: code for name in workers if (code := self.of(name)) is not None}
        merged: dict[str, FoundTask] = {}
        for name, code in codes.items():
            for task in code.tasks:
                served = (name,) if self._serves(name, code, task) else ()
                merged[task.name] = _joined(merged.get(task.name), task, served, name)
        real = {(one.file, one.line) for one in merged.values() if one.services}
        return tuple(one for one in merged.values() if one.services or (one.file, one.line) not in real)

    def consumers(self) -> Mapping[str, str]:
        """Queue -> the first service whose workers consume it."""
        found: dict[str, str] = {}
        for name in self._found.having("worker"):
            one, code = self._found.services[name], self.of(name)
            for command in (one.celery, *one.more):
                if command is not None and command.subcommand == "worker":
                    queues = command.queues or (_declared(code) if code else ())
                    found = {queue: name for queue in queues if queue not in command.excluded_queues} | found
        return found

    def _serves(self, name: str, code: Code, task: FoundTask) -> bool:
        if task.name not in code.served:
            return False
        one = self._found.services[name]
        queue = task.queue.value
        commands = [command for command in (one.celery, *one.more) if command and command.subcommand == "worker"]
        return (
            not commands
            or queue is None
            or any(
                queue in (command.queues or _declared(code) or (queue,)) and queue not in command.excluded_queues
                for command in commands
            )
        )


def _declared(code: Code) -> Iterable[str]:
    return code.queues.get(f"{code.app.module}:{code.app.variable}", ()) if code.app else ()


def _joined(before: FoundTask | None, task: FoundTask, served: tuple[str, ...], name: str) -> FoundTask:
    """One task as two services' code has it: where they do not agree on its queue, nobody is right."""
    if before is None:
        return replace(task, services=served)
    queue = before.queue
    if queue.value is None and task.queue.value is not None and not before.services:
        queue = task.queue
    elif None not in (queue.value, task.queue.value) and queue.value != task.queue.value:
        queue = Answer(
            None, f"{queue.source} says {queue.value}, for {name} {task.queue.source} says {task.queue.value}"
        )
    kept = task if served and not before.services else before
    return replace(kept, queue=queue, services=(*before.services, *served))


def _has_code(folder: Path) -> bool:
    return any(folder.glob("*.py")) or any(folder.glob("*/*.py"))
