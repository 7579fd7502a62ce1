"""Ports: who holds one, and what to do about it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from devctl.stack import ports


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_is_free_until_somebody_listens(taken: int) -> None:
    assert not ports.free(taken)
    assert ports.free(ports.any_free())


def test_who_holds_a_port_is_named_with_the_ways_out(taken: int) -> None:
    error = ports.in_use("service1", taken, "SERVICE1_PORT")
    assert f"port {taken} is in use" in error.problem
    assert f"(pid {os.getpid()})" in error.problem
    assert "SERVICE1_PORT=" in error.hint
    assert "--isolated" in error.hint


def test_a_container_s_port_is_not_freed_by_killing_its_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "holder", lambda _: ports.Holder(4121, "docker-proxy -proto tcp -host-ip"))
    error = ports.in_use("service1", 8001, "SERVICE1_PORT")
    assert "a container listens there" in error.problem
    assert "docker ps --filter publish=8001" in error.hint
    assert "kill" not in error.hint


def test_without_a_variable_the_compose_file_is_to_be_changed(taken: int) -> None:
    assert "Compose file" in ports.in_use("service1", taken).hint
