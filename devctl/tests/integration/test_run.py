"""devctl run on a terminal: a worker in place of its replica, a breakpoint in it, and the replica back afterwards."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import psutil
import pytest
from devctl.tests.integration.checkout import PATIENCE_SECONDS, Checkout, eventually, new

from devctl.stack import ports
from devctl.stack.start import start

pytestmark = pytest.mark.integration


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    checkout = new(tmp_path / "checkout")
    yield checkout
    checkout.runtime.stop(volumes=True)


def test_a_breakpoint_opens_a_prompt_no_limit_ends_it_and_ctrl_c_gives_the_replica_back(checkout: Checkout) -> None:
    assert start(checkout.runtime, ["worker"]).failure is None
    (before,) = checkout.replicas("worker")

    with checkout.devctl("run", "worker") as terminal:
        terminal.expect("Ctrl-C ends it and gives its replica back")
        terminal.expect("ready")
        assert [] == checkout.replicas("worker")
        with checkout.devctl("up", "worker") as other:
            other.expect(r"worker runs in a terminal \(devctl run\)")
            other.expect(pexpect.EOF)
        with checkout.devctl("ps") as other:
            other.expect(r"worker runs in a terminal \(devctl run\)")
        assert [] == checkout.replicas("worker")
        task = checkout.publish("jobs.stop_here", 41)
        terminal.expect_exact("(Pdb) ")
        time.sleep(2.5)  # its time limit is one second
        terminal.sendline("p answer")
        terminal.expect_exact("42")
        terminal.expect_exact("(Pdb) ")
        terminal.sendline("q")
        terminal.expect_exact("the task goes on")
        terminal.expect(f"{task.id}.*succeeded")
        terminal.sendintr()
        terminal.expect("run      worker stopped; its replica started again")
        terminal.expect(pexpect.EOF)
        terminal.close()

    assert 130 == terminal.exitstatus
    (after,) = checkout.replicas("worker")
    assert before.started_at != after.started_at


def test_a_breakpoint_in_a_replica_is_one_line_in_its_log_and_the_task_goes_on(checkout: Checkout) -> None:
    assert start(checkout.runtime, ["worker"]).failure is None

    assert 2 == checkout.publish("jobs.stop_here", 1).get(20)

    assert checkout.logged("worker", "breakpoint.passed")
    assert checkout.logged("worker", "devctl run SERVICE")


def test_a_devctl_that_is_killed_gives_the_replica_back_and_its_own_process_ends(checkout: Checkout) -> None:
    assert start(checkout.runtime, ["worker"]).failure is None
    with checkout.devctl("run", "worker") as terminal:
        terminal.expect("gives its replica back")
        terminal.expect("ready")
        (service,) = [one for one in psutil.Process(terminal.pid).children() if "devctl.guard" not in one.cmdline()]

        os.kill(terminal.pid, 9)

        eventually(lambda: checkout.replicas("worker"))
        assert not service.is_running() or service.status() == psutil.STATUS_ZOMBIE


def test_a_service_that_does_not_run_is_run_and_leaves_nothing(checkout: Checkout) -> None:
    with checkout.devctl("run", "worker") as terminal:
        terminal.expect("Ctrl-C ends it")
        terminal.expect("ready")
        terminal.sendintr()
        terminal.expect(pexpect.EOF)

    assert ["redis"] == [one.service for one in checkout.runtime.status()], "what it depends on was started, and stays"


def test_an_editor_stops_a_task_no_limit_ends_it_and_it_goes_on(checkout: Checkout) -> None:
    port = ports.any_free()
    with checkout.devctl("run", "worker", "--debugpy", str(port)) as terminal:
        terminal.expect("begins when an editor connects")
        with Editor(port) as editor:
            terminal.expect("ready")
            task = checkout.publish("jobs.stop_here", 41)
            thread = editor.event("stopped")["threadId"]
            time.sleep(2.5)  # its time limit is one second
            editor.ask("continue", threadId=thread)
            terminal.expect(f"{task.id}.*succeeded")
        terminal.sendintr()
        terminal.expect(pexpect.EOF)


def test_debugpy_that_is_not_there_is_an_error_before_anything_stops(checkout: Checkout) -> None:
    checkout.write("worker/debugpy.py", "raise ImportError\n")
    assert start(checkout.runtime, ["worker"]).failure is None
    before = checkout.replicas("worker")

    with checkout.devctl("run", "worker", "--debugpy", "5678") as terminal:
        terminal.expect("the environment of worker has no debugpy")
        terminal.expect("install debugpy for ")
        terminal.expect(pexpect.EOF)
        terminal.close()

    assert 1 == terminal.exitstatus
    assert before == checkout.replicas("worker")


class Editor:
    """The client's side of the Debug Adapter Protocol: JSON after a Content-Length."""

    def __init__(self, port: int) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (connection := _connected(port)) is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        self._connection = connection
        self._stream = self._connection.makefile("rb")
        self._asked = 0

    def __enter__(self) -> Editor:
        self.ask("initialize", adapterID="test")
        self.ask("attach", justMyCode=True)
        self.event("initialized")
        self.ask("configurationDone")
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def ask(self, command: str, **arguments: object) -> None:
        self._asked += 1
        body = json.dumps({"seq": self._asked, "type": "request", "command": command, "arguments": arguments}).encode()
        self._connection.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    def event(self, name: str) -> dict[str, Any]:
        """Wait for it, and return what it says."""
        while True:
            length = int(self._stream.readline().partition(b":")[2])
            self._stream.readline()
            message = json.loads(self._stream.read(length))
            if (message["type"], message.get("event")) == ("event", name):
                return dict(message.get("body") or {})


def _connected(port: int) -> socket.socket | None:
    try:
        return socket.create_connection(("127.0.0.1", port), timeout=20)
    except OSError:
        return None
