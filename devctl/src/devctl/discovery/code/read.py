"""Reads a repository's code: its Celery apps, its tasks, and what of it nobody can read."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devctl.discovery.code import caches, configuration, routes
from devctl.discovery.code.interpreter import Frame, Interpreter
from devctl.discovery.code.modules import Modules
from devctl.discovery.code.tasks import Finder, Task, shown_options
from devctl.discovery.code.values import App, Class, Function, Module, QueueValue, plain
from devctl.discovery.model import Answer, Binding, FoundApp, FoundCache, FoundTask, Setting


@dataclass(frozen=True)
class Scheduled:
    """One entry of `beat_schedule`."""

    entry: str
    task: str
    queue: str
    """Of its options; "" where they name none."""
    file: str
    line: int


@dataclass(frozen=True)
class Code:
    """What the code of one build context says."""

    apps: tuple[FoundApp, ...] = ()
    app: FoundApp | None = None
    """The one that `-A` means, or the only one."""
    tasks: tuple[FoundTask, ...] = ()
    served: frozenset[str] = frozenset()
    """The names of those that a worker of this app imports."""
    all_served: bool = True
    """Whether that is all of them: False where what the worker imports cannot be read."""
    queues: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """App (`proj.celery:app`) -> the queues that its settings declare."""
    bindings: tuple[Binding, ...] = ()
    """Of the queues that the settings of `app` declare, as far as they can be read."""
    caches: tuple[FoundCache, ...] = ()
    schedule: tuple[Scheduled, ...] = ()
    unreadable: tuple[str, ...] = ()
    """Files that do not parse, tasks without a name that can be read, settings that cannot."""
    imported: frozenset[str] = frozenset()
    """The libraries that the code of this app's worker imports, by their top-level names."""


def read(
    root: Path,
    environment: Mapping[str, str],
    *,
    app: str = "",
    paths: Sequence[Path] = (),
    repository: Path | None = None,
) -> Code:
    """Read the code below a folder as a process with this environment would see it.

    `app` is what `-A` says, `paths` are folders that Python looks in; files are named relative to `repository`.
    """
    return _Reading(root, environment, app, paths, repository or root).code()


def read_app(
    root: Path, environment: Mapping[str, str], *, app: str, paths: Sequence[Path] = (), repository: Path | None = None
) -> FoundApp | None:
    """Return the app that `-A` means, with its settings and no task: what a worker imports is not read for it."""
    return _Reading(root, environment, app, paths, repository or root).app()


