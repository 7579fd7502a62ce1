"""devctl demo on real services: the story it tells, and what is left of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from html import unescape
from pathlib import Path

import jsonschema
import psutil
import pytest

ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    checkout = tmp_path / "a demo shop"
    checkout.mkdir()
    shutil.copy(ROOT / "docker-compose.yml", checkout)
    return checkout


def environment(folder: Path, ports: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DEVCTL_", "CELERY_"))}
    return {**kept, "DEVCTL_RUNTIME": "local", "DEVCTL_LOCKS": str(folder), **ports}


def free_ports() -> dict[str, str]:
    found = {}
    for name in ("REDIS_PORT", "SERVICE1_PORT", "SERVICE2_PORT"):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            found[name] = str(probe.getsockname()[1])
    return found


def begin(folder: Path, *arguments: str, ports: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "devctl", *arguments],
        cwd=folder,
        env=environment(folder, ports),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def devctl(folder: Path, *arguments: str, ports: dict[str, str] | None = None) -> str:
    process = begin(folder, *arguments, ports=ports or free_ports())
    out, err = process.communicate(timeout=150)
    assert 0 == process.returncode, f"{out}\n{err}"
    return out


def processes(folder: Path) -> list[str]:
    """Everything that runs for this folder: supervisor, Redis, services, guards."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd", "status"]):
        told = process.info
        mine = str(folder) in " ".join([*(told["cmdline"] or []), told["cwd"] or ""])
        if mine and told["status"] != psutil.STATUS_ZOMBIE:
            found.append(" ".join(told["cmdline"] or []))
    return found


def shape(told: str) -> list[str]:
    """The words that every run prints: no figures, no ids, no bars."""
    return [word for word in told.partition("start ")[2].split() if not re.search(r"[\d░█]|^[a-f]{8}$", word)]


def rate(told: str) -> int:
    found = re.search(r"([\d,]+) tasks/s", told)
    assert found
    return int(found[1].replace(",", ""))


@pytest.mark.examples
def test_kept_beside_another_stack_it_can_be_used_and_the_next_demo_takes_its_place(folder: Path) -> None:
    taken = free_ports()
    devctl(folder, "up", "service1", ports=taken)
    try:
        document = json.loads(devctl(folder, "demo", "--keep", "--json", ports=taken))
        sent = json.loads(devctl(folder, "send-task", "--wait", "--json", "--stack", "demo", ports=taken))
        order = document["journey"][0]["task_id"]
        traced = json.loads(devctl(folder, "trace", order[:8], "--json", "--stack", "demo", ports=taken))
        told = devctl(folder, "demo", ports=taken)
        still_there = json.loads(devctl(folder, "ps", "--json", ports=taken))["services"]
    finally:
        devctl(folder, "down", ports=taken)

    jsonschema.validate(document, json.loads((ROOT / "docs/json/demo.schema.json").read_text(encoding="utf-8")))
    assert ["tasks.process_order", "tasks.send_notification"] == [span["task"] for span in document["journey"]]
    assert "succeeded" == sent["tasks"][0]["state"]

    jsonschema.validate(traced, json.loads((ROOT / "docs/json/trace.schema.json").read_text(encoding="utf-8")))
    assert [
        ("POST /api/orders", "service1", None),
        ("tasks.process_order", "worker", 0),
        ("tasks.send_notification", "service2", 1),
    ] == [(one["name"], one["who"].partition("@")[0], one["parent"]) for one in traced["spans"]]
    assert ("succeeded", [], order) == (traced["state"], traced["gaps"], traced["spans"][1]["id"])
    steps = [
        one["attempts"][0][step]
        for one in traced["spans"][1:]
        for step in ("queued", "claimed", "began", "ended", "settled")
    ]
    assert None not in steps
    assert sorted(steps) == steps  # the notification is published when the order is committed

    assert ["start", "order", "follow", "bench", "stop"] == [
        line.split()[1] for line in told.splitlines() if line[:1].isdigit()
    ]
    assert "POST /api/orders → 202" in told
    assert "EMAIL to" in told
    assert "lost 0 · doubled 0" in told

    picture = (ROOT / "docs" / "demo.svg").read_text(encoding="utf-8")
    drawn = " ".join(unescape(word) for word in re.findall(r"<text [^>]*>([^<]+)</text>", picture))
    assert shape(told) == shape(drawn), "docs/demo.svg shows another demo: make docs"
    assert rate(told) < 10 * rate(drawn), "docs/demo.svg is of a slower devctl: make docs"

    assert ["redis", "service1"] == [one["name"] for one in still_there if one["state"] == "running"]
    assert [] == processes(folder)
    assert not (folder / ".devctl" / "stacks" / "demo").exists()


def test_a_killed_demo_leaves_no_process(folder: Path) -> None:
    ports = free_ports()
    told = begin(folder, "demo", ports=ports)
    end = time.monotonic() + 60
    while not any("worker.main" in one for one in processes(folder)) and time.monotonic() < end:
        time.sleep(0.1)
    assert any("worker.main" in one for one in processes(folder))
    told.kill()
    told.communicate()

    while processes(folder) and time.monotonic() < end + 60:
        time.sleep(0.2)
    assert [] == processes(folder)
    assert not (folder / ".devctl" / "stacks" / "demo").exists()
