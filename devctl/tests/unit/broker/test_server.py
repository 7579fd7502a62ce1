"""What a broker's address may look like, and that whatever a client raises is a problem with a name."""

from __future__ import annotations

import socket
import ssl

import pytest
import redis

from devctl.broker import server
from devctl.errors import DevctlError


@pytest.mark.parametrize(
    ("flag", "expected"),
    [("CERT_REQUIRED", ssl.CERT_REQUIRED), ("CERT_NONE", ssl.CERT_NONE), ("required", ssl.CERT_REQUIRED)],
)
def test_a_client_over_tls_has_the_flag_that_was_set(flag: str, expected: ssl.VerifyMode) -> None:
    pool = server.connect(f"rediss://h:1/0?ssl_cert_reqs={flag}").connection_pool
    assert expected == pool.connection_class(**pool.connection_kwargs).cert_reqs


def test_over_tls_a_server_that_is_not_there_is_a_problem_with_a_name() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"rediss://127.0.0.1:{free.getsockname()[1]}/0?ssl_cert_reqs=CERT_REQUIRED"
    with pytest.raises(DevctlError, match="does not answer: Connection refused"), server.answering(url, "start it"):
        server.connect(url).ping()


@pytest.mark.parametrize("option", ["ssl_cert_reqs=perhaps", "no_such_option=1"])
def test_an_option_that_redis_does_not_know_is_a_problem_with_a_name(option: str) -> None:
    with pytest.raises(DevctlError, match=r"ssl_cert_reqs must be|parameter no_such_option") as raised:
        server.connect(f"rediss://:hunter2@h:1/0?{option}")
    assert "hunter2" not in raised.value.problem


def test_a_broker_behind_sentinel_is_told_with_what_to_do() -> None:
    with pytest.raises(DevctlError, match="behind Sentinel") as raised:
        server.connect("sentinel://:hunter2@a:1/0;sentinel://:hunter2@b:2/0")
    assert "CELERY_BROKER_URL=redis://" in raised.value.hint


def test_whatever_a_client_raises_has_a_name() -> None:
    with pytest.raises(DevctlError, match="the broker at h:1: odd"), server.answering("redis://:p@h:1/0", ""):
        raise redis.RedisError("odd")


def test_a_socket_is_a_place() -> None:
    assert "/run/redis.sock" == server.place("redis+socket:///run/redis.sock")
