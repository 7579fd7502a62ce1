"""From a Compose file's values to the model: short and long forms, lists and maps, one way for both inputs.

The input is either our own reading of the file or what `docker compose config --format json` prints.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any

from devctl.stack.document import Path
from devctl.stack.model import Build, HealthCheck, Mount, Port, Service, Watch

_HIGHEST_PORT = 65_535
KEYS = {
    *("build", "command", "container_name", "depends_on", "deploy", "develop", "entrypoint", "env_file"),
    *("environment", "healthcheck", "hostname", "image", "links", "networks", "ports", "profiles", "restart", "scale"),
    *("stop_grace_period", "user", "volumes", "working_dir"),
}
"""Of a service: those that the model holds."""
_MODELLED_OF_BUILD = {"additional_contexts", "args", "context", "dockerfile", "target"}
_MODELLED_OF_DEPLOY = {"replicas", "restart_policy"}
_WORDS = ("container_name", "hostname", "image", "restart", "user", "working_dir")
_POLICIES = {"none": "no", "any": "always", "": "always"}


class Wrong(Exception):  # it never leaves this folder: file.py adds the line and raises DevctlError
    """A value that the model cannot hold, and where it stands."""

    def __init__(self, path: Path, problem: str, *, hint: str = "") -> None:
        super().__init__(problem)
        self.path = path
        self.hint = hint


def service(name: str, raw: Mapping[str, Any], environment: Mapping[str, str]) -> Service:
    """Return one service, its paths being absolute; `environment` is its whole environment, env_file included."""
    at: Path = ("services", name)
    for key in _WORDS:
        if isinstance(raw.get(key), list | dict):
            raise Wrong(
                (*at, key), f"a word is needed here, and not a {'list' if isinstance(raw[key], list) else 'map'}"
            )
    deploy = raw.get("deploy") or {}
    networks = raw.get("networks") or {}
    found = Service(
        name=name,
        image=str(raw.get("image") or ""),
        build=_build(raw["build"], (*at, "build")) if raw.get("build") is not None else None,
        command=(*_words(raw.get("entrypoint")), *_words(raw.get("command"))),
        entrypoint=None if raw.get("entrypoint") is None else _words(raw["entrypoint"]),
        arguments=None if raw.get("command") is None else _words(raw["command"]),
        working_dir=str(raw.get("working_dir") or ""),
        user=str(raw.get("user") or ""),
        hostname=str(raw.get("hostname") or ""),
        container_name=str(raw.get("container_name") or ""),
        mounts=tuple(_mount(one, (*at, "volumes", index)) for index, one in enumerate(raw.get("volumes") or ())),
        environment=dict(environment),
        ports=tuple(
            dict.fromkeys(
                port
                for index, given in enumerate(raw.get("ports") or ())
                for port in ports(given, (*at, "ports", index))
            )
        ),
        depends_on=_depends_on(raw),
        optional=_optional(raw.get("depends_on")),
        links=_links(raw.get("links")),
        aliases=tuple(
            str(alias)
            for network in (networks.values() if isinstance(networks, Mapping) else ())
            for alias in (network or {}).get("aliases") or ()
        ),
        profiles=tuple(map(str, raw.get("profiles") or ())),
        healthcheck=_healthcheck(raw.get("healthcheck"), (*at, "healthcheck")),
        replicas=_integer(raw.get("scale", deploy.get("replicas", 1)), (*at, "deploy", "replicas")),
        restart=_restart(raw, deploy),
        stop_grace_seconds=seconds(raw.get("stop_grace_period") or "10s", (*at, "stop_grace_period")),
        watch=_watch(raw.get("develop"), (*at, "develop")),
        unmodelled=dict(sorted(_unmodelled(raw))),
    )
    if not found.image and found.build is None and "provider" not in raw:
        raise Wrong(at, "neither an image nor a build: what should run?")
    if found.replicas > 1 and found.container_name:
        raise Wrong((*at, "container_name"), f"a name is there once, and {found.replicas} replicas are asked for")
    return found


def pairs(raw: Any, path: Path) -> dict[str, Any]:
    """Return a map from a map or from a list of `KEY=value`; a KEY alone has the value None."""
    if raw is None:
        return {}
    if isinstance(raw, Mapping):
        return {str(key): value for key, value in raw.items()}
    if not isinstance(raw, list):
        raise Wrong(path, "neither a map nor a list")
    split = (str(item).partition("=") for item in raw)
    return {key: value if equals else None for key, equals, value in split}


def text(value: Any) -> str:
    """Return a scalar as Compose hands it to a container: true, 1, 1.5, 1e+06."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        whole = f"{value:.0f}"
        if value == float(whole) and abs(value) < 1e6:  # Go writes floats with an exponent from a million on
            return whole
        return repr(value) if 1e-4 <= abs(value) < 1e6 else re.sub(r"\.?0*e", "e", f"{value:.16e}")
    return str(value)


