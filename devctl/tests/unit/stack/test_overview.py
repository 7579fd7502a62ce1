"""What `ps` says of replicas."""

from __future__ import annotations

import pytest

from devctl.stack.overview import overview
from devctl.stack.port import Health, Replica

NOW = 1000.0


@pytest.mark.parametrize(
    ("since", "restarts", "health", "state"),
    [
        (2.0, 3, "none", "restarting"),
        (2.0, 3, "starting", "restarting"),
        (2.0, 3, "healthy", "running"),
        (2.0, 0, "none", "running"),
        (60.0, 3, "none", "running"),
    ],
)
def test_a_container_that_was_just_restarted_by_the_engine_is_in_a_loop(
    since: float, restarts: int, health: Health, state: str
) -> None:
    replica = Replica("worker", "worker-1", "running", health, restarts=restarts, started_at=NOW - since)

    (found,) = overview([replica], {}, NOW)

    assert (state, state) == (found.state, found.instances[0].state)
    assert (1 if state == "running" else 0) == found.ready


def test_a_job_that_ended_well_is_done_and_nothing_else_is() -> None:
    ended = [Replica(name, f"{name}-1", "exited", exit_code=code) for name, code in (("a", 0), ("b", 1), ("c", 0))]

    found = overview(ended, {}, NOW, lambda name: name in "ab")

    assert [True, False, False] == [one.done for one in found]
