"""What is moved out of the first stack's way, and what stays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devctl.stack import isolation
from devctl.stack.model import Build, Mount, Port, Service, Stack


def service(**keys: Any) -> dict[str, Any]:
    return {"image": "redis:8", "networks": {"default": None}, **keys}


def isolated(services: dict[str, Any], **top: Any) -> dict[str, Any]:
    return isolation.config({"name": "shop-blue", "services": services, **top})


def test_a_published_port_is_any_free_one_at_the_address_that_the_file_says() -> None:
    ports = [
        {"mode": "ingress", "host_ip": "127.0.0.1", "target": 6379, "published": "6379", "protocol": "tcp"},
        {"mode": "ingress", "target": 53, "published": "53", "protocol": "udp"},
    ]

    changed = isolated({"redis": service(ports=ports)})["services"]["redis"]["ports"]

    assert [
        {"mode": "ingress", "host_ip": "127.0.0.1", "target": 6379, "protocol": "tcp"},
        {"mode": "ingress", "target": 53, "protocol": "udp"},
    ] == changed


def test_a_container_has_no_name_of_its_own_and_is_still_called_by_it() -> None:
    networks = {"back": {"aliases": ["cache"], "ipv4_address": "10.5.0.2"}, "front": None}

    changed = isolated({"redis": service(container_name="the_redis", hostname="broker", networks=networks)})

    redis = changed["services"]["redis"]
    assert "container_name" not in redis
    assert {"back": {"aliases": ["cache", "the_redis"]}, "front": {"aliases": ["the_redis"]}} == redis["networks"]
    assert "broker" == redis["hostname"]


def test_who_names_a_container_means_its_service() -> None:
    changed = isolated(
        {
            "redis": service(container_name="the_redis"),
            "sidecar": {
                "image": "x",
                "network_mode": "container:the_redis",
                "volumes_from": ["container:the_redis:ro"],
            },
            "foreign": {
                "image": "x",
                "network_mode": "container:other",
                "volumes_from": ["container:other", "redis:ro"],
            },
        }
    )["services"]

    assert "service:redis" == changed["sidecar"]["network_mode"]
    assert ["redis:ro"] == changed["sidecar"]["volumes_from"]
    assert "networks" not in changed["sidecar"]
    assert "container:other" == changed["foreign"]["network_mode"]
    assert ["container:other", "redis:ro"] == changed["foreign"]["volumes_from"]


def test_volumes_and_networks_are_called_after_the_project_whatever_the_file_calls_them() -> None:
    changed = isolated(
        {"redis": service()},
        volumes={
            "data": {"name": "shop-blue_data"},
            "own": {"name": "company_data", "labels": {"a": "b"}},
            "outside": {"name": "outside", "external": True},
            "folder": {
                "name": "f",
                "driver": "local",
                "driver_opts": {"type": "none", "o": "bind", "device": "/srv/x"},
            },
        },
        networks={
            "default": {"name": "shop-blue_default", "ipam": {}},
            "back": {"name": "back", "internal": True, "ipam": {"config": [{"subnet": "10.5.0.0/24"}]}},
            "proxy": {"name": "proxy", "external": True},
            "bridge": {"driver_opts": {"com.docker.network.bridge.name": "br0", "mtu": "1400"}},
        },
    )

    assert {"data": {}, "own": {"labels": {"a": "b"}}, "outside": {}, "folder": {}} == changed["volumes"]
    assert {
        "default": {},
        "back": {"internal": True},
        "proxy": {},
        "bridge": {"driver_opts": {"mtu": "1400"}},
    } == changed["networks"]


POSTGRES = Mount("bind", "/src/shop/pgdata", "/var/lib/postgresql/data")


@pytest.mark.parametrize(
    ("mount", "built", "moves"),
    [
        (POSTGRES, False, True),
        (replace(POSTGRES, target="/data"), False, True),
        (replace(POSTGRES, target="/usr/share/elasticsearch/data"), False, True),
        (replace(POSTGRES, target="/bitnami/redis"), False, True),
        (replace(POSTGRES, target="/docker-entrypoint-initdb.d"), False, False),
        (replace(POSTGRES, target="/etc/nginx/conf.d"), False, False),
        (replace(POSTGRES, target="/app/data"), True, False),
        (replace(POSTGRES, read_only=True), False, False),
    ],
)
def test_a_folder_that_a_database_writes_to_becomes_a_volume_and_one_that_it_reads_stays(
    mount: Mount, built: bool, moves: bool
) -> None:
    given = {"type": "bind", "source": mount.source, "target": mount.target, "read_only": mount.read_only}
    raw = service(volumes=[{"type": "volume", "source": "other", "target": "/x"}, given])

    changed = isolated({"db": {**raw, **({"build": {"context": "."}} if built else {})}}, volumes={"other": None})

    expected = {"type": "volume", "source": "db-data-1", "target": mount.target} if moves else given
    assert expected == changed["services"]["db"]["volumes"][1]
    assert ({"other", "db-data-1"} if moves else {"other"}) == set(changed["volumes"])
    build = Build(Path("/src")) if built else None
    assert moves == isolation.is_data(Service("db", build=build), mount)


def test_the_stack_has_free_ports_and_what_is_moved_is_told() -> None:
    redis = Service("redis", ports=(Port(6379, 6379), Port(53, 0)), mounts=(replace(POSTGRES, target="/data"),))
    web = Service(
        "web", ports=(Port(8000, 80),), mounts=(Mount("volume", "media", "/m"), Mount("bind", "/src", "/app"))
    )
    own = Stack("shop", {"redis": redis, "web": web}, "redis", (), {}, "")

    assert isolation.Moved((6379, 80), ("media", "/src/shop/pgdata"), ("/src",)) == isolation.moved(
        own, ["redis", "web"]
    )
    side = Service("side", unmodelled={"network_mode": "container:the_redis", "volumes_from": ["container:other"]})
    named = {**own.services, "redis": replace(redis, container_name="the_redis"), "side": side}
    mine = isolation.stack(replace(own, services=named))
    assert {"redis": "service_started"} == mine.services["side"].depends_on
    assert [0, 0, 0] == [port.published for one in mine.services.values() for port in one.ports]
    assert mine.isolated