def truth(raw: Any) -> bool:
    """Return whether a value is true, also one that came from a variable."""
    return str(raw).lower() in ("true", "1", "yes", "y", "on", "t")


def names(raw: Any) -> list[str]:
    """Return a list from a list or a single word."""
    return [str(item) for item in raw] if isinstance(raw, list) else [str(raw)] if raw else []


def seconds(raw: Any, path: Path) -> float:
    """Return a duration such as 1m30s or 500ms in seconds."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
    parts = re.findall(r"(\d+(?:\.\d*)?)(h|ms|m|s|us|µs|ns)", str(raw))
    if "".join(number + unit for number, unit in parts) != str(raw):
        raise Wrong(path, f"{raw!r} is not a duration; write 1m30s or 500ms")
    return sum(float(number) * units[unit] for number, unit in parts)


def _unmodelled(raw: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What stands in the file and has no place in the model, keys of keys with a dot: `deploy.resources`."""
    for key, value in raw.items():
        if not _plain(value) if key == "networks" else _says(key, value) and key not in KEYS:
            yield key, value
    for parent, modelled in (("build", _MODELLED_OF_BUILD), ("deploy", _MODELLED_OF_DEPLOY)):
        of = raw.get(parent)
        for key, value in (of if isinstance(of, Mapping) else {}).items():
            if _says(key, value) and key not in modelled:
                yield f"{parent}.{key}", value


def _says(key: str, value: Any) -> bool:
    return not key.startswith("x-") and value is not False and value not in (None, [], {})


def _plain(networks: Any) -> bool:
    """Whether it is on the network that a service is on anyway, and only known by more names there."""
    if isinstance(networks, Mapping):
        return networks.keys() <= {"default"} and all((one or {}).keys() <= {"aliases"} for one in networks.values())
    return networks in (None, [], ["default"])


def _restart(raw: Mapping[str, Any], deploy: Mapping[str, Any]) -> str:
    if raw.get("restart"):
        return str(raw["restart"])
    policy = deploy.get("restart_policy")
    if not isinstance(policy, Mapping):
        return "no"
    condition = str(policy.get("condition") or "")
    most = f":{policy['max_attempts']}" if condition == "on-failure" and policy.get("max_attempts") else ""
    return _POLICIES.get(condition, condition) + most


def _words(raw: Any) -> tuple[str, ...]:
    return tuple(shlex.split(raw)) if isinstance(raw, str) else tuple(map(str, raw or ()))


def _build(raw: Any, path: Path) -> Build:
    given = {"context": raw} if isinstance(raw, str) else raw
    contexts = pairs(given.get("additional_contexts"), (*path, "additional_contexts"))
    args = pairs(given.get("args"), (*path, "args"))
    return Build(
        context=FilePath(str(given.get("context") or ".")),
        dockerfile=str(given.get("dockerfile") or "Dockerfile"),
        additional_contexts={name: FilePath(str(context)) for name, context in contexts.items()},
        args={name: text(value) for name, value in args.items() if value is not None},
        target=str(given.get("target") or ""),
    )


def _mount(raw: Any, path: Path) -> Mount:
    if isinstance(raw, Mapping):
        kind, source = str(raw.get("type") or "volume"), str(raw.get("source") or "")
        return Mount(kind, source, str(raw.get("target") or ""), bool(raw.get("read_only")))
    first, *others = str(raw).split(":")
    if not first or (others and not others[0]):
        raise Wrong(path, f"{str(raw)!r} is not a volume: a part of it is empty")
    if not others:
        return Mount("volume", "", posixpath.normpath(first))
    bind = first.startswith((".", "/", "~"))
    target, read_only = posixpath.normpath(others[0]), "ro" in ",".join(others[1:]).split(",")
    return Mount("bind" if bind else "volume", first, target, read_only)


