"""What a docker client on PATH says, with clients made of three lines of shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from devctl.stack import engine


def client(folder: Path, version: str, compose: str) -> dict[str, str]:
    script = folder / "docker"
    script.write_text(f'#!/bin/sh\nif [ "$1" = compose ]; then\n{compose}\nelse\n{version}\nfi\n')
    script.chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def test_an_engine_with_compose_is_usable(tmp_path: Path) -> None:
    found = engine.look(client(tmp_path, "echo 26.1.5", "echo 2.26.1"))
    assert ("26.1.5", "2.26.1", True) == (found.server, found.compose, found.usable)
    assert ("", "") == found.lack


def test_without_a_client_there_is_none(tmp_path: Path) -> None:
    assert "no docker client on PATH" == engine.look({"PATH": str(tmp_path)}).lack[0]


def test_a_client_without_a_daemon_is_quoted(tmp_path: Path) -> None:
    found = engine.look(client(tmp_path, "echo; echo 'Cannot connect' >&2; exit 1", "echo 2.26.1"))
    assert not found.usable
    assert "Cannot connect" in found.lack[1]


@pytest.mark.parametrize("compose", ["echo \"'compose' is not a docker command\" >&2; exit 1", "echo 1.29.2"])
def test_no_compose_and_an_old_one_are_both_not_enough(compose: str, tmp_path: Path) -> None:
    found = engine.look(client(tmp_path, "echo 26.1.5", compose))
    assert "Compose v2" in found.lack[0]


def test_a_daemon_that_hangs_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_PATIENCE_SECONDS", 0.2)
    found = engine.look(client(tmp_path, "exec sleep 30", "echo 2.26.1"))
    assert "no container engine answers" == found.lack[0]
