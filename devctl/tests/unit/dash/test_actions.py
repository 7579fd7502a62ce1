from __future__ import annotations

import pytest

from devctl.clock import SystemClock
from devctl.dash.actions import Actions
from devctl.dash.fake import QUEUE, SERVICES, FakeStack
from devctl.errors import DevctlError, ServiceCrashed, UsageError
from devctl.stack.fake import Behaviour


@pytest.fixture
def shop() -> FakeStack:
    shop = FakeStack()
    shop.runtime.clock = SystemClock()  # a start waits by it
    shop.runtime.behaviours = dict.fromkeys(SERVICES, Behaviour(healthy_after=0.02))
    return shop


@pytest.fixture
def actions(shop: FakeStack) -> Actions:
    return Actions(shop.sources)


def test_scale_waits_until_the_replicas_are_ready(shop: FakeStack, actions: Actions) -> None:
    assert "worker has 3 replicas" == actions.scale("worker", 3)
    assert 3 == sum(one.service == "worker" for one in shop.runtime.status())


def test_what_cannot_be_scaled_says_why(actions: Actions) -> None:
    with pytest.raises(UsageError, match="web cannot have 2 replicas: it publishes the fixed port 8001"):
        actions.scale("web", 2)


def test_restart_starts_what_does_not_run(shop: FakeStack, actions: Actions) -> None:
    shop.runtime.stop(["web"])

    assert "web was started" == actions.restart("web")
    assert "web was restarted" == actions.restart("web")
    assert ["start web", "restart web"] == [one for one in shop.runtime.calls if "web" in one][-2:]


def test_a_service_that_crashes_is_an_error(shop: FakeStack, actions: Actions) -> None:
    shop.runtime.behaviours["web"] = Behaviour(healthy_after=None, exits_after=0.0)

    with pytest.raises(ServiceCrashed, match="web crashed"):
        actions.restart("web")


def test_a_paused_queue_is_not_claimed_from_until_it_is_resumed(shop: FakeStack, actions: Actions) -> None:
    shop.send(1)

    assert "images is paused: it takes messages in, and no worker takes one out" == actions.pause(QUEUE)
    assert 0 == shop.broker.work()
    assert "images is consumed again" == actions.resume(QUEUE)
    assert 1 == shop.broker.work()


def test_a_dead_letter_is_replayed_once_and_noted(shop: FakeStack, actions: Actions) -> None:
    letter = shop.bury("id-1")

    assert "images.resize is back in images: devctl trace id-1" == actions.replay(letter)
    assert ["task.replayed"] == shop.noted
    with pytest.raises(DevctlError, match="it was replayed or dropped before"):
        actions.replay(letter)


def test_a_dead_letter_that_the_contract_refuses_stays(shop: FakeStack, actions: Actions) -> None:
    letter = shop.bury("id-1", payload="no number")

    with pytest.raises(DevctlError, match="today's contract does not take it"):
        actions.replay(letter)
    assert shop.broker.letter(letter)


def test_a_dropped_dead_letter_is_gone(shop: FakeStack, actions: Actions) -> None:
    letter = shop.bury("id-1")

    assert f"the dead letter {letter} is gone for ever" == actions.drop(letter)
    with pytest.raises(DevctlError, match="it was replayed or dropped before"):
        actions.drop(letter)


def test_an_id_that_is_none_is_refused(actions: Actions) -> None:
    with pytest.raises(UsageError, match="not the id of a dead letter: orders"):
        actions.drop("orders")
