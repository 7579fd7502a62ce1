"""A stack beside the checkout's own: what of it would be in the other one's way is moved out of it.

To Compose it is a project of its own, with a whole file of its own: what Compose itself made of the checkout's files
(`docker compose config`), and that changed here. An override could only add to those files, unless Compose is new
enough for `!override` and `!reset`; and what an `include` or `extends` brings, it would have to know.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from devctl.stack.model import Mount, Service, Stack

_DATA = re.compile(
    r"/data(?:/.*)?|/bitnami/.+|/.+/data(?:/.*)?"
    r"|/var/lib/(?:postgresql|mysql|mariadb|mongodb|rabbitmq|redis|valkey|elasticsearch|clickhouse)(?:/.*)?"
)
_ADDRESSES = ("ipv4_address", "ipv6_address", "link_local_ips", "mac_address")
_SHARED = ("network_mode", "ipc", "pid")
_BRIDGE = "com.docker.network.bridge.name"


@dataclass(frozen=True)
class Moved:
    """What is another one in the isolated stack."""

    ports: tuple[int, ...]
    """Published in the file, and here on any free port."""
    data: tuple[str, ...]
    """Volumes, and folders of the checkout that a database or a broker keeps its data in: new ones, and empty."""
    shared: tuple[str, ...] = ()
    """Folders and files of this machine that both stacks write to: code, and what lies in it."""


def stack(own: Stack) -> Stack:
    """Return the isolated form of a stack."""
    owners = {one.container_name: name for name, one in own.services.items() if one.container_name}
    services = {
        name: replace(
            service,
            ports=tuple(replace(port, published=0) for port in service.ports),
            depends_on={**dict.fromkeys(_shares(service, owners), "service_started"), **service.depends_on},
        )
        for name, service in own.services.items()
    }
    return replace(own, services=services, isolated=True)


def _shares(service: Service, owners: Mapping[str, str]) -> list[str]:
    """Those whose container it names, to share something with it: to Compose, a service that it names it depends on."""
    named = [service.unmodelled.get(key) for key in _SHARED] + [*(service.unmodelled.get("volumes_from") or ())]
    containers = [str(one).removeprefix("container:").partition(":")[0] for one in named if one]
    return [owners[one] for one in containers if one in owners]


def moved(own: Stack, services: Iterable[str]) -> Moved:
    """Tell what is moved of these services, and what is not."""
    chosen = [own.services[name] for name in services]
    ports = [port.published for service in chosen for port in service.ports if port.published]
    volumes = [mount.source for one in chosen for mount in one.mounts if mount.kind == "volume" and mount.source]
    folders = [mount.source for one in chosen for mount in one.mounts if is_data(one, mount)]
    shared = [
        mount.source
        for one in chosen
        for mount in one.mounts
        if mount.kind == "bind" and not mount.read_only and not is_data(one, mount)
    ]
    return Moved(tuple(dict.fromkeys(ports)), tuple(dict.fromkeys(volumes + folders)), tuple(dict.fromkeys(shared)))


def is_data(service: Service, mount: Mount) -> bool:
    """Whether this is a folder of the checkout that a database keeps its data in: two must not have the same."""
    return mount.kind == "bind" and not service.build and not mount.read_only and bool(_DATA.fullmatch(mount.target))


def config(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Return the file of the isolated stack, from what `docker compose config --format json` says for its project."""
    services: Mapping[str, Mapping[str, Any]] = resolved.get("services") or {}
    owners = {raw["container_name"]: name for name, raw in services.items() if raw.get("container_name")}
    volumes = {key: _volume(raw or {}) for key, raw in (resolved.get("volumes") or {}).items()}
    networks = {key: _network(raw or {}) for key, raw in (resolved.get("networks") or {}).items()}
    changed = {name: _service(name, raw, owners, volumes) for name, raw in services.items()}
    return {**resolved, "services": changed, "volumes": volumes, "networks": networks}


def _service(
    name: str, raw: Mapping[str, Any], owners: Mapping[str, str], volumes: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """One service; a volume that takes the place of a folder is added to `volumes`."""
    service = {key: value for key, value in raw.items() if key not in ("container_name", "mac_address")}
    if raw.get("ports"):
        service["ports"] = [{key: value for key, value in port.items() if key != "published"} for port in raw["ports"]]
    for key in _SHARED:
        container = str(raw.get(key) or "").removeprefix("container:")
        if container in owners:
            service[key] = f"service:{owners[container]}"
    if not raw.get("network_mode"):
        networks = raw.get("networks") or {"default": None}
        service["networks"] = {key: _attached(one or {}, raw.get("container_name")) for key, one in networks.items()}
    if raw.get("volumes_from"):
        service["volumes_from"] = [_volumes_from(one, owners) for one in raw["volumes_from"]]
    if raw.get("volumes"):
        service["volumes"] = [
            _mounted(name, number, mount, bool(raw.get("build")), volumes)
            for number, mount in enumerate(raw["volumes"])
        ]
    return service


def _attached(one: Mapping[str, Any], container_name: str | None) -> dict[str, Any] | None:
    """How a service is in a network; others may call it by the name that its container had."""
    kept = {key: value for key, value in one.items() if key not in _ADDRESSES}
    if container_name:
        kept["aliases"] = [*(kept.get("aliases") or ()), container_name]
    return kept or None


def _volumes_from(given: str, owners: Mapping[str, str]) -> str:
    kind, _, rest = given.partition(":")
    name, _, mode = rest.partition(":")
    if kind != "container" or name not in owners:
        return given
    return f"{owners[name]}:{mode}" if mode else owners[name]


def _mounted(
    service: str, number: int, mount: Mapping[str, Any], built: bool, volumes: dict[str, dict[str, Any]]
) -> Mapping[str, Any]:
    bind = Mount(str(mount.get("type")), "", str(mount.get("target")), bool(mount.get("read_only")))
    if built or not is_data(Service(service), bind):
        return mount
    key = f"{service}-data-{number}"
    volumes[key] = {}
    return {"type": "volume", "source": key, "target": mount["target"]}


def _volume(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Without a name, it is called after the project; one that binds a folder, or a share, is a plain one."""
    left_out = {"name", "external"}
    if "device" in (raw.get("driver_opts") or {}):
        left_out |= {"driver", "driver_opts"}
    return {key: value for key, value in raw.items() if key not in left_out}


def _network(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The same; the addresses of a fixed subnet are the first stack's."""
    kept = {key: value for key, value in raw.items() if key not in ("name", "external", "ipam")}
    if _BRIDGE in (kept.get("driver_opts") or {}):
        kept["driver_opts"] = {key: value for key, value in kept["driver_opts"].items() if key != _BRIDGE}
    return kept
