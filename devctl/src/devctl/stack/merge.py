"""One Compose file over another, by Compose's rules: maps by key, lists one after the other, some keys otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from posixpath import normpath
from typing import Any, TypeVar

from devctl.stack import normal
from devctl.stack.document import Path

_Rule = TypeVar("_Rule")
_STARTED = {"condition": "service_started", "required": True}
_SERVICE = ("services", "*")


def files(below: Any, above: Any, path: Path = ()) -> Any:
    """Return the values of two files as one."""
    if rule := _of(path, _RULES):
        return rule(below, above, path)
    if above is None or below is None:
        return below if above is None else above
    if isinstance(below, Mapping):
        return _maps(_like(below, above, path), above, path)
    return [*below, *_like(below, above, path)] if isinstance(below, list) else above


def services(base: Mapping[str, Any], own: Mapping[str, Any], name: str) -> Any:
    """Return a service that extends another."""
    return files(deepcopy(dict(base)), own, ("services", name))


def without(data: Any, path: Path) -> None:
    """Take a value away, as `!reset` does."""
    *way, last = path
    for step in way:
        if not isinstance(data, Mapping) or step not in data:
            return
        data = data[step]
    if isinstance(data, dict):
        data.pop(last, None)


def unique(value: Any, path: Path = ()) -> Any:
    """Return the values without the entries of lists that a later one of the same key replaces."""
    if isinstance(value, Mapping):
        return {key: unique(item, (*path, key)) for key, item in value.items()}
    if isinstance(value, list) and (key := _of(path, _KEYS)):
        return list({key(item): item for item in value}.values())
    return value


def _of(path: Path, rules: Mapping[tuple[str, ...], _Rule]) -> _Rule | None:
    """The rule for the place of a value: the name of a service, of a network or of a limit is any."""
    steps = [str(step) for step in path]
    for at in (1, 3):
        if len(steps) > at and (at == 1 or steps[at - 1] in ("networks", "ulimits")):
            steps[at] = "*"
    return rules.get(tuple(steps))


def _like(below: Any, above: Any, path: Path) -> Any:
    if isinstance(below, Mapping) is not isinstance(above, Mapping) or isinstance(below, list) is not isinstance(
        above, list
    ):
        raise normal.Wrong(path, "a map, a list and a word cannot be merged: it is one here and another there")
    return below if isinstance(below, Mapping) else above


def _maps(below: Mapping[str, Any], above: Mapping[str, Any], path: Path) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        deep = key in merged and not key.startswith("x-")
        merged[key] = files(merged[key], value, (*path, key)) if deep else value
    return merged


def _lists(below: Any, above: Any, path: Path) -> list[Any]:
    return [*_listed(below), *_listed(above)]


def _listed(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [key if item is None else f"{key}={normal.text(item)}" for key, item in sorted(value.items())]
    return normal.names(value) if isinstance(value, str) else list(value or ())


def _replaced(below: Any, above: Any, path: Path) -> Any:
    return above


def _mapped(value: Any, default: Any = None) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {str(name): default for name in value or ()}


def _dependencies(below: Any, above: Any, path: Path) -> Any:
    return _maps(_mapped(below, _STARTED), _mapped(above, _STARTED), path)


def _networks(below: Any, above: Any, path: Path) -> Any:
    return _maps(_mapped(below), _mapped(above), path)


def _builds(below: Any, above: Any, path: Path) -> Any:
    one, other = ({"context": value} if isinstance(value, str) else value or {} for value in (below, above))
    return _maps(one, other, path)


def _logging(below: Any, above: Any, path: Path) -> Any:
    drivers = {value["driver"] for value in (below, above) if value and "driver" in value}
    return above if len(drivers) > 1 else _maps(below or {}, above or {}, path)


_LISTS = ("annotations", "dns", "dns_opt", "dns_search", "env_file", "environment", "extra_hosts", "labels")
_RULES: dict[tuple[str, ...], Callable[[Any, Any, Path], Any]] = {
    **{(*_SERVICE, key): _lists for key in (*_LISTS, "sysctls", "tmpfs")},
    **{(*_SERVICE, "build", key): _lists for key in ("additional_contexts", "args", "extra_hosts", "labels")},
    (*_SERVICE, "deploy", "labels"): _lists,
    **{(*_SERVICE, key): _replaced for key in ("command", "entrypoint")},
    (*_SERVICE, "healthcheck", "test"): _replaced,
    (*_SERVICE, "build"): _builds,
    (*_SERVICE, "depends_on"): _dependencies,
    (*_SERVICE, "logging"): _logging,
    (*_SERVICE, "networks"): _networks,
    (*_SERVICE, "ulimits", "*"): _replaced,
}


def _name(entry: Any) -> Any:
    return str(entry).partition("=")[0]


def _target(entry: Any) -> Any:
    if isinstance(entry, Mapping):
        return entry.get("target") or entry.get("source")
    parts = str(entry).split(":")
    return normpath(parts[1] if len(parts) > 1 else parts[0])


def _file(entry: Any) -> Any:
    return str(entry.get("path") if isinstance(entry, Mapping) else entry)


def _mounted(entry: Any) -> Any:
    return str(entry.get("target") or entry.get("source") if isinstance(entry, Mapping) else entry)


_NAMED = ("annotations", "cap_add", "cap_drop", "dns", "dns_opt", "dns_search", "environment", "expose", "extra_hosts")
_KEYS: dict[tuple[str, ...], Callable[[Any], Any]] = {
    **{(*_SERVICE, key): _name for key in (*_NAMED, "labels", "links", "profiles", "sysctls", "tmpfs")},
    **{(*_SERVICE, "build", key): _name for key in ("additional_contexts", "args", "extra_hosts", "labels", "tags")},
    **{(*_SERVICE, key): _mounted for key in ("configs", "secrets")},
    (*_SERVICE, "networks", "*", "aliases"): _name,
    (*_SERVICE, "env_file"): _file,
    (*_SERVICE, "volumes"): _target,
}