def _depends_on(raw: Mapping[str, Any]) -> dict[str, str]:
    given = raw.get("depends_on") or {}
    if isinstance(given, list):
        given = {str(name): {} for name in given}
    found = {str(name): str((how or {}).get("condition") or "service_started") for name, how in given.items()}
    shared = (str(raw.get(key) or "").partition("service:") for key in ("network_mode", "ipc", "pid", "uts", "cgroup"))
    others = [of for before, word, of in shared if word and not before]
    others += [
        str(link).partition(":")[0] for link in raw.get("links") or ()
    ]  # Compose turns links into dependencies, and what is shared, too
    others += [
        str(one).partition(":")[0] for one in raw.get("volumes_from") or () if not str(one).startswith("container:")
    ]
    for other in others:
        found.setdefault(other, "service_started")
    return found


def _optional(depends_on: Any) -> frozenset[str]:
    given = depends_on.items() if isinstance(depends_on, Mapping) else ()
    return frozenset(str(name) for name, how in given if not truth((how or {}).get("required", True)))


def _links(raw: Any) -> dict[str, str]:
    """Alias -> service."""
    split = [str(link).partition(":") for link in raw or ()]
    return {alias or service: service for service, _, alias in split}


def _healthcheck(raw: Any, at: Path) -> HealthCheck | None:
    if not raw or raw.get("disable") or not raw.get("test") or raw["test"] == ["NONE"]:
        return None
    test = ("CMD-SHELL", raw["test"]) if isinstance(raw["test"], str) else tuple(map(str, raw["test"]))
    if test[0] not in ("CMD", "CMD-SHELL") or len(test) < 2:
        raise Wrong((*at, "test"), "a health check starts with CMD or CMD-SHELL, and a command follows")
    keys = ("interval", "timeout", "start_period", "start_interval")
    times = {key: seconds(raw[key], (*at, key)) for key in keys if raw.get(key)}
    return HealthCheck(test=test, retries=_integer(raw.get("retries", 3), (*at, "retries")), **times)


def _watch(raw: Any, at: Path) -> tuple[Watch, ...]:
    given = (raw or {}).get("watch") or ()
    for index, one in enumerate(given):
        if not isinstance(one, Mapping) or not one.get("path") or not one.get("action"):
            raise Wrong((*at, "watch", index), "an entry has a path and an action")
    return tuple(
        Watch(
            path=FilePath(str(one["path"])),
            action=str(one["action"]),
            target=str(one.get("target") or ""),
            ignore=tuple(names(one.get("ignore"))),
        )
        for one in given
    )


def ports(raw: Any, path: Path) -> Iterable[Port]:
    """Read one entry of `ports:`, which may be a range."""
    for port in _ports(raw, path):
        if not 0 <= port.published <= _HIGHEST_PORT or not 0 < port.target <= _HIGHEST_PORT:
            raise Wrong(path, f"{raw!r}: a port is a number up to {_HIGHEST_PORT}")
        yield port


def _ports(raw: Any, path: Path) -> Iterable[Port]:
    if isinstance(raw, Mapping):
        first = str(raw.get("published") or "0").partition("-")[0]
        yield Port(
            target=_integer(raw.get("target"), path),
            published=_integer(first, path),
            host_ip=str(raw.get("host_ip") or "0.0.0.0"),  # noqa: S104  # what Compose does without an address
            protocol=str(raw.get("protocol") or "tcp"),
        )
        return
    found = re.fullmatch(
        r"(?:(?:(?P<ip>\[[^]]*\]|[^:]*):)?(?P<published>\d+(?:-\d+)?)?:)?(?P<target>\d+(?:-\d+)?)(?:/(?P<protocol>\w+))?",
        str(raw),
    )
    if not found:
        raise Wrong(path, f"{raw!r} is not a port; write 127.0.0.1:8001:8001")
    targets = _range(found["target"])
    published = _range(found["published"]) if found["published"] else [0] * len(targets)
    if len(targets) == 1:
        published = published[:1]
    if len(published) != len(targets):
        raise Wrong(path, f"{raw!r}: the two ranges differ in length")
    for host, target in zip(published, targets, strict=True):
        ip = (found["ip"] or "").strip("[]") or "0.0.0.0"  # noqa: S104  # what Compose does without an address
        yield Port(target, host, ip, found["protocol"] or "tcp")


def _range(written: str) -> list[int]:
    first, _, last = written.partition("-")
    return list(range(int(first), int(last or first) + 1))


def _integer(raw: Any, path: Path) -> int:
    try:
        return int(raw)
    except (TypeError, ValueError):
        raise Wrong(path, f"{raw!r} is not a whole number") from None
