"""The stack in real containers, by plain `docker compose`: started, hardened, scaled, changed, stopped."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
import redis
import yaml

from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings

ROOT = Path(__file__).parents[1]
ALL = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
SERVICES = {name: one for name, one in ALL.items() if "profiles" not in one}  # without a profile, what is started
BUILT = {name: Path(one["build"]["context"]).name for name, one in SERVICES.items() if "build" in one}
PORTS = {name: re.findall(r"\$\{(\w+)", one["ports"][0])[0] for name, one in SERVICES.items() if one.get("ports")}
CONTEXTS = ("celeriac", "common", *BUILT.values())
MEBIBYTE = 1024 * 1024

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def docker(*arguments: str, **options) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr[-3000:]}"
    return done.stdout


def inspect(template: str, *names: str) -> list:
    return [json.loads(line) for line in docker("inspect", "--format", template, *names).splitlines()]


class Stack:
    """A copy of the services, to be changed at will, under a project name and ports of its own."""

    def __init__(self, folder: Path, project: str) -> None:
        self.folder = folder
        self.project = project
        self.ports = {name: free_port() for name in PORTS}
        unset = {"CELERY_BROKER_URL", "COMPOSE_FILE", "COMPOSE_PROJECT_NAME"}
        self.environment = {name: value for name, value in os.environ.items() if name not in unset} | {
            "WORKER_MOUNT": "celeriac.workbench",  # for the test of a stop
            **{PORTS[name]: str(port) for name, port in self.ports.items()},
        }

    def compose(self, *arguments: str) -> str:
        return docker("compose", "-p", self.project, *arguments, cwd=self.folder, env=self.environment)

    def up(self, *arguments: str) -> None:
        self.compose("up", "--wait", "--wait-timeout", "120", "--quiet-pull", *arguments)

    def containers(self) -> dict[str, list[dict]]:
        """Service -> what `docker compose ps` says of its containers."""
        found: dict[str, list[dict]] = {}
        for line in self.compose("ps", "--all", "--format", "json").splitlines():
            one = json.loads(line)
            found.setdefault(one["Service"], []).append(one)
        return found

    def ids(self, service: str) -> list[str]:
        return [one["ID"] for one in self.containers()[service]]

    def image(self, service: str) -> str:
        return f"{self.project}-{service}"

    def run_in(self, service: str, *command: str) -> str:
        return self.compose("exec", "-T", service, *command)

    def change(self, file: str) -> None:
        with (self.folder / file).open("a") as code:
            code.write(f"\n# changed {time.time_ns()}\n")


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stack with space")
    for file in ("docker-compose.yml", "Dockerfile", "Dockerfile.dockerignore"):
        shutil.copy(ROOT / file, folder)
    for context in CONTEXTS:
        shutil.copytree(
            ROOT / context, folder / context, ignore=shutil.ignore_patterns("tests", "__pycache__", ".*cache")
        )
    stack = Stack(folder, project := f"workbench-test-{os.getpid()}")
    try:
        stack.up("--build")
        yield stack
    except AssertionError:
        print(stack.compose("ps", "--all"), stack.compose("logs", "--tail", "20"))
        raise
    finally:
        stack.compose("down", "--volumes", "--timeout", "3", "--rmi", "local")
        # what the rebuilt images replaced
        pruned = ["docker", "image", "prune", "--force", "--filter", f"label=com.docker.compose.project={project}"]
        while subprocess.run(pruned, capture_output=True, check=False).returncode:  # the engine takes one at a time
            time.sleep(0.2)


def test_one_command_brings_everything_healthy(stack):
    states = {name: [(one["State"], one["Health"]) for one in many] for name, many in stack.containers().items()}
    assert states == {key: [("running", "healthy")] for key in ("redis", *BUILT)}


@pytest.mark.examples
def test_an_order_by_http_is_carried_out(stack):
    order = {
        "customer_id": "c-1",
        "items": [{"product_id": "book", "quantity": 1}],
        "total_amount": "9.50",
        "priority": "LOW",
    }
    base = f"http://127.0.0.1:{stack.ports['service1']}"
    request = urllib.request.Request(
        f"{base}/api/orders", json.dumps(order).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status == 202
        location = answer.headers["Location"]
    assert eventually(lambda: json.load(urllib.request.urlopen(base + location, timeout=5))["status"], "succeeded")


def test_nothing_listens_beyond_loopback(stack):
    published = [port for many in stack.containers().values() for one in many for port in one["Publishers"] or []]
    assert {port["URL"] for port in published if port["PublishedPort"]} == {"127.0.0.1"}


@pytest.mark.parametrize("service", BUILT)
def test_a_service_has_no_rights(stack, service):
    status = stack.run_in(service, "cat", "/proc/self/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == ["10001"] * 4
    assert int(fields["CapBnd"], 16) == 0
    assert fields["NoNewPrivs"] == "1"


def test_redis_has_no_rights_either(stack):
    status = stack.run_in("redis", "sh", "-c", "cat /proc/self/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert "0" not in fields["Uid"].split()
    assert int(fields["CapBnd"], 16) == 0


@pytest.mark.parametrize("service", ["redis", *BUILT])
def test_the_file_system_of_a_container_is_read_only(stack, service):
    with pytest.raises(AssertionError, match="Read-only file system"):
        stack.run_in(service, "touch", "/planted")


@pytest.mark.parametrize("service", BUILT)
def test_an_image_is_at_most_50_mb_above_its_base(stack, service):
    image, base = inspect("{{json .Size}}", stack.image(service), "python:3.11-slim")
    assert (image - base) / MEBIBYTE <= 50


@pytest.mark.parametrize("service", BUILT)
def test_no_package_of_the_tests_or_of_devctl_is_in_an_image(stack, service):
    script = (
        "import importlib.util as u; print([n for n in ('pytest', 'typer', 'rich', 'uv', 'pip') if u.find_spec(n)])"
    )
    assert stack.run_in(service, "python", "-c", script).strip() == "[]"


def test_redis_keeps_what_it_has_when_it_is_killed(stack):
    with redis.Redis(port=stack.ports["redis"]) as client:
        client.set("kept", "yes")
    time.sleep(1.1)  # appendfsync everysec
    stack.compose("kill", "--signal", "KILL", "redis")
    stack.up("redis")
    with redis.Redis(port=stack.ports["redis"]) as client:
        assert client.get("kept") == b"yes"
        client.delete("kept")


def test_the_worker_scales_to_four(stack):
    stack.up("--scale", "worker=4", "--no-recreate")
    assert [one["Health"] for one in stack.containers()["worker"]] == ["healthy"] * 4
    stack.up("--scale", "worker=1", "--no-recreate")
    assert len(stack.containers()["worker"]) == 1


def test_a_stop_lets_the_running_task_finish(stack):
    """The bench's ledger tells: a task that waits 3 s is claimed, the worker stops, the task ended all the same."""
    url = f"redis://127.0.0.1:{stack.ports['redis']}/0"
    celery = make_app("stop-test", CelerySettings(broker_url=url))
    queue, ledger = "bench.stop-test", "devctl:bench:stop-test:ledger"
    with redis.Redis.from_url(url) as client:
        nodes = [node for answer in celery.control.ping(timeout=2) for node in answer if node.startswith("worker@")]
        assert celery.control.add_consumer(queue, destination=nodes, reply=True, timeout=5)
        message = celery.send_task(
            "tasks.bench",
            args=[{"kind": "wait", "milliseconds": 3000, "source_service": "stop-test"}],
            queue=queue,
            headers={"bench_run": "stop-test"},
        )
        assert eventually(lambda: client.hlen("unacked"), 1)
        stack.compose("stop", "worker")
        (worker,) = stack.containers()["worker"]
        assert (worker["State"], worker["ExitCode"]) == ("exited", 0)
        assert client.hlen("unacked") == 0
        assert [json.loads(entry)[0] for entry in client.lrange(ledger, 0, -1)] == [message.id]
        client.delete(ledger)
    stack.up("worker")


