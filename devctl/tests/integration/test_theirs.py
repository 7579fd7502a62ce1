"""bench and chaos on somebody else's workers, in containers: counted by id, and all put back, also after kill -9."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from devctl import settings
from devctl.broker.port import Broker
from devctl.workbench import Workbench

ROOT = Path(__file__).parents[3]
THEIRS = ROOT / "devctl/tests/repositories/fastapi"
pytestmark = [pytest.mark.integration, pytest.mark.containers, pytest.mark.timeout(400)]
CALL = ["--task", "create_report", "--args", "[5]", "--yes"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("theirs") / f"theirs-{os.getpid()}"
    shutil.copytree(THEIRS, folder)
    file = folder / "docker-compose.yml"
    file.write_text(file.read_text().replace("8004:8000", "8000").replace("5556:5555", "5555"))
    yield folder
    devctl(folder, "down", "--volumes")
    images = [f"{folder.name}-{service}" for service in ("web", "worker")]
    subprocess.run(["docker", "image", "rm", *images], capture_output=True, check=False)


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "devctl", *words, "--runtime", "compose"]


def environment(folder: Path) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("DEVCTL_", "CELERY_", "COMPOSE_"))
    }
    return {**kept, "DEVCTL_LOCKS": str(folder.parent)}


def devctl(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words), cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=300, check=False
    )


def containers(folder: Path) -> list[str]:
    listed = subprocess.run(
        ["docker", "ps", "-a", "--format", "{{.Names}}"], capture_output=True, text=True, check=True
    )
    return sorted(name for name in listed.stdout.split() if name.startswith(folder.name))


def validated(text: str, schema: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text)
    jsonschema.validate(document, json.loads((ROOT / f"docs/json/{schema}.schema.json").read_text()))
    return document


def test_a_kill_of_their_worker_is_counted_id_by_id_and_what_it_had_taken_is_held_by_a_setting(checkout: Path) -> None:
    before = sorted(one.name for one in checkout.iterdir() if one.name != ".devctl")

    done = devctl(checkout, "chaos", "kill-worker", *CALL, "--json")

    assert 1 == done.returncode, done.stderr
    own = validated(done.stdout, "chaos-task")["own"]
    (row,) = own["rows"]
    fates = ("done", "failed", "died", "queued", "held", "dead", "lost")
    assert row["published"] == sum(row[fate] for fate in fates)
    assert row["held"] > 0  # prefetched: noted as taken by a worker that is gone
    assert {"visibility_timeout", "worker_prefetch_multiplier"} <= {one["setting"] for one in own["reasons"]}
    assert not own["settings"]["acks_late"]
    assert [] == containers(checkout)
    assert before == sorted(one.name for one in checkout.iterdir() if one.name != ".devctl")


def events_are_off(broker: Broker) -> bool:
    """Asked by switching them on: who did not send them before is told."""
    nodes = [one.node for one in broker.consumers()]
    were_off = broker.send_events(nodes)
    broker.withhold_events(nodes)
    return bool(nodes) and were_off == nodes


def test_a_bench_of_their_task_counts_each_by_its_events_and_leaves_all_as_it_was_also_killed(checkout: Path) -> None:
    assert 0 == devctl(checkout, "up", "worker").returncode
    broker = Workbench(settings.load(start=checkout, runtime="compose")).broker
    call = ["bench", *CALL, "--tasks", "60", "--warmup", "0", "--repeats", "3"]

    done = devctl(checkout, *call, "--json")

    assert 0 == done.returncode, done.stderr
    document = validated(done.stdout, "bench")
    assert ("events", False) == (document["counted"]["by"], document["counted"]["proves_once"])
    assert (180, 180, 0) == tuple(document["audit"][name] for name in ("published", "executed", "lost"))
    assert document["points"][0]["throughput"]["median"] > 0
    assert events_are_off(broker)

    running = subprocess.Popen(command(*call), cwd=checkout, env=environment(checkout), stderr=subprocess.DEVNULL)
    queues: list[str] = []
    until(lambda: bool(queues.extend(_of_a_bench(broker)) or queues), "a run has begun")
    running.send_signal(signal.SIGKILL)
    running.wait()

    until(lambda: not _of_a_bench(broker), "the guard has removed its queue")
    until(lambda: events_are_off(broker), "and switched the events off")


def _of_a_bench(broker: Broker) -> list[str]:
    consumed = [queue for one in broker.consumers() for queue in one.queues]
    return [name for name in {*consumed, *(one.name for one in broker.queues([]))} if name.startswith("bench.")]


def until(condition: Any, what: str, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.2)
