"""Health checks as devctl runs them; a check is a line of shell."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from devctl.stack.local import probe
from devctl.stack.local.probe import Prober, Subject
from devctl.stack.model import HealthCheck

LONG_AGO = 3600.0


def subject(line: str, *, age: float = LONG_AGO, folder: Path = Path("/"), **check: float) -> Subject:
    settled = HealthCheck(("CMD",), **{"interval": 10.0, "timeout": 5.0, "start_interval": 0.0, **check})  # type: ignore[arg-type]
    return Subject("a-1", 1, time.time() - age, settled, ("/bin/sh", "-c", line), folder=str(folder))


def look(prober: Prober, *subjects: Subject) -> list[tuple[str, str]]:
    return list(prober.look(subjects).values())


def test_a_check_that_passes_is_healthy_at_the_first_look() -> None:
    assert [("healthy", "fine")] == look(Prober(), subject("echo fine"))


def test_a_check_that_passes_and_says_that_it_is_degraded_is_that() -> None:
    prober, one = Prober(), subject("echo degraded: orders is paused", interval=1000)
    assert [("degraded", "orders is paused")] == look(prober, one)
    assert [("degraded", "orders is paused")] == look(prober, one)  # and it is not asked again before its interval
    assert prober._runs == {}


def test_a_check_that_fails_says_why(tmp_path: Path) -> None:
    assert [("unhealthy", "503")] == look(Prober(), subject("echo 503; exit 1"))
    assert [("unhealthy", "exit 7")] == look(Prober(), subject("exit 7"))


def test_a_service_in_its_start_period_is_only_starting() -> None:
    assert [("starting", "no")] == look(Prober(), subject("echo no; exit 1", age=5, start_period=30))


def test_a_healthy_service_is_unhealthy_after_as_many_failures_as_the_check_allows(tmp_path: Path) -> None:
    prober = Prober()
    one = subject("test -e good", age=5, folder=tmp_path, retries=3, interval=1000)
    (tmp_path / "good").touch()
    assert "healthy" == look(prober, one)[0][0]
    (tmp_path / "good").unlink()
    prober._known["a-1", 1].asked = float("-inf")
    seen = []
    while len(seen) < 3:
        before = prober._known["a-1", 1].failures
        health = look(prober, one)[0][0]
        if prober._known["a-1", 1].failures > before:
            seen.append(health)
    assert ["healthy", "healthy", "unhealthy"] == seen


def test_a_healthy_service_is_not_asked_again_before_its_interval(tmp_path: Path) -> None:
    prober = Prober()
    one = subject("echo x >> count", folder=tmp_path, interval=1000)
    for _ in range(5):
        look(prober, one)
    assert "x\n" == (tmp_path / "count").read_text()


def test_a_new_process_of_the_same_name_is_another_subject() -> None:
    prober = Prober()
    look(prober, subject("true"))
    assert [("unhealthy", "exit 1")] == look(prober, replace(subject("exit 1"), pid=2))


def test_a_check_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_FIRST_ANSWER_SECONDS", 0.05)
    prober, hanging = Prober(), subject("echo asking; (sleep 0.5; touch survived) & wait", folder=tmp_path, timeout=0.1)
    assert [("starting", "")] == look(prober, hanging)
    deadline = time.monotonic() + 5
    while look(prober, hanging)[0][1] != "no answer in 0.1 s: asking":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.6)
    assert not (tmp_path / "survived").exists()
    prober.look([])


def test_many_checks_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_FIRST_ANSWER_SECONDS", 10.0)
    many = [replace(subject("sleep 0.2"), name=f"a-{number}") for number in range(10)]
    begun = time.monotonic()
    assert [("healthy", "")] * 10 == look(Prober(), *many)
    assert time.monotonic() - begun < 1.9


def test_a_command_that_is_not_there_fails_its_check() -> None:
    missing = replace(subject(""), command=("/no/such/check",))
    assert [("unhealthy", "/no/such/check: No such file or directory")] == look(Prober(), missing)


def test_a_check_that_talks_much_does_not_block() -> None:
    ((health, said),) = look(Prober(), subject("head -c 300000 /dev/zero | tr '\\0' x"))
    assert ("healthy", 2000) == (health, len(said))


def test_while_no_port_is_open_a_young_service_is_not_asked(tmp_path: Path) -> None:
    asked: Callable[[], bool] = (tmp_path / "asked").exists
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        prober, one = Prober(), replace(subject("touch asked", age=0.5, folder=tmp_path), ports=(port,))
        assert [("starting", f"nothing listens on port {port} yet")] == look(prober, one)
        assert not asked()
        server.listen()
        assert "healthy" == look(prober, one)[0][0]
        assert asked()


def test_a_question_takes_the_place_of_a_command() -> None:
    one = replace(subject(""), ask=lambda timeout: (timeout > 1, "PING: LOADING"))
    assert [("unhealthy", "PING: LOADING")] == look(Prober(), one)
