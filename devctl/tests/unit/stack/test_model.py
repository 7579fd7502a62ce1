"""The stack's model: how many replicas a command line asks for, and who may have several."""

from __future__ import annotations

import pytest

from devctl.errors import UsageError
from devctl.stack.model import MOST_REPLICAS, Port, Service, Stack

STACK = Stack(
    name="shop",
    services={"web": Service("web", ports=(Port(8001, 8001),)), "worker": Service("worker", ports=(Port(9000, 0),))},
    broker="redis",
    workers=("worker",),
    aliases={"w": "worker"},
    contracts="",
)


def test_replicas_are_read_from_the_command_line() -> None:
    assert {"worker": 4, "web": 0} == STACK.scale(["w=4", "web=0"])


@pytest.mark.parametrize("text", ["worker", "worker=", "=4", "worker=many", "worker=-1", f"worker={MOST_REPLICAS + 1}"])
def test_what_is_no_number_of_replicas_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        STACK.scale([text])
    assert "worker=" in caught.value.hint or f"={MOST_REPLICAS}" in caught.value.hint


def test_a_fixed_host_port_cannot_be_held_twice() -> None:
    with pytest.raises(UsageError, match="web cannot have 2 replicas: it publishes the fixed port 8001") as caught:
        STACK.check_scale("web", 2)
    assert "worker" in caught.value.hint
    STACK.check_scale("web", 1)
    STACK.check_scale("worker", 5)
