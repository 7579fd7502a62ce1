"""What each service is for, and which is the broker: from the Compose file, images, commands and environments."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from devctl.discovery import addresses, app_settings, kinds
from devctl.discovery.kinds import Kind
from devctl.discovery.launch import Followed, Inspect, Process, follow, images
from devctl.discovery.model import Answer, Found, FoundService, Role
from devctl.stack.model import Service, Stack

_BY_COMMAND: dict[str, Role] = {"worker": "worker", "beat": "beat", "flower": "monitor", "events": "monitor"}
_CAN_BE_BROKER = ("redis", "rabbitmq")
_USES_CELERIAC = re.compile(r"^\s*(?:from|import)\s+celeriac\b", re.MULTILINE)


def find(
    stack: Stack,
    file: str,
    root: Path,
    *,
    inspect: Inspect = lambda image: None,
    settings: app_settings.Reader = lambda service, followed: None,
    written: Callable[[str, str], str] | None = None,
) -> Found:
    """Return what was found of all services; nothing is run, and nothing imported.

    `written`: the file that has a key of a service, where there are several; without it, that is `file`.
    """
    of = written or (lambda service, key: file)
    builds = images(stack.services.values())
    ways = {
        name: follow(
            one,
            of(name, _says(one)),
            root,
            builds=builds,
            inspect=inspect if not kinds.of_image(one.image) else _nothing,
        )
        for name, one in stack.services.items()
    }
    kind = {name: _kind(one, ways[name], of(name, "image"), root) for name, one in stack.services.items()}
    services = {name: _service(stack, one, ways[name], *kind[name]) for name, one in stack.services.items()}
    candidates = {name: what for name, (what, _) in kind.items() if what in _CAN_BE_BROKER}
    search = _Search(stack, ways, services, candidates, file, settings)
    broker, broker_url = search.broker()
    if stack.broker:
        broker = Answer(stack.broker, f"{file}: x-devctl")
    result_url = search.results(broker_url)
    holds = addresses.service(result_url.value or "", stack.services)
    for name in dict.fromkeys([*candidates, *([stack.broker] if stack.broker else [])]):
        services[name] = _store(services[name], broker, name == holds, result_url)
    for name in stack.workers:
        if "worker" not in services[name].roles:
            roles = tuple(role for role in services[name].roles if role != "unknown")
            services[name] = replace(services[name], roles=("worker", *roles), source=f"{file}: x-devctl")
    return Found(services, broker, broker_url, result_url)


def _says(service: Service) -> str:
    """The key that says last what a service runs."""
    return "entrypoint" if service.arguments is None else "command"


def _nothing(image: str) -> None:
    return None


def _kind(service: Service, way: Followed, file: str, root: Path) -> tuple[Kind, str]:
    """Return what the image or the program is, and what says so."""
    by_image = kinds.of_image(service.image) if service.build is None else ""
    if by_image:
        return by_image, f"{file}: image {service.image}"
    known = [(one, "web" if one.web else kinds.of_words(one.words)) for one in way.processes]
    for wanted in ("web", "redis", "rabbitmq", "database"):
        if found := next((one for one, what in known if what == wanted), None):
            return wanted, found.source
    main = [pair for pair in known if not pair[0].may][-1:] or known[-1:]
    if main and main[0][1]:
        return main[0][1], main[0][0].source
    own = service.entrypoint is not None or service.arguments is not None  # then it need not be what its base is
    by_base = kinds.of_image(way.image.base, exact=True) if way.image and not own else ""
    if by_base and way.image:
        return by_base, f"{os.path.relpath(way.image.path, root)}: FROM {way.image.base}"
    return "", ""


def _service(stack: Stack, service: Service, way: Followed, kind: Kind, source: str) -> FoundService:
    celery = way.celery
    roles: dict[Role, None] = {}
    for one in celery:
        assert one.celery is not None, "Followed.celery has no other"
        roles[_BY_COMMAND[one.celery.subcommand]] = None
        if one.celery.beat:
            roles["beat"] = None
    celeriac = any(one.celeriac for one in way.processes) or _celeriac(way)
    if celery:
        if any(one.web or kinds.of_words(one.words) == "web" for one in way.processes if one.celery is None):
            roles = {"web": None, **roles}
        source = _said(celery[0])
    elif kind and kind not in _CAN_BE_BROKER:
        roles[kind] = None  # type: ignore[index]  # every other kind is a role
    elif kind:
        roles["unknown"] = None
    elif stack.must_end(service.name):
        roles["job"], source = None, "others wait until it is done (service_completed_successfully)"
    else:
        roles["unknown"] = None
        source = way.launch.source if not way.launch.argv else f"{way.launch.source}: {' '.join(way.launch.argv)[:60]}"
    code, paths = app_settings.context(service, way)
    commands = [one.celery for one in celery if one.celery is not None]
    return FoundService(
        name=service.name,
        roles=tuple(roles),
        source=source,
        launch=way.launch,
        celery=commands[0] if commands else None,
        more=tuple(commands[1:]),
        celeriac=celeriac,
        code=code,
        paths=paths,
    )


def _said(process: Process) -> str:
    return f"{process.source}, under a condition" if process.may else process.source


def _celeriac(way: Followed) -> bool:
    """Whether the module of its app imports celeriac."""
    if way.files is None:
        return False
    for one in way.celery:
        module = (one.celery.app if one.celery else "").partition(":")[0]
        for path in _modules(module):
            found = way.files.find(f"./{path}", (one.celery.workdir if one.celery else "") or one.folder)
            if found is not None and _USES_CELERIAC.search(found.text):
                return True
    return False


def _modules(name: str) -> Iterator[str]:
    """The files that `-A proj` and `-A proj.celery` can mean."""
    path = name.replace(".", "/")
    if path:
        yield from (f"{path}.py", f"{path}/celery.py", f"{path}/__init__.py", f"{path}/app.py")
        yield f"{path.rpartition('/')[0] or path}.py"  # proj.app: a variable of the module


class _Search:
    """Looks for the broker and for where results go, the workers' own words first."""

    def __init__(
        self,
        stack: Stack,
        ways: Mapping[str, Followed],
        services: Mapping[str, FoundService],
        kinds: Mapping[str, str],
        file: str,
        settings: app_settings.Reader,
    ) -> None:
        self._stack, self._ways, self._services, self._kinds, self._file = stack, ways, services, kinds, file
        order: list[tuple[Role, ...]] = [("worker",), ("beat", "monitor"), ("web", "unknown", "job")]
        self._askers = [[name for name, one in services.items() if {*roles} & {*one.roles}] for roles in order]
        self._settings = settings
        self._nowhere: Answer[str] | None = None
        """A URL of the code that leads nowhere."""
        self._read: dict[str, app_settings.Urls | None] = {}

    def broker(self) -> tuple[Answer[str], Answer[str]]:
        """Return the service that is the broker, and its URL as the workers have it."""
        for group in self._askers:
            found = [url for name in group for url in [self._broker_of(name)] if url is not None]
            if found:
                return self._agreed(found)
        return self._only()

    def results(self, broker_url: Answer[str]) -> Answer[str]:
        """Return where results go, as the workers have it."""
        for group in self._askers[:2]:
            found = [url for name in group for url in [self._results_of(name, broker_url)] if url is not None]
            if found:
                return found[0]
        for name in self._askers[2]:  # of what is no worker, as far as anybody knows, only what Celery itself reads
            named = addresses.results(self._ways[name].launch.environment)
            if named is not None and named.certain:
                return Answer(named.url, f"{name}: {named.variable}")
        return Answer(None, "no worker's environment or code says where results go")

    def _broker_of(self, name: str) -> Answer[str] | None:
        way, environment = self._ways[name], self._ways[name].launch.environment
        for one in way.celery:
            if one.celery is not None and one.celery.broker and addresses.host(one.celery.broker):
                return Answer(one.celery.broker, f"{one.source} (-b)")
        named = addresses.broker(environment)
        if named is not None and named.certain:
            return Answer(named.url, f"{name}: {named.variable}")
        urls = self._urls(name)
        if urls is not None and urls.broker.value is not None:
            if not addresses.leads_nowhere(urls.broker.value):
                return urls.broker
            self._nowhere = urls.broker
        if named is not None and self._plausible(named, name):
            return Answer(named.url, f"{name}: {named.variable}, by its name")
        return None

    def _results_of(self, name: str, broker_url: Answer[str]) -> Answer[str] | None:
        way, environment = self._ways[name], self._ways[name].launch.environment
        for one in way.celery:
            if one.celery is not None and one.celery.result_backend:
                return Answer(one.celery.result_backend, f"{one.source} (--result-backend)")
        named = addresses.results(environment)
        if named is not None and named.certain:
            return Answer(named.url, f"{name}: {named.variable}")
        if any(one.celeriac for one in way.processes):
            return Answer(broker_url.value, f"{name}: celeriac keeps them in the broker")
        urls = self._urls(name)
        if urls is not None and urls.results.value is not None:
            if addresses.leads_nowhere(urls.results.value):
                return Answer(None, f"{urls.results.source} says {urls.results.value}: in a container, that is itself")
            return urls.results
        return Answer(named.url, f"{name}: {named.variable}, by its name") if named else None

    def _urls(self, name: str) -> app_settings.Urls | None:
        if name not in self._read:
            self._read[name] = self._settings(self._stack.services[name], self._ways[name])
        return self._read[name]

    def _plausible(self, named: addresses.Named, name: str) -> bool:
        """A URL that is only likely counts where it names a service that can be a broker, and no other is likelier."""
        if addresses.service(named.url, self._stack.services) not in self._kinds:
            return False
        if not named.general:
            return True
        celery = bool({"worker", "beat", "monitor"} & {*self._services[name].roles})
        return celery and (addresses.kind(named.url) == "rabbitmq" or "rabbitmq" not in self._kinds.values())

    def _agreed(self, found: list[Answer[str]]) -> tuple[Answer[str], Answer[str]]:
        named = {addresses.service(url.value or "", self._stack.services): url for url in reversed(found)}
        if len(named) > 1:
            said = "; ".join(
                f"{url.source} names {name or addresses.host(url.value or '')}" for name, url in named.items()
            )
            return Answer(None, f"the workers have several: {said}"), Answer(None, said)
        service, url = next(iter(named.items()))
        if not service:
            where = addresses.host(url.value or "")
            if not where and addresses.kind(url.value or "") in _CAN_BE_BROKER:
                return Answer(None, f"{url.source} names no host"), url
            where = where or (url.value or "").partition(":")[0]
            return Answer(None, f"{url.source} names {where}, which is no service of {self._file}"), url
        return Answer(service, url.source), url

    def _only(self) -> tuple[Answer[str], Answer[str]]:
        nothing = Answer[str](None, "no environment, command or settings of a worker say it")
        candidates = [*self._kinds]
        if self._nowhere is not None:
            nothing = Answer(None, f"{self._nowhere.source} says {self._nowhere.value}: in a container, that is itself")
        if len(candidates) == 1:
            return Answer(candidates[0], f"{self._file}: the only service that can be one"), nothing
        if not candidates:
            return Answer(None, f"no service of {self._file} can be one"), nothing
        several = " and ".join(candidates)
        return Answer(None, f"{several} can be it, and nothing says which"), nothing


def _store(service: FoundService, broker: Answer[str], holds: bool, result_url: Answer[str]) -> FoundService:
    """Return a Redis or RabbitMQ with what it is for."""
    roles: list[Role] = []
    sources = []
    if broker.value == service.name:
        roles, sources = ["broker"], [broker.source]
    if holds:
        roles.append("results")
        sources.append(result_url.source)
    if roles:
        return replace(service, roles=tuple(roles), source="; ".join(dict.fromkeys(sources)))
    if broker.value is not None:
        return replace(service, roles=("other",), source=f"{service.source}; {broker.value} is the broker")
    return replace(service, source=f"{service.source}; nothing says what it is for")
