"""The code of each service: where it is on this machine, and the tasks of all of them in one list."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from devctl.discovery.code.modules import Modules
from devctl.discovery.code.read import Code, read
from devctl.discovery.model import Answer, CeleryCommand, Found, FoundTask, Incomplete


class Codes:
    """What the code of each service says; each place is read once for each app and environment."""

    def __init__(self, found: Found, repository: Path) -> None:
        self._found, self._repository = found, repository
        self._read: dict[object, Code] = {}

    def of(self, name: str) -> Code | None:
        """The code of a service; None where none of it is here."""
        one = self._found.services[name]
        if one.code is None:
            return None
        root, app = one.code, one.celery.app if one.celery else ""
        if one.paths and _has_code(one.paths[0]) and all(path.is_relative_to(one.paths[0]) for path in one.paths):
            root = one.paths[0]  # the context of the build may hold other services, too
        environment = one.launch.environment
        key = (root, one.paths, app, type(environment), tuple(sorted(environment.items())))
        if key not in self._read:
            code = read(root, one.launch.environment, app=app, paths=one.paths, repository=self._repository)
            if root != one.code and _has_one(one.code, one.paths, code.imported):
                code = read(one.code, one.launch.environment, app=app, paths=one.paths, repository=self._repository)
            self._read[key] = code
        return self._read[key]

    def tasks(self) -> tuple[FoundTask, ...]:
        """The tasks of all services, each with the services whose workers serve it."""
        workers = self._found.having("worker") or self._found.having("beat", "web", "unknown", "monitor")
        codes = {name: code for name in workers if (code := self.of(name)) is not None}
        merged: dict[str, FoundTask] = {}
        for name, code in codes.items():
            for task in code.tasks:
                served = (name,) if self._serves(name, code, task) else ()
                maybe = task.name in code.served and any(command.open for command in self._workers(name))
                unsure = replace(task, others_may=maybe or not code.all_served)
                merged[task.name] = _joined(merged.get(task.name), unsure, served, name)
        if not codes:  # images alone: the code may lie here all the same
            for task in self._anywhere().tasks:
                merged[task.name] = replace(task, others_may=True)
        real = {(one.file, one.line) for one in merged.values() if one.services}
        return tuple(one for one in merged.values() if one.services or (one.file, one.line) not in real)

    def _anywhere(self) -> Code:
        environments = [one.launch.environment for one in self._found.services.values()]
        kind = Incomplete if any(isinstance(one, Incomplete) for one in environments) else dict
        return read(self._repository, kind(ChainMap(*(dict(one) for one in reversed(environments)))))

    def consumers(self) -> Mapping[str, str]:
        """Queue -> the first service whose workers consume it."""
        found: dict[str, str] = {}
        for name in self._found.having("worker"):
            code = self.of(name)
            for command in self._workers(name):
                queues = _queues(command, code) if code else command.queues
                found = {queue: name for queue in queues if queue not in command.excluded_queues} | found
        return found

    def _workers(self, name: str) -> list[CeleryCommand]:
        one = self._found.services[name]
        return [command for command in (one.celery, *one.more) if command and command.subcommand == "worker"]

    def _serves(self, name: str, code: Code, task: FoundTask) -> bool:
        if task.name not in code.served:
            return False
        queue = task.queue.value
        commands = self._workers(name)
        return (
            not commands
            or queue is None
            or any(
                queue in (_queues(command, code) or (() if command.open else (queue,)))
                and queue not in command.excluded_queues
                for command in commands
            )
        )


def _queues(command: CeleryCommand, code: Code) -> Iterable[str]:
    """What it consumes, as far as anybody can read it."""
    return command.queues or (() if command.open else _declared(code))


def _has_one(context: Path, paths: Sequence[Path], names: Iterable[str]) -> bool:
    """Whether one of these modules, which the service's own folder has not, is in the context of its build."""
    modules = Modules(context, paths)
    return any(modules.find(name) or modules.is_folder(name) for name in names)


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
    more = before.others_may or task.others_may
    return replace(kept, queue=queue, services=(*before.services, *served), others_may=more)


def _has_code(folder: Path) -> bool:
    return any(folder.glob("*.py")) or any(folder.glob("*/*.py"))
