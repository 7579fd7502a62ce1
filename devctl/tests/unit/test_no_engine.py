"""Commands where the container engine is not as it should be, played by a docker client of a few lines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from devctl.__main__ import main

COMPOSE = """\
x-devctl: {broker: redis, workers: [], contracts: ""}
services:
  redis: {image: "redis:8-alpine", ports: ["127.0.0.1:0:6379"]}
"""
NO_DAEMON = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that is PATH, and a checkout as the working directory."""
    (tmp_path / "docker-compose.yml").write_text(COMPOSE)
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    monkeypatch.setenv("PATH", str(bin_))
    monkeypatch.delenv("DEVCTL_RUNTIME", raising=False)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    monkeypatch.chdir(tmp_path)
    return bin_


def play(client: Path, script: str) -> None:
    (client / "docker").write_text(f"#!/bin/sh\n{script}\n")
    (client / "docker").chmod(0o755)


def test_no_docker_client(client: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == main(["up", "--runtime", "compose"])

    said = capsys.readouterr().err
    assert "✘ no docker client on PATH" in said
    assert "--runtime local" in said


def test_a_client_without_a_daemon(client: Path, capsys: pytest.CaptureFixture[str]) -> None:
    play(client, f'[ "$1" = compose ] && echo 2.26.1 && exit; echo "{NO_DAEMON}" >&2; exit 1')

    assert 1 == main(["up", "--runtime", "compose"])

    said = capsys.readouterr().err
    assert "✘ no container engine answers" in said
    assert NO_DAEMON in said
    assert "--runtime local" in said


def test_an_engine_without_compose(client: Path, capsys: pytest.CaptureFixture[str]) -> None:
    play(
        client,
        """[ "$1" = version ] && echo 26.1.5 && exit; echo "docker: 'compose' is not a docker command." >&2; exit 1""",
    )

    assert 1 == main(["up", "--runtime", "compose"])

    said = capsys.readouterr().err
    assert "✘ docker has no Compose v2" in said
    assert "--runtime local" in said


def test_a_daemon_that_goes_away_in_the_middle(client: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = 'case "$1" in version) echo 26.1.5; exit;; compose) [ "$2" = version ] && echo 2.26.1 && exit;; esac'
    play(client, f'{answers}; echo "{NO_DAEMON}" >&2; exit 1')

    for command in (["up"], ["down"], ["ps"], ["restart"], ["logs"]):
        assert 1 == main([*command, "--runtime", "compose"])
        said = capsys.readouterr().err
        assert "✘ no container engine answers" in said
        assert "--runtime local" in said


def test_a_compose_that_refuses_the_file_is_quoted(client: Path, capsys: pytest.CaptureFixture[str]) -> None:
    play(
        client,
        """case "$1 $2" in "version "*) echo 26.1.5; exit;; "compose version") echo 2.26.1; exit;; "image ls")
        echo redis:8-alpine sha256:1; exit;; "ps "*) exit;; esac
        echo 'time="x" level=warning msg="version is obsolete"' >&2
        echo 'validating docker-compose.yml: services.redis Additional property colour is not allowed' >&2; exit 15""",
    )

    assert 1 == main(["up", "--runtime", "compose"])

    assert "services.redis Additional property colour is not allowed" in capsys.readouterr().err


def test_a_question_that_nobody_would_see_finds_no_answer_and_the_variables_of_the_stack_are_there(
    client: Path,
) -> None:
    play(client, 'read -r answer && exit 3; [ "$COLOUR" = "dark blue" ] || exit 4')
    script = """
from pathlib import Path
from devctl.stack.compose.client import Client
with Client([Path("docker-compose.yml")], Path(), "shop", {"COLOUR": "dark blue"}).changing() as whales:
    whales.compose.up(["redis"], start=False, quiet=True)
"""
    asked = subprocess.run([sys.executable, "-c", script], input=b"y\n", capture_output=True, check=False)
    assert (0, b"") == (asked.returncode, asked.stderr)
