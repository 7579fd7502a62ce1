"""devctl up --watch on a terminal: a change is live as soon as it is saved; what runs is finished first, and once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from devctl.tests.integration.checkout import PATIENCE_SECONDS, Checkout, eventually, new

pytestmark = pytest.mark.integration


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    checkout = new(tmp_path / "checkout")
    yield checkout
    checkout.runtime.stop(volumes=True)


@pytest.fixture
def watching(checkout: Checkout) -> Iterator[pexpect.spawn[str]]:
    with checkout.devctl("up", "--watch") as terminal:
        terminal.expect_exact("watching worker, api: 3 files")
        yield terminal


def test_a_change_of_one_service_restarts_that_and_the_next_task_runs_the_new_code(
    checkout: Checkout, watching: pexpect.spawn[str]
) -> None:
    assert "aone" == checkout.publish("jobs.say").get(PATIENCE_SECONDS)
    (api,) = checkout.replicas("api")

    checkout.change("worker/jobs.py", 'SIGN = "a"', 'SIGN = "bb"')

    watching.expect_exact("worker/jobs.py changed → worker")
    watching.expect(r"worker live in \d")
    assert "bbone" == checkout.publish("jobs.say").get(PATIENCE_SECONDS)
    assert [api.pid] == [one.pid for one in checkout.replicas("api")]


def test_a_change_of_what_both_import_restarts_both(checkout: Checkout, watching: pexpect.spawn[str]) -> None:
    eventually(lambda: checkout.said_by_api() == "one")

    checkout.change("common/src/words.py", "one", "three")

    watching.expect_exact("common/src/words.py changed → worker, api")
    watching.expect(r"worker, api live in \d")
    eventually(lambda: checkout.said_by_api() == "three")
    assert "athree" == checkout.publish("jobs.say").get(PATIENCE_SECONDS)


def test_a_task_that_runs_is_finished_by_the_old_code_and_runs_once(
    checkout: Checkout, watching: pexpect.spawn[str], tmp_path: Path
) -> None:
    gate, log = tmp_path / "gate", tmp_path / "log"
    slow = checkout.publish("jobs.wait", str(gate), str(log))
    eventually(log.exists)

    checkout.change("worker/jobs.py", 'SIGN = "a"', 'SIGN = "bb"')
    watching.expect_exact("worker/jobs.py changed")
    eventually(lambda: checkout.logged("worker", "Warm shutdown"))
    assert not slow.ready()
    gate.touch()

    watching.expect("worker live in")
    assert "aone" == slow.get(PATIENCE_SECONDS)
    assert "begun\n" == log.read_text()
    assert "bbone" == checkout.publish("jobs.say").get(PATIENCE_SECONDS)


def test_a_file_that_cannot_be_compiled_keeps_the_old_code_running(
    checkout: Checkout, watching: pexpect.spawn[str]
) -> None:
    (before,) = checkout.replicas("worker")

    checkout.change("worker/jobs.py", "def say", "def (say")

    watching.expect_exact("worker/jobs.py:23: invalid syntax")
    watching.expect_exact("worker: the old code goes on")
    assert "aone" == checkout.publish("jobs.say").get(PATIENCE_SECONDS)
    assert [before.pid] == [one.pid for one in checkout.replicas("worker")]

    checkout.change("worker/jobs.py", "def (say", "def say")

    watching.expect("live already")
    assert [before.pid] == [one.pid for one in checkout.replicas("worker")]


def test_a_crash_of_the_new_code_is_shown_and_the_next_save_is_a_new_try(
    checkout: Checkout, watching: pexpect.spawn[str]
) -> None:
    checkout.change("worker/jobs.py", "from words", "from wordz")

    watching.expect("worker crashed")
    watching.expect_exact("No module named 'wordz'")
    checkout.change("worker/jobs.py", "from wordz", "from words")

    watching.expect("worker live in")
    assert "aone" == checkout.publish("jobs.say").get(PATIENCE_SECONDS)


def test_ctrl_c_ends_the_watching_and_not_the_services(checkout: Checkout, watching: pexpect.spawn[str]) -> None:
    (before,) = checkout.replicas("worker")
    watching.sendintr()
    watching.expect(pexpect.EOF)
    watching.close()

    assert 130 == watching.exitstatus
    assert [before.pid] == [one.pid for one in checkout.replicas("worker")]


def test_what_ran_old_code_when_the_watching_begins_is_restarted_first(checkout: Checkout) -> None:
    with checkout.devctl("up") as terminal:
        terminal.expect(pexpect.EOF)
    checkout.change("worker/jobs.py", 'SIGN = "a"', 'SIGN = "bb"')
    with checkout.devctl("ps") as terminal:
        terminal.expect_exact("code changed since it started: worker")

    with checkout.devctl("watch") as terminal:
        terminal.expect("worker .*restarted: its code or settings changed")
        terminal.expect_exact("watching worker, api")
        assert "bbone" == checkout.publish("jobs.say").get(PATIENCE_SECONDS)
