"""The Compose files as a stack: what Compose's plugin makes of them, and without it what devctl reads itself."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any

from devctl import dotenv
from devctl.errors import DevctlError
from devctl.interpolation import InterpolationError, variables
from devctl.settings import Settings
from devctl.stack import identity, isolation, normal, plugin, refusal
from devctl.stack.composition import Composition, Unset, Written
from devctl.stack.document import Document, Path
from devctl.stack.model import Service, Stack

__all__ = ["Outline", "Unset", "from_config", "load", "outline", "profiles", "read", "read_here"]

EXTENSION = "x-devctl"
_SERVICE = 2  # steps to a whole service, which is wrong for what is missing in it
_HOW = "x-devctl: {broker: redis, workers: [worker]}, or leave it out"


def read(settings: Settings) -> Stack:
    """Return the stack of the Compose files; DevctlError names file and line of what is wrong."""
    return load(settings)[0]


def load(settings: Settings) -> tuple[Stack, list[Unset]]:
    """Return the stack, and the variables that nobody set."""
    composition = Composition()
    stack = _load(settings, composition)
    unset = list(dict.fromkeys(composition.unset))
    return (isolation.stack(stack) if identity.isolated(settings) else stack), unset


def _load(settings: Settings, composition: Composition) -> Stack:
    problem: DevctlError | None = None
    try:
        _read(settings, composition)
    except DevctlError as wrong:
        problem = wrong
    try:
        config = plugin.config(settings, None if problem else [*composition.files, *_env_files(composition)])
    except plugin.Refused as refused:
        try:
            ours = None if problem else _made(settings, composition)
        except DevctlError as wrong:
            problem = wrong
        else:
            lacking = refusal.lacks_env_file(str(refused)) and ours and any(_missing(ours))
            if ours and (lacking or _forgiven(settings)):
                return ours
        raise problem or refusal.explain(settings, str(refused), composition.where) from refused
    if config is not None:
        with _placed(settings, composition):
            return _in_order(from_config(config, profiles(settings)), composition)
    if problem:
        raise problem
    return _made(settings, composition)


def read_here(settings: Settings) -> Stack:
    """Return the stack as devctl reads it without Compose."""
    composition = Composition()
    _read(settings, composition)
    return _made(settings, composition)


@dataclass(frozen=True)
class Outline:
    """What the files say without being made a stack: enough for a TAB, and to see what was set in vain."""

    names: tuple[str, ...]
    """The services, then the aliases of `x-devctl`."""
    files: tuple[FilePath, ...]
    """Every file that counts, also one that is not there."""
    passed: frozenset[FilePath]
    """The files whose variables are handed to a service as a whole (`env_file`)."""
    documents: tuple[Document, ...]


def outline(settings: Settings) -> Outline:
    """Look at the files, whatever is wrong in them; without Compose's plugin, which takes longer than a TAB may."""
    composition = Composition()
    with suppress(DevctlError):
        _read(settings, composition)
    services, extension = composition.data.get("services") or {}, composition.data.get(EXTENSION)
    aliases = extension.get("aliases") if isinstance(extension, Mapping) else {}
    passed = list(_env_files(composition))
    return Outline(
        names=tuple(map(str, [*services, *(aliases or {})])),
        files=tuple(dict.fromkeys([*composition.files, *passed, *settings.env_files])),
        passed=frozenset(passed),
        documents=tuple(composition.documents),
    )


def from_config(config: Mapping[str, Any], profiles: Sequence[str] = ()) -> Stack:
    """Return the stack that `docker compose config --format json` describes."""
    data = _unescaped(config)
    services = {
        name: normal.service(name, raw, {k: v for k, v in (raw.get("environment") or {}).items() if v is not None})
        for name, raw in (data.get("services") or {}).items()
    }
    return _stack(data["name"], services, data, profiles)


def _forgiven(settings: Settings) -> bool:
    """Whether a line of .env is wrong that `settings` was made without: Compose's words would show its value."""
    wrong: list[DevctlError] = []
    for file in settings.env_files:
        dotenv.read(file, settings.environment, wrong.append)
    return bool(wrong)


def _in_order(stack: Stack, composition: Composition) -> Stack:
    """The services as they stand in the files; Compose sorts them by name."""
    written = [name for document in composition.documents for name in document.data.get("services") or ()]
    names = dict.fromkeys([*(name for name in written if name in stack.services), *stack.services])
    return replace(stack, services={name: stack.services[name] for name in names})


def _read(settings: Settings, composition: Composition) -> None:
    with _placed(settings, composition):
        composition.read(identity.files(settings), settings.root, identity.interpolation(settings))
        _check(composition.data)


def _made(settings: Settings, composition: Composition) -> Stack:
    """The stack of what was read."""
    environment = identity.interpolation(settings)
    with _placed(settings, composition):
        services = {
            name: replace(normal.service(name, raw, _environment(raw, environment)), missing_env_files=_missing_of(raw))
            for name, raw in (composition.data.get("services") or {}).items()
        }
        _check_names(services, composition.data)
        return _stack(identity.project_name(settings), services, composition.data, profiles(settings))


def _env_files(composition: Composition) -> Iterator[FilePath]:
    for raw in (composition.data.get("services") or {}).values():
        for entry in raw.get("env_file") or ():
            yield FilePath(str(entry.get("path")))


