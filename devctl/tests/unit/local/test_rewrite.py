"""From a container's addresses to this machine's."""

from __future__ import annotations

from pathlib import Path

import pytest

from devctl.stack.local.rewrite import Rewrite

PORTS = {("redis", 6379): 16379, ("service1", 8001): 18001, ("two", 1): 11, ("two", 2): 12}
REWRITE = Rewrite(
    service="service1",
    services={"redis": (6379,), "service1": (8001,), "two": (1, 2), "my-redis": (6379,), "worker": ()},
    port_of=lambda service, target: PORTS.get((service, target), 19999),
    temporary=Path("/run/x/service1-1"),
    root=Path("/tmp/check out"),
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("redis://redis:6379/0", "redis://127.0.0.1:16379/0"),
        ("redis://:p@ss@redis:6379/0", "redis://:p@ss@127.0.0.1:16379/0"),
        ("redis://user:redis@redis:6379", "redis://user:redis@127.0.0.1:16379"),
        ("redis:6379", "127.0.0.1:16379"),
        ("redis:6379,two:2", "127.0.0.1:16379,127.0.0.1:12"),
        ("sentinel://redis:6379;sentinel://two:1", "sentinel://127.0.0.1:16379;sentinel://127.0.0.1:11"),
        ("redis://redis/1", "redis://127.0.0.1:16379/1"),
        ("redis://redis", "redis://127.0.0.1:16379"),
        ("http://two/x", "http://127.0.0.1/x"),  # which of its two ports is not ours to guess
        ("http://worker:9000/", "http://127.0.0.1:9000/"),  # not published: the same number here
        ("redis://my-redis:6379", "redis://127.0.0.1:19999"),
        ("redis://other-redis:6379", "redis://other-redis:6379"),
        ("redis://redis.example.com:6379", "redis://redis.example.com:6379"),
        ("http://127.0.0.1:8001/ready", "http://127.0.0.1:18001/ready"),
        ("http://localhost:8001/ready", "http://127.0.0.1:18001/ready"),
        ("http://localhost:3000", "http://127.0.0.1:3000"),
        ("0.0.0.0", "127.0.0.1"),
        ("0.0.0.0:8001", "127.0.0.1:18001"),
        ("10.0.0.0", "10.0.0.0"),
        ("/tmp/worker-health", "/run/x/service1-1/worker-health"),
        ("/tmp", "/run/x/service1-1"),
        ("unix:/tmp/a.sock", "unix:/run/x/service1-1/a.sock"),
        ("/var/tmp/x", "/var/tmp/x"),
        ("/tmpfile", "/tmpfile"),
        ("redis", "redis"),
        ("info: redis is here", "info: redis is here"),
    ],
)
def test_a_value(value: str, expected: str) -> None:
    assert expected == REWRITE.text(value)


def test_a_path_in_the_checkout_is_the_machine_s_already() -> None:
    rewrite = Rewrite("a", {"a": ()}, lambda *_: 0, Path("/run/x"), Path("/tmp/checkout"))
    assert "/tmp/checkout/data" == rewrite.text("/tmp/checkout/data")
    assert "/run/x/checkout2" == rewrite.text("/tmp/checkout2")


def test_each_address_is_rewritten_once_also_where_a_port_here_is_a_port_there() -> None:
    swapped = {("a", 8001): 8002, ("b", 8002): 8001}
    rewrite = Rewrite("a", {"a": (8001,), "b": (8002,)}, lambda *key: swapped[key], Path("/x"), Path("/y"))
    assert "127.0.0.1:8001 127.0.0.1:8002" == rewrite.text("b:8002 a:8001")


def test_hosts_and_ports_in_variables_of_their_own() -> None:
    environment = {
        "HTTP_HOST": "0.0.0.0",
        "HTTP_PORT": "8001",
        "REDIS_HOST": "redis",
        "REDIS_PORT": "6379",
        "METRICS_PORT": "9000",
        "NAME": "redis",
        "COUNT": "8001",
    }
    assert {
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": "18001",
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": "16379",
        "METRICS_PORT": "9000",
        "NAME": "redis",
        "COUNT": "8001",
    } == REWRITE.environment(environment)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["uvicorn", "app", "--host", "0.0.0.0", "--port", "8001"], "uvicorn app --host 127.0.0.1 --port 18001"),
        (["x", "--port=8001", "--limit", "8001", "-p", "8001"], "x --port=18001 --limit 8001 -p 18001"),
        (["gunicorn", "-b", "0.0.0.0:8001"], "gunicorn -b 127.0.0.1:18001"),
        (["python", "-m", "http.server", "8001"], "python -m http.server 18001"),
        (["sh", "-c", "serve --port 8001 --redis redis:6379"], "sh -c serve --port 8001 --redis 127.0.0.1:16379"),
    ],
)
def test_a_command(command: list[str], expected: str) -> None:
    assert expected == " ".join(REWRITE.arguments(tuple(command)))


MAPPED = Rewrite(
    service="web",
    services={"redis": (6379,), "broker": (5672, 15672), "web": (8000,)},
    port_of=lambda _, target: target + 10_000,
    temporary=Path("/run/x/web-1"),
    root=Path("/home/me/app"),
    paths={"/app": "/r/app", "/app/data": "/v/data", "/start": "/r/start", "/data": "/v/data"},
    by_name=True,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/app", "/r/app"),
        ("/app/manage.py", "/r/app/manage.py"),
        ("/app/data/x", "/v/data/x"),
        ("/app:/app/src", "/r/app:/r/app/src"),
        ("/application", "/application"),
        ("/opt/app", "/opt/app"),
        ("cd /app && ./run", "cd /r/app && ./run"),
        ("sqlite:////data/db.sqlite3", "sqlite:////v/data/db.sqlite3"),
        ("file:///app/x", "file:///r/app/x"),
        ("http://example.com/app", "http://example.com/app"),
        ("--chdir=/app", "--chdir=/r/app"),
        ("${ROOT}/app", "${ROOT}/app"),
        ("/home/me/app/x", "/home/me/app/x"),
        ("amqp://guest:guest@broker//", "amqp://guest:guest@127.0.0.1:15672//"),
        ("pyamqp://broker", "pyamqp://127.0.0.1:15672"),
        ("http://broker/api", "http://127.0.0.1/api"),
    ],
)
def test_a_path_of_the_container(value: str, expected: str) -> None:
    assert expected == MAPPED.text(value)


def test_a_host_without_its_port_stays_for_a_process_that_finds_services_by_name() -> None:
    assert {"REDIS_HOST": "redis"} == MAPPED.environment({"REDIS_HOST": "redis"})
    both = {"REDIS_HOST": "redis", "REDIS_PORT": "6379"}
    assert {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": "16379"} == MAPPED.environment(both)


def test_postgresql_is_called_by_its_address_and_its_port_is_said_where_it_is_asked_for() -> None:
    """Its library is C: what Python finds by name, it does not."""
    rewrite = Rewrite("web", {"db": (5432,), "web": ()}, lambda *_: 15432, Path("/t"), Path("/r"), by_name=True)
    expected = {"SQL_HOST": "127.0.0.1", "SQL_PORT": "15432", "PGPORT": "15432", "POSTGRES_DB": "shop"}
    assert expected == rewrite.environment({"SQL_HOST": "db", "POSTGRES_DB": "shop"})
