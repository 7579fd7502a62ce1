"""devctl run on a terminal: a worker in place of its replica, a breakpoint in it, and the replica back afterwards."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import psutil
import pytest
from devctl.tests.integration.checkout import Checkout, eventually, new

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
        terminal.expect("run      worker ended with 1; its replica started again")
        terminal.expect(pexpect.EOF)
        terminal.close()

    assert 1 == terminal.exitstatus, "what Celery ends with after a Ctrl-C"
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


def test_debugpy_that_is_not_there_is_an_error_with_the_command_that_installs_it(checkout: Checkout) -> None:
    with checkout.devctl("run", "worker", "--debugpy", "5678") as terminal:
        terminal.expect("the environment of worker has no debugpy")
        terminal.expect("-m pip install debugpy")
        terminal.expect(pexpect.EOF)
        terminal.close()
    assert 1 == terminal.exitstatus
