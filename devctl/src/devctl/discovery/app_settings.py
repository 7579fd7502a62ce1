"""What the code of a service says of the broker and of results, where its environment does not say it."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devctl.discovery.container_files import is_there
from devctl.discovery.launch import Followed
from devctl.discovery.model import Answer, FoundApp, Unreadable
from devctl.stack.model import Service

_NO_RESULTS = "disabled://"


@dataclass(frozen=True)
class Urls:
    """What the settings of an app in the code say."""

    broker: Answer[str]
    results: Answer[str]


Reader = Callable[[Service, Followed], Urls | None]
"""Reads the app that a service runs; None where there is none to read."""


def context(service: Service, way: Followed) -> tuple[Path | None, tuple[Path, ...]]:
    """Return the folder here that a service's code is below, and the folders of it that Python looks in."""
    if way.files is None:
        return None, ()
    celery = way.celery[0].celery if way.celery else None
    folder = posixpath.join(way.launch.folder, celery.workdir if celery else "")
    listed = [folder, *way.launch.environment.get("PYTHONPATH", "").split(":")]
    paths = [
        found
        for place in listed
        if place and (found := way.files.here(place)) is not None and is_there(found, folder=True)
    ]
    installed = [found for place in way.installed if (found := way.files.here(place)) is not None]
    # Of a project whose parts are copied one by one, its folder is where its pyproject.toml is.
    paths += [one if is_there(one, folder=True) else one.parent for one in installed]
    root = way.build.context if way.build is not None and is_there(way.build.context, folder=True) else None
    if root is None or (paths and not any(path.is_relative_to(root) for path in paths)):
        root = paths[0] if paths else root
    return root, tuple(dict.fromkeys(path for path in paths if root and path.is_relative_to(root)))


def reader(repository: Path) -> Reader:
    """Return a reader that reads each app once, whatever the number of its services."""
    known: dict[tuple[object, ...], Urls | None] = {}

    def urls(service: Service, way: Followed) -> Urls | None:
        root, paths = context(service, way)
        app = next((one.celery.app for one in way.celery if one.celery is not None and one.celery.app), "")
        if root is None or not way.celery or any(one.celeriac for one in way.processes):  # its settings are variables
            return None
        environment = way.launch.environment
        key = (root, paths, app, type(environment), tuple(sorted(environment.items())))
        if key not in known:
            from devctl.discovery.code.read import read, read_app  # loaded where the environment does not say it

            try:
                found = read_app(root, environment, app=app, paths=paths, repository=repository) if app else None
                found = found or read(root, environment, app=app, paths=paths, repository=repository).app
            except (OSError, RecursionError):  # nobody may look there; an expression that is thousands of levels deep
                found = None
            known[key] = _urls(found) if found else None
        return known[key]

    return urls


def _urls(app: FoundApp) -> Urls:
    found = {name: _answer(app, name) for name in ("broker_url", "result_backend")}
    results = found["result_backend"]
    if results is None and app.complete:
        results = Answer(_NO_RESULTS, f"{app.file}:{app.line}: no result backend is set")
    nothing = Answer[str](None, f"{app.file}:{app.line}: its settings do not say it")
    return Urls(found["broker_url"] or nothing, results or nothing)


def _answer(app: FoundApp, name: str) -> Answer[str] | None:
    setting = app.settings.get(name)
    if setting is None or setting.value is None:
        return None
    place = f"{setting.file}:{setting.line}"
    if isinstance(setting.value, str):
        return Answer(setting.value or None, place if setting.value else f"{place}: it is empty here")
    return Answer(None, f"{place}: {setting.value.text if isinstance(setting.value, Unreadable) else setting.value}")
