"""devctl chaos on real services: one row that holds, one that stock Celery breaks, and what is left afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import psutil
import pytest
import redis
import yaml

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / "docs/json/chaos.schema.json").read_text(encoding="utf-8"))
pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    checkout = tmp_path / "a chaos shop"
    checkout.mkdir()
    shutil.copy(ROOT / "docker-compose.yml", checkout)
    return checkout


def begin(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DEVCTL_", "CELERY_"))}
    # Somebody's own broker, which nothing may touch: whoever asks it is refused.
    mine = {"DEVCTL_RUNTIME": "local", "CELERY_BROKER_URL": "redis://127.0.0.1:1/0", "WORKER_POOL": "solo"}
    return subprocess.Popen(
        [sys.executable, "-m", "devctl", "chaos", *arguments],
        cwd=folder,
        env={**kept, **mine, "DEVCTL_LOCKS": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def chaos(folder: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    """One row."""
    process = begin(folder, *arguments, "--quick", "--json")
    out, err = process.communicate(timeout=150)
    assert code == process.returncode, f"{out}\n{err}"
    document = json.loads(out)
    jsonschema.validate(document, SCHEMA)
    (row,) = document["rows"]
    return dict(row)


def processes(folder: Path) -> list[str]:
    """Everything that runs for this folder: supervisor, Redis, services, guards."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd", "status"]):
        told = process.info
        mine = str(folder) in " ".join([*(told["cmdline"] or []), told["cwd"] or ""])
        if mine and told["status"] != psutil.STATUS_ZOMBIE:
            found.append(" ".join(told["cmdline"] or []))
    return found


def test_a_row_holds_and_nothing_is_left(folder: Path) -> None:
    row = chaos(folder, "redis-kill")

    assert ("held", 2) == (row["verdict"], row["fired"])
    assert row["accepted"] == row["done"] > 100
    assert (0, 0, 0) == (row["lost"], row["doubled"], row["waiting"])
    if "demo" in yaml.safe_load((folder / "docker-compose.yml").read_text())["x-devctl"]:  # an API that is asked
        assert row["answers"]["202"] > 10
    assert [] == processes(folder)
    assert not (folder / ".devctl" / "stacks" / "chaos").exists()


def test_the_same_checks_find_what_stock_celery_does_twice(folder: Path) -> None:
    row = chaos(folder, "storm", "--stock", code=1)

    assert ("broken", "100 doubled") == (row["verdict"], row["why"])
    assert [] == processes(folder)


def soak(folder: Path) -> subprocess.Popen[str]:
    return begin(folder, "soak", "--kills", "2", "--tasks", "4000", "--every", "1", "--json")


def began(folder: Path) -> bool:
    """Whether the ledger knows of a task of a soak."""
    file = folder / ".devctl/stacks/chaos/compose.yml"
    if not file.exists():
        return False
    (published,) = yaml.safe_load(file.read_text())["services"]["ledger"]["ports"]
    with redis.Redis(port=int(published.split(":")[1])) as ledger:
        try:
            return bool(list(ledger.scan_iter("chaos:*:bodies")))
        except redis.RedisError:
            return False


def test_a_short_soak_holds(folder: Path) -> None:
    process = soak(folder)
    out, err = process.communicate(timeout=150)
    assert 0 == process.returncode, f"{out}\n{err}"
    document = json.loads(out)
    jsonschema.validate(document, SCHEMA)
    (row,) = document["rows"]

    assert ("held", 4, 2, 2) == (row["verdict"], row["fired"], row["soak"]["kills"], row["soak"]["redis_kills"])
    assert row["accepted"] == row["done"] >= 4_000
    assert (0, 0, 0, 0) == (row["lost"], row["doubled"], row["waiting"], row["dead"])
    assert row["soak"]["bodies"] >= row["done"]
    assert all(min(curve["bytes"]) > 1_000_000 for curve in row["soak"]["memory"])
    assert [] == processes(folder)


def test_ctrl_c_shows_what_a_soak_knew_so_far_and_leaves_nothing(folder: Path) -> None:
    process = soak(folder)
    end = time.monotonic() + 90
    while not began(folder) and time.monotonic() < end:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=150)

    assert 130 == process.returncode, f"{out}\n{err}"
    (row,) = json.loads(out)["rows"]
    assert row["interrupted"]
    assert row["why"].startswith("interrupted; the fault happened")
    assert (0, 0) == (row["lost"], row["doubled"])
    assert row["done"] + row["waiting"] == row["accepted"] > 0
    assert [] == processes(folder)


def test_killed_in_mid_chaos_it_leaves_no_process(folder: Path) -> None:
    told = begin(folder, "worker-kill", "--quick")
    end = time.monotonic() + 60
    while not any("worker.main" in one for one in processes(folder)) and time.monotonic() < end:
        time.sleep(0.1)
    assert any("worker.main" in one for one in processes(folder))
    told.kill()
    told.communicate()

    while processes(folder) and time.monotonic() < end + 60:
        time.sleep(0.2)
    assert [] == processes(folder)
    assert not (folder / ".devctl" / "stacks" / "chaos").exists()