class _Reading:
    def __init__(
        self, root: Path, environment: Mapping[str, str], app: str, paths: Sequence[Path], repository: Path
    ) -> None:
        self.repository = repository
        self.interpreter = Interpreter(Modules(root, paths, app), environment)
        self.finder = Finder(self.interpreter)
        self.wanted = app
        self.all_imports = False

    def app(self) -> FoundApp | None:
        found = self._app(self.wanted) or self._only()
        return self._app_found(found) if found else None

    def code(self) -> Code:
        interpreter = self.interpreter
        # An app that a library has wrapped (`app = setup(app)`) is the one that was made on the way.
        app = (self._app(self.wanted) or self._only()) if self.wanted else None
        if app is not None:
            self._import(app)
        served = {module.file for module in interpreter.loaded.values() if module} if app else set()
        modules = [module for file in self.finder.candidates() if (module := self.finder.load(file))]
        only = self._only()
        app = app or only
        found: dict[str, FoundTask] = {}
        unreadable = [f"{self._shown(file)}: {why}" for file, why in interpreter.skipped.items()]
        inside: set[str] = set()
        for module in dict.fromkeys(modules):
            for task in self.finder.tasks(module):
                if not isinstance(task.name, str):
                    unreadable.append(
                        f"{self._shown(module.file)}:{task.node.lineno}: the name of task {task.function}"
                    )
                    continue
                if task.name not in found or (module.file in served and task.name not in inside):
                    found[task.name] = self._found(task, task.app or app)
                if module.file in served:
                    inside.add(task.name)
        apps = [one for one in interpreter.apps if one.variable or one is app]
        for one in apps:
            unreadable += [f"settings of {one.module}: {text}" for text in one.unreadable]
        return Code(
            apps=tuple(self._app_found(one) for one in apps),
            app=self._app_found(app) if app else None,
            tasks=tuple(sorted(found.values(), key=lambda one: (one.file, one.line))),
            served=frozenset(inside),
            all_served=self.all_imports,
            queues={f"{one.module}:{one.variable}": tuple(routes.declared(one)) for one in apps},
            bindings=tuple(routes.bindings(app)) if app else (),
            caches=tuple(
                FoundCache(name, url, self._shown(Path(file)), line)
                for name, url, (file, line) in caches.caches(interpreter)
            ),
            schedule=tuple(entry for one in apps for entry in self._schedule(one)),
            unreadable=tuple(dict.fromkeys(unreadable)),
            imported=frozenset(_libraries(interpreter)),
        )

    # ---- apps

    def _app(self, name: str) -> App | None:
        """As `celery -A` finds it: the attribute, else `app`, `celery`, the submodule `celery`, any app."""
        module_name, colon, attribute = name.partition(":")
        module = self.interpreter.module(module_name)
        if module is None and not colon and "." in module_name:
            module_name, _, attribute = module_name.rpartition(".")
            module = self.interpreter.module(module_name)
        if module is None:
            return None
        if attribute:
            value: Any = module
            for part in attribute.removesuffix("()").split("."):
                value = self.interpreter.attribute(value, part)
            if isinstance(value, Function):
                value = self._called(value)
            return value if isinstance(value, App) else self._of_module(value) if isinstance(value, Module) else None
        return self._of_module(module)

    def _called(self, function: Function) -> Any:
        from devctl.discovery.code.session import Call
        from devctl.discovery.code.values import Table

        place = (function.module.file, function.node.lineno)
        return self.interpreter.call(function, Call("", place, function.module, False, True, [], Table()))

    def _of_module(self, module: Module) -> App | None:
        for name in ("app", "celery"):
            value = self.interpreter.attribute(module, name)
            if isinstance(value, App):
                return value
            if isinstance(value, Module) and value is not module and (found := self._of_module(value)):
                return found
        inner = self.interpreter.module(f"{module.name}.celery") if module.file.name == "__init__.py" else None
        if inner is not None and (found := self._of_module(inner)):
            return found
        return next((one for one in module.scope.names.values() if isinstance(one, App)), None)

    def _only(self) -> App | None:
        named = [one for one in self.interpreter.apps if one.variable]
        apps = named or self.interpreter.apps
        return apps[0] if len(apps) == 1 else None

    def _import(self, app: App) -> None:
        """What a worker of this app imports: `include`, `imports`, and what it discovers."""
        settings = app.all_settings()
        self.all_imports = not app.unreadable
        for one in (*app.include, *(settings[name].value for name in ("imports", "include") if name in settings)):
            for name in self._listed([one] if isinstance(one, str) else one):
                self.interpreter.module(name)
        for said, related in app.discovers:
            packages = self._listed(self._installed() if said is None else said)
            for package in packages:
                self._discover(package, related if isinstance(related, str) else "")
            if said is None:
                self.all_imports = self.all_imports and self.interpreter.django_settings() is not None
                self._set_up(packages)

    def _listed(self, names: Any) -> list[str]:
        """The names that can be read of a list of modules."""
        if names is None:
            return []
        found = [one for one in names if isinstance(one, str)] if isinstance(names, list | tuple) else None
        self.all_imports = self.all_imports and found is not None and len(found) == len(names)
        return found or []

    def _set_up(self, packages: Sequence[str]) -> None:
        """What Django imports in a worker: models, admin, and the URLs, which its checks look at."""
        for package in packages:
            if self.interpreter.modules.find(package) is not None:
                for name in ("models", "admin"):
                    self.interpreter.module(f"{package}.{name}")
        settings = self.interpreter.django_settings()
        urls = settings.scope.names.get("ROOT_URLCONF") if settings else None
        if isinstance(urls, str):
            self.interpreter.module(urls)

    def _discover(self, package: str, related: str) -> None:
        """As `celery.loaders.base.find_related_module`."""
        if self.interpreter.modules.find(package) is None and not self.interpreter.modules.is_folder(package):
            package = package.rpartition(".")[0]
        if not package:
            return
        self.interpreter.module(package)
        if related:
            self.interpreter.module(f"{package}.{related}")

    def _installed(self) -> list[str]:
        """The packages of `INSTALLED_APPS`; the one of `shop.apps.ShopConfig` is what the class names."""
        settings = self.interpreter.django_settings()
        given = settings.scope.names.get("INSTALLED_APPS") if settings else None
        packages: list[str] = []
        for entry in given if isinstance(given, list | tuple) else ():
            if not isinstance(entry, str):
                continue
            holder, _, name = entry.rpartition(".")
            module = (
                self.interpreter.module(holder) if holder and self.interpreter.modules.find(entry) is None else None
            )
            config = module.scope.names.get(name) if module else None
            said = config.scope.names.get("name") if isinstance(config, Class) else None
            packages.append(said if isinstance(said, str) else entry)
            if isinstance(config, Class):
                self._ready(config)
        return packages

    def _ready(self, config: Class) -> None:
        """What `AppConfig.ready` imports."""
        ready = config.scope.names.get("ready")
        for node in ast.walk(ready.node) if isinstance(ready, Function) else ():
            if isinstance(node, ast.Import | ast.ImportFrom):
                self.interpreter.run([node], Frame(config.module, config.module.scope))

    def _app_found(self, app: App) -> FoundApp:
        settings = {
            name: Setting(name, one.value, self._shown(Path(one.file)), one.line)
            for name, one in configuration.settled(app).items()
        }
        for name, variable in (("broker_url", "CELERY_BROKER_URL"), ("result_backend", "CELERY_RESULT_BACKEND")):
            if value := self.interpreter.environment.get(variable):  # Celery itself looks there first
                settings[name] = Setting(name, value, f"${variable}", 0)
        return FoundApp(
            module=app.module,
            variable=app.variable,
            file=self._shown(app.file),
            line=app.line,
            main=app.main if isinstance(app.main, str) else "",
            settings=settings,
            complete=not app.unreadable,
        )

    # ---- tasks

    def _found(self, task: Task, app: App | None) -> FoundTask:
        place = f"{self._shown(task.module.file)}:{task.node.lineno}"
        options = dict(task.options)
        if not task.whole:
            answer: Answer[str] = Answer(None, f"{place}: not all options of the decorator can be read")
        else:
            answer = routes.queue(self.interpreter, app, task.name, options, place, self.repository)
        ignore = options.get("ignore_result")
        if ignore is None and app is not None and (said := app.all_settings().get("task_ignore_result")):
            ignore = said.value
        body = task.run if isinstance(task.run, ast.FunctionDef | ast.AsyncFunctionDef) else None
        documented = task.node if isinstance(task.node, ast.ClassDef) else body
        text = (ast.get_docstring(documented) if documented else None) or ""
        shown = shown_options(options)
        if task.decorators:
            shown["decorators"] = task.decorators
        return FoundTask(
            name=task.name,
            queue=answer,
            parameters=self.finder.parameters(task),
            file=self._shown(task.module.file),
            line=task.node.lineno,
            function=task.function,
            bind=options.get("bind") is True or isinstance(task.node, ast.ClassDef),
            pydantic=options.get("pydantic") is True,
            ignore_result=ignore if isinstance(ignore, bool) else None,
            options=shown,
            docstring=text.strip().splitlines()[0].strip() if text.strip() else "",
        )

    def _schedule(self, app: App) -> list[Scheduled]:
        found = app.all_settings().get("beat_schedule")
        if found is None or not isinstance(found.value, dict):
            return []
        entries = []
        for entry, said in found.value.items():
            task = said.get("task") if isinstance(said, dict) else None
            if isinstance(entry, str) and isinstance(task, str):
                options = said.get("options")
                queue = options.get("queue") if isinstance(options, dict) else None
                queue = queue.name if isinstance(queue, QueueValue) else plain(queue)
                file, line = getattr(found.value, "places", {}).get(entry, (Path(found.file), found.line))
                entries.append(Scheduled(entry, task, queue if isinstance(queue, str) else "", self._shown(file), line))
        return entries

    def _shown(self, file: Path) -> str:
        return file.relative_to(self.repository).as_posix() if file.is_relative_to(self.repository) else str(file)


def _libraries(interpreter: Interpreter) -> set[str]:
    """The top-level names of what is imported at the top of a module and is not of this repository."""
    names = set()
    for module in interpreter.loaded.values():
        for node in module.tree.body if module else ():
            if isinstance(node, ast.Import):
                names |= {one.name.partition(".")[0] for one in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names.add(node.module.partition(".")[0])
    return {name for name in names if interpreter.modules.find(name) is None}
