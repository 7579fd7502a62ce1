"""Flower, stock, beside a worker of ours."""

import json
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from tests.interop.conftest import free_port, need
from tests.interop.peers import clean_environment, eventually, our_worker


class Flower:
    def __init__(self, url, folder):
        self.address = f"http://127.0.0.1:{(port := free_port())}"
        self.log = folder / "flower.log"
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(
                [
                    str(need("celery-newest") / "bin" / "celery"),
                    f"--broker={url}",
                    f"--result-backend={url}",
                    "flower",
                    "--address=127.0.0.1",
                    f"--port={port}",
                ],
                env=clean_environment() | {"FLOWER_UNAUTHENTICATED_API": "true"},
                cwd=folder,
                stdout=out,
                stderr=out,
            )

    def get(self, path):
        """What it answers, or None while it does not."""
        try:
            with urllib.request.urlopen(self.address + path, timeout=10) as answer:
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return None

    def post(self, path, body=b""):
        with urllib.request.urlopen(
            urllib.request.Request(self.address + path, body, method="POST"), timeout=10
        ) as answer:
            return json.load(answer)


@pytest.fixture
def flower(own_url, tmp_path):
    started = Flower(own_url, tmp_path)
    yield started
    started.process.kill()
    started.process.wait(10)


def test_flower_sees_the_worker_its_queues_and_what_became_of_a_task(start, own_url, client_at, flower):
    worker = start(our_worker, own_url)
    client = client_at("celery-newest", own_url)
    workers = eventually(lambda: (flower.get("/api/workers?refresh=true") or {}).get(worker.hostname), 30, every=0.2)
    assert [queue["name"] for queue in workers["active_queues"]] == ["default", "other", "third"]
    assert any(name.startswith("interop.add") for name in workers["registered"])
    assert workers["stats"]["pool"]["max-concurrency"] == 1

    def state(task, word):
        info = flower.get(f"/api/task/info/{task}")
        return info if info and info["state"] == word else None

    def seen():
        """Flower switches events on some seconds after it has begun; what ran before it does not know."""
        task = client.send("interop.add", [2, 3])
        client.get(task)
        time.sleep(0.3)
        return state(task, "SUCCESS")

    done = eventually(seen, 20, every=0.2)
    good, bad = done["uuid"], client.send("interop.boom", ["seen in Flower"])
    assert (done["name"], done["args"], done["result"], done["worker"]) == (
        "interop.add",
        "[2, 3]",
        "5",
        worker.hostname,
    )
    assert 0 <= done["runtime"] < 5
    failed = eventually(lambda: state(bad, "FAILURE"), 15, every=0.2)
    assert failed["exception"] == "ValueError('seen in Flower')"
    assert eventually(lambda: flower.get("/api/workers?status=true"))[worker.hostname] is True
    assert flower.get(f"/api/task/result/{good}") == {"task-id": good, "state": "SUCCESS", "result": 5}
    lengths = flower.get("/api/queues/length")["active_queues"]
    assert {one["name"]: one["messages"] for one in lengths} == {"default": 0, "other": 0, "third": 0}
    sent = flower.post("/api/task/send-task/interop.add", json.dumps({"args": [20, 22], "queue": "default"}).encode())
    assert client.get(sent["task-id"]) == 42
    told = flower.post(f"/api/worker/queue/add-consumer/{worker.hostname}?queue=extra")
    assert "extra" in told["message"]
    assert flower.process.poll() is None
