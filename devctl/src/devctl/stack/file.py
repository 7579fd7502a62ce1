"""The Compose file, read without an engine: the same Stack that `docker compose config` would give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from devctl import dotenv
from devctl.errors import DevctlError
from devctl.interpolation import InterpolationError, interpolate, variables
from devctl.settings import Settings
from devctl.stack import identity, isolation, normal
from devctl.stack.document import Document, Path, parse
from devctl.stack.model import Service, Stack

EXTENSION = "x-devctl"
_REFUSED = ("extends", "include")
_SERVICE = 2  # steps to a whole service, which is wrong for what is missing in it
_HOW = "x-devctl: {broker: redis, workers: [worker]}, or leave it out"


@dataclass(frozen=True)
class Unset:
    """A variable that the file uses and nobody set: it is empty there."""

    name: str
    where: str
    """`docker-compose.yml:12`."""


def read(settings: Settings) -> Stack:
    """Return the stack of the Compose file; DevctlError names file and line of what is wrong."""
    return load(settings)[0]


def load(settings: Settings) -> tuple[Stack, list[Unset]]:
    """Return the stack, and the variables that nobody set."""
    document = parse(settings.compose_file)
    environment = identity.interpolation(settings)
    unset: list[Unset] = []
    try:
        _refuse(document.data)
        data = _interpolated(document, environment, (), unset.append)
        services = {
            name: normal.service(name, raw, _environment(name, raw, environment, settings.root), settings.root)
            for name, raw in _active(data, environment).items()
        }
        stack = _stack(identity.project_name(settings), services, data)
        if identity.isolated(settings):
            stack = isolation.stack(stack)
    except normal.Wrong as wrong:
        problem = f"{document.where(wrong.path)}: {_dotted(wrong.path)}{wrong}"
        given = _given(document, wrong.path, settings, environment)
        if given and not isinstance(wrong.__cause__, InterpolationError):
            names = ", ".join(given)
            places = ", ".join(dict.fromkeys(given.values()))
            raise DevctlError(f"{names} in {places} is wrong: {problem}", hint=f"correct it in {places}") from wrong
        raise DevctlError(problem, hint=f"change it in {settings.compose_file}") from wrong
    return stack, unset


def from_config(config: Mapping[str, Any]) -> Stack:
    """Return the stack that `docker compose config --format json` describes."""
    data = _unescaped(config)
    services = {
        name: normal.service(
            name, raw, {k: v for k, v in (raw.get("environment") or {}).items() if v is not None}, FilePath("/")
        )
        for name, raw in data["services"].items()
    }
    return _stack(data["name"], services, data)


def port_variables(settings: Settings) -> list[str]:
    """Return the variables that stand in the `ports:` of the file: an isolated stack sets them to 0, any free port."""
    services = parse(settings.compose_file).data.get("services") or {}
    return list(
        dict.fromkeys(name for service in services.values() for name in _variables((service or {}).get("ports")))
    )


def port_variables_of(settings: Settings, service: str) -> dict[int, str]:
    """Return container port -> the variable that its published port is read from, for one service."""
    raw = (parse(settings.compose_file).data.get("services") or {}).get(service) or {}
    environment = identity.interpolation(settings)
    found: dict[int, str] = {}
    for given in raw.get("ports") or ():
        # The published port is the last variable before the container's: 127.0.0.1:${WEB_PORT:-8000}:8000
        published = given.get("published") if isinstance(given, Mapping) else str(given).rpartition(":")[0]
        names = list(_variables(published))
        with suppress(normal.Wrong, InterpolationError):
            filled = {**given, "published": "0"} if isinstance(given, Mapping) else interpolate(str(given), environment)
            for port in normal.ports(filled, ()):
                if names:
                    found[port.target] = names[-1]
    return found


def _given(document: Document, path: Path, settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that somebody set, of those that this value of the file is made of, and where."""
    value: Any = document.data if len(path) > _SERVICE else {}
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):  # an error about what is not there
            return {}
    own, written = identity.overrides(settings), dotenv.read(settings.root / ".env", settings.environment)

    def place(name: str) -> str:
        if name in own:
            return f"stack {settings.stack}"
        return ".env" if environment[name] == written.get(name) else "the environment"

    return {name: place(name) for name in _variables(value) if environment.get(name)}