def test_a_change_in_one_service_rebuilds_its_code_layer_and_nothing_else(stack):
    before = layers(stack)
    stack.change("worker/src/worker/config.py")
    stack.up("--build")
    after = layers(stack)
    assert before | {"worker": after["worker"]} == after
    assert after["worker"][:-1] == before["worker"][:-1]
    assert after["worker"][-1] != before["worker"][-1]


@pytest.mark.parametrize(
    ("file", "layer"), [("common/src/common_tasks/tasks.py", -1), ("celeriac/src/celeriac/errors.py", -2)]
)
def test_a_change_in_the_contracts_or_in_celeriac_reaches_every_service_in_one_layer(stack, file, layer):
    before, ids = layers(stack), {service: stack.ids(service) for service in BUILT}
    stack.change(file)
    stack.up("--build")
    after = layers(stack)
    for service in BUILT:
        changed = [
            one for one, (old, new) in enumerate(zip(before[service], after[service], strict=True)) if old != new
        ]
        assert [len(after[service]) + layer] == changed
        assert stack.ids(service) != ids[service]


def test_one_service_brings_redis_and_nothing_else(stack):
    alone = Stack(stack.folder, f"{stack.project}-alone")
    try:
        alone.up("worker")
        assert set(alone.containers()) == {"redis", "worker"}
    finally:
        alone.compose("down", "--volumes", "--timeout", "3", "--rmi", "local")


def test_two_checkouts_share_no_image(tmp_path):
    images = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        shutil.copy(ROOT / "docker-compose.yml", tmp_path / name)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("COMPOSE_")}
        found = docker("compose", "config", "--images", cwd=tmp_path / name, env=environment).split()
        images.append({image for image in found if image.startswith(name)})
    assert [{f"{name}-{service}" for service in BUILT} for name in ("one", "two")] == images


def layers(stack: Stack) -> dict[str, list[str]]:
    found = inspect("{{json .RootFS.Layers}}", *(stack.image(service) for service in BUILT))
    return dict(zip(BUILT, found, strict=True))


def eventually(read, wanted, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while (value := read()) != wanted:
        if time.monotonic() > deadline:
            pytest.fail(f"still {value!r} after {seconds:.0f} s, not {wanted!r}")
        time.sleep(0.05)
    return True
