"""A trace, followed while it happens."""

from __future__ import annotations

import pytest
from devctl.tests.unit.trace.steps import MAIL, ORDER, at, claimed, ended, published

from devctl.broker.memory import MemoryBroker, MemoryLife
from devctl.trace.look import Looking
from devctl.trace.model import Trace


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker(life=MemoryLife(clock=lambda: at(100)), eager=False)


def test_it_is_drawn_with_what_is_new_until_all_has_ended(broker: MemoryBroker) -> None:
    broker.life.records += [published(0), claimed(1)]
    looking = Looking(broker, ORDER)
    looking.trace()
    drawn = looking.follow()

    assert ([], "claimed") == (next(drawn)[1], next(drawn)[0].state)
    broker.life.records.append(ended(20, 10))
    trace, new = next(drawn)

    assert ("succeeded", [ended(20, 10)]) == (trace.state, new)
    assert [] == list(drawn)


def test_what_came_before_anybody_knew_that_it_belongs_here_is_there_in_the_end(broker: MemoryBroker) -> None:
    broker.life.records += [published(0), claimed(1)]
    looking = Looking(broker, ORDER)
    looking.trace()
    drawn = looking.follow()
    broker.life.records.append(claimed(15, "n1"))  # of a message of which only its tag is known yet
    next(drawn)
    broker.life.records += [ended(20, 10), ended(30, 5, task_id=MAIL, tag="n1", parent_id=ORDER)]

    trace, _ = next(drawn)

    assert isinstance(trace, Trace)
    assert [True, True] == [one.attempts[0].claimed is not None for one in trace.tasks]