def _variables(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _variables(item)
    elif isinstance(value, str):
        yield from variables(value)


def _refuse(data: Mapping[str, Any]) -> None:
    """Stop at what this parser does not do: half of such a file would be wrong without a word."""
    services = data.get("services")
    if not isinstance(services, Mapping) or not services:
        raise normal.Wrong(("services",), "no services here")
    places = [((), data), *((("services", name), raw) for name, raw in services.items())]
    for path, raw in places:
        if not isinstance(raw, Mapping):
            raise normal.Wrong(path, "a service is a map with an image or a build")
        for word in _REFUSED:
            if word in raw:
                raise normal.Wrong((*path, word), "is not supported by devctl; write the services out, or use anchors")


def _interpolated(document: Document, env: Mapping[str, str], path: Path, unset: Callable[[Unset], None]) -> Any:
    def walk(value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return {key: walk(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item, (*path, index)) for index, item in enumerate(value)]
        if isinstance(value, str) and "$" in value:
            try:
                return interpolate(value, env, lambda name: unset(Unset(name, document.where(path))))
            except InterpolationError as wrong:
                raise normal.Wrong(path, str(wrong)) from wrong
        return value

    return walk(document.data, path)


def _active(data: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, Mapping[str, Any]]:
    """Return the services without those whose profiles nobody asked for."""
    asked = {name.strip() for name in env.get("COMPOSE_PROFILES", "").split(",")}
    return {
        name: raw
        for name, raw in data["services"].items()
        if not raw.get("profiles") or asked & {*raw["profiles"], "*"}
    }


def _environment(name: str, raw: Mapping[str, Any], env: Mapping[str, str], root: FilePath) -> dict[str, str]:
    values: dict[str, Any] = {}
    at: Path = ("services", name)
    given = raw.get("env_file") or []
    for index, entry in enumerate(given if isinstance(given, list) else [given]):
        file = entry if isinstance(entry, Mapping) else {"path": entry}
        path = root / str(file.get("path"))
        if path.is_file():
            values |= dotenv.read(path, env)
        elif file.get("required", True):
            raise normal.Wrong((*at, "env_file", index), f"{path} is not there")
    values |= normal.pairs(raw.get("environment"), (*at, "environment"))
    passed = {key: env.get(key) if value is None else normal.text(value) for key, value in values.items()}
    return {key: value for key, value in passed.items() if value is not None}


def _stack(name: str, services: dict[str, Service], data: Mapping[str, Any]) -> Stack:
    _check_dependencies(services)
    at: Path = (EXTENSION,)
    extension = data.get(EXTENSION) or {}
    if not isinstance(extension, Mapping):
        raise normal.Wrong(at, f"not a map; write {_HOW}")
    broker = extension.get("broker") or ""
    if not isinstance(broker, str):
        raise normal.Wrong((*at, "broker"), "one service is the broker; devctl works with one")
    aliases, demo = extension.get("aliases") or {}, extension.get("demo") or {}
    for key, value in {"aliases": aliases, "demo": demo}.items():
        if not isinstance(value, Mapping):
            raise normal.Wrong((*at, key), "not a map")
    workers = normal.names(extension.get("workers"))
    named: dict[Path, list[Any]] = {
        ("broker",): [broker] if broker else [],
        ("workers",): workers,
        ("aliases",): [str(target) for target in aliases.values()],
        ("demo", "service"): [demo["service"]] if "service" in demo else [],
    }
    for path, wanted in ((path, wanted) for path, group in named.items() for wanted in group):
        if wanted not in services:
            raise normal.Wrong((*at, *path), f"no service {wanted!r}; services: {', '.join(services)}")
    return Stack(
        name=name,
        services=services,
        broker=broker,
        workers=tuple(workers),
        aliases={str(alias): str(target) for alias, target in aliases.items()},
        contracts=str(extension.get("contracts") or ""),
        demo=demo,
    )


def _check_dependencies(services: Mapping[str, Service]) -> None:
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        if name in way:
            cycle = " → ".join((*way[way.index(name) :], name))
            raise normal.Wrong(("services", name, "depends_on"), f"the services wait for each other: {cycle}")
        if name not in done:
            for needed in services[name].depends_on:
                if needed not in services:
                    raise normal.Wrong(("services", name, "depends_on", needed), "no such service in the file")
                visit(needed, (*way, name))
            done.add(name)

    for name in services:
        visit(name, ())


def _unescaped(value: Any) -> Any:
    """Undo what `docker compose config` does: it writes every dollar sign twice."""
    if isinstance(value, Mapping):
        return {key: _unescaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unescaped(item) for item in value]
    return value.replace("$$", "$") if isinstance(value, str) else value


def _dotted(path: Path) -> str:
    return ".".join(map(str, path)) + ": " if path else ""
