"""A Python process that believes in the containers' network."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devctl.stack.local import network


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    folder = tmp_path / "lib" / "python3.0" / "site-packages"
    folder.mkdir(parents=True)
    network.install(tmp_path / "bin")
    return folder


def run(packages: Path, line: str, described: str) -> str:
    code = f"import devctl_network, socket\n{line}"
    environment = {**os.environ, "PYTHONPATH": str(packages), network.VARIABLE: described}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("print(socket.create_connection(('redis', 6379)).getpeername())", "('127.0.0.1', {port})"),
        ("s = socket.socket(); s.connect(('redis', 6379)); print(s.getpeername())", "('127.0.0.1', {port})"),
        ("s = socket.socket(); print(s.connect_ex(('redis', 6379)))", "0"),
        ("print(socket.getaddrinfo('redis', 6379)[0][4])", "('127.0.0.1', {port})"),
        ("print(socket.getaddrinfo('redis', '6379')[0][4])", "('127.0.0.1', {port})"),
        ("print(socket.getaddrinfo('redis', 7)[0][4])", "('127.0.0.1', 7)"),
        ("print(socket.getaddrinfo('127.0.0.1', 6379)[0][4])", "('127.0.0.1', 6379)"),
        ("print(socket.gethostbyname('redis'))", "127.0.0.1"),
        ("print(socket.gethostname(), socket.gethostbyname('web-1'))", "web-1 127.0.0.1"),
        (
            "s = socket.socket(); s.connect(('127.0.0.1', 6379))",
            "ConnectionRefusedError: [Errno 111] Connection refused",
        ),
    ],
)
def test_a_service_is_found_by_its_name(packages: Path, listening: int, line: str, expected: str) -> None:
    described = network.described("web-1", {"redis": {6379: listening}, "web": {}}, {8000: 1})
    assert expected.format(port=listening) == run(packages, line, described)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "127.0.0.1", "localhost"])
def test_a_server_on_its_usual_port_listens_on_the_one_that_it_has_here(packages: Path, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    line = f"s = socket.socket(); s.bind(({host!r}, 8000)); print(s.getsockname())"
    assert f"('127.0.0.1', {port})" == run(packages, line, network.described("web-1", {}, {8000: port}))


def test_a_port_here_that_is_a_port_there_stays_as_it_was_rewritten() -> None:
    """Text is rewritten already: 8000 became 8001, and must not become 8000 again."""
    assert '"own": {}' in network.described("a", {}, {8000: 8001, 8001: 8000})


def test_without_the_variable_nothing_is_changed(packages: Path) -> None:
    line = "print(socket.getaddrinfo.__module__)"
    assert "socket" == run(packages, line, "")
