"""An order whose handler fails twice, dies, is replayed and done, as `devctl trace` tells it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TOOL = Path(__file__).parents[1] / "tools" / "story.py"

pytestmark = [pytest.mark.examples, pytest.mark.integration, pytest.mark.timeout(180)]


def _tool() -> Any:
    spec = importlib.util.spec_from_file_location("story", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["story"] = module
    spec.loader.exec_module(module)
    return module


story = _tool()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Any]:
    with story.staged(tmp_path) as played:
        yield played


def test_an_order_is_followed_through_failure_retry_death_and_replay_by_trace_alone(stage: Any) -> None:
    order = stage.order()
    letter = stage.dead(order)

    dead = stage.read("trace", order[:12], code=1)
    (task,) = (span for span in dead["spans"] if span["kind"] == "task")
    assert (story.TRACE_ID, "dead", letter) == (dead["correlation_id"], task["state"], task["dead_letter"])
    assert ["retried", "dead"] == [attempt["state"] for attempt in task["attempts"]]
    assert {story.WHY} == {attempt["error"] for attempt in task["attempts"]}
    assert "retries-exhausted" == task["reason"]

    stage.repair()
    stage.replay(letter)
    stage.done(order)

    done = stage.read("trace", story.TRACE_ID)
    request, first, _ = done["spans"]
    assert [
        ("POST /api/orders", None),
        ("tasks.process_order", request["number"]),
        ("tasks.send_notification", first["number"]),
    ] == [(span["name"], span["parent"]) for span in done["spans"]]
    assert ["retried", "dead", "succeeded"] == [attempt["state"] for attempt in first["attempts"]]
    assert [False, False, True] == [attempt["replay"] for attempt in first["attempts"]]
    assert all(one["queued"] <= one["claimed"] <= one["began"] <= one["ended"] for one in first["attempts"])
    assert (True, "succeeded", []) == (done["ended"], done["state"], done["gaps"])

    logged = stage.read("trace", order, "--logs")["spans"][1]["attempts"]
    starts = [[line for line in one["output"] if line.startswith("task.started")] for one in logged]
    assert [1, 1, 1] == list(map(len, starts))
    assert "retries=1" in starts[1][0]

    page = stage.folder / "trace.html"
    stage.devctl("trace", order, "-o", str(page))
    assert story.WHY in page.read_text()
    assert 2 == stage.devctl("trace", order).count(story.WHY)