@contextmanager
def _placed(settings: Settings, composition: Composition) -> Iterator[None]:
    """Give what is wrong its file and line, or the variable that it comes from."""
    try:
        yield
    except normal.Wrong as wrong:
        problem = f"{composition.where(wrong.path)}: {_dotted(wrong.path)}{wrong}"
        given = _given(composition, wrong.path, settings)
        if given and not isinstance(wrong.__cause__, InterpolationError):
            names = ", ".join(given)
            places = ", ".join(dict.fromkeys(given.values()))
            raise DevctlError(f"{names} in {places} is wrong: {problem}", hint=f"correct it in {places}") from wrong
        file = composition.where(wrong.path).partition(":")[0] or settings.compose_file.name
        empty = ", ".join(_empty(composition, wrong.path, settings))
        hint = f"set {empty} in .env, or in the environment" if empty else wrong.hint or f"change it in {file}"
        raise DevctlError(problem, hint=hint) from wrong


def _given(composition: Composition, path: Path, settings: Settings) -> dict[str, str]:
    """Return the variables that somebody set, of those that this value of the file is made of, and where."""
    environment, own = identity.interpolation(settings), identity.overrides(settings)
    written: dict[str, str] = {}
    for file in settings.env_files:
        written |= dotenv.read(file, settings.environment)

    def place(name: str) -> str:
        if name in own:
            return f"stack {settings.stack}"
        return ".env" if environment[name] == written.get(name) else "the environment"

    return {name: place(name) for name in _variables_at(composition, path) if environment.get(name)}


def _empty(composition: Composition, path: Path, settings: Settings) -> dict[str, None]:
    """Return the variables of this value that nobody set."""
    environment = identity.interpolation(settings)
    return dict.fromkeys(name for name in _variables_at(composition, path) if not environment.get(name))


def _variables_at(composition: Composition, path: Path) -> list[str]:
    value: Any = composition.data if len(path) > _SERVICE else {}
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):  # an error about what is not there
            return []
    return list(_variables(value))


def _variables(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _variables(item)
    elif isinstance(value, Written):
        yield from variables(value.raw)


def _check(data: Mapping[str, Any]) -> None:
    services = data.get("services") or {}
    if not services and any(isinstance(one, Mapping) and {"image", "build"} & {*one} for one in data.values()):
        raise normal.Wrong(
            ("services",),
            "no services here: this is the first format of Compose files, which Compose reads no longer",
            hint="write `services:` above the services, and indent them",
        )
    if not isinstance(services, Mapping):
        raise normal.Wrong(("services",), "not a map of services")
    for name, raw in services.items():
        if not isinstance(raw, Mapping):
            raise normal.Wrong(("services", name), "a service is a map with an image or a build")


def _check_names(services: Mapping[str, Service], data: Mapping[str, Any]) -> None:
    """Volumes and networks are those of the file, and each container's name is its own."""
    owners: dict[str, str] = {}
    for name, service in services.items():
        at: Path = ("services", name)
        volumes = [mount.source for mount in service.mounts if mount.kind == "volume" and mount.source]
        networks = [network for network in data["services"][name].get("networks") or () if network != "default"]
        for kind, used in (("volumes", volumes), ("networks", networks)):
            if unknown := next((one for one in used if one not in (data.get(kind) or {})), None):
                raise normal.Wrong((*at, kind), f"no {unknown!r} in the file's `{kind}:`")
        if (owner := owners.setdefault(service.container_name or name, name)) != name:
            raise normal.Wrong((*at, "container_name"), f"{owner} has this name already")


def _missing(stack: Stack) -> Iterator[FilePath]:
    for service in stack.services.values():
        yield from service.missing_env_files


def _missing_of(raw: Mapping[str, Any]) -> tuple[FilePath, ...]:
    required = (entry for entry in raw.get("env_file") or () if normal.truth(entry.get("required", True)))
    return tuple(path for entry in required if not (path := FilePath(str(entry.get("path")))).is_file())


def _environment(raw: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a service."""
    values: dict[str, str] = {}
    for entry in raw.get("env_file") or ():
        path = FilePath(str(entry.get("path")))
        if path.is_file():
            # A variable of an earlier file, or of the project, wins over one that is set in the file itself.
            scope = ChainMap(values, dict(env))
            values |= dotenv.read_raw(path, scope) if entry.get("format") == "raw" else dotenv.read(path, scope)
    given = normal.pairs(raw.get("environment"), ())
    kept = {key: value for key, value in values.items() if key not in given}  # without a value, it is taken away
    return kept | {key: normal.text(value) for key, value in given.items() if value is not None}


def profiles(settings: Settings) -> tuple[str, ...]:
    """Return the profiles that are asked for."""
    asked = (name.strip() for name in settings.environment.get("COMPOSE_PROFILES", "").split(","))
    return tuple(name for name in asked if name)


def _stack(name: str, services: dict[str, Service], data: Mapping[str, Any], profiles: Sequence[str]) -> Stack:
    if not services:
        raise normal.Wrong(("services",), "no services here")
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
    stack = Stack(
        name=name,
        services=services,
        broker=broker,
        workers=tuple(workers),
        aliases={str(alias): str(target) for alias, target in aliases.items()},
        contracts=str(extension.get("contracts") or ""),
        demo=demo,
        profiles=tuple(profiles),
    )
    _check_dependencies(services)
    return _without_idle_dependencies(stack)


def _without_idle_dependencies(stack: Stack) -> Stack:
    """Leave out what a service can do without and what does not start by itself."""
    enabled = {*stack.enabled}
    kept = {
        name: replace(
            service,
            depends_on={
                needed: condition
                for needed, condition in service.depends_on.items()
                if needed not in service.optional or needed in enabled
            },
        )
        for name, service in stack.services.items()
    }
    return replace(stack, services=kept)


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
