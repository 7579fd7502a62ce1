"""The compose runtime on a real engine, with a stack of two small services."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from devctl import settings
from devctl.errors import CRASHED, TIMED_OUT, DevctlError
from devctl.settings import Settings
from devctl.stack import identity
from devctl.stack.compose import ComposeRuntime
from devctl.stack.engine import Daemon
from devctl.stack.port import BuildProgress
from devctl.stack.report import ServiceStart, StartReport, failure
from devctl.stack.start import restart, start

pytestmark = pytest.mark.containers

COMPOSE = """\
name: {name}
x-devctl: {{broker: redis, workers: [worker], contracts: ""}}
x-quick: &quick {{interval: 2s, start_period: 20s, start_interval: 100ms}}
services:
  redis:
    image: ${{REDIS_IMAGE:-redis:8-alpine}}
    init: true
    ports: ["127.0.0.1:${{REDIS_PORT:-0}}:6379"]
    volumes: ["data:/data"]
    healthcheck: {{<<: *quick, test: [CMD, redis-cli, ping]}}
  worker:
    build: {{context: ./worker, args: {{PYTHON_IMAGE: "${{PYTHON_IMAGE:-python:3.11-slim}}"}}}}
    init: true
    command: ["sh", "-c", "${{WORKER_RUNS:-echo ready; exec sleep 600}}"]
    restart: ${{RESTART:-unless-stopped}}
    depends_on: {{redis: {{condition: service_healthy}}}}
    stop_grace_period: 1s
    healthcheck: {{<<: *quick, test: [CMD-SHELL, "${{WORKER_CHECK:-true}}"]}}
volumes: {{data: {{}}}}
"""
DOCKERFILE = "ARG PYTHON_IMAGE\nFROM ${PYTHON_IMAGE}\nCOPY . /app\n"

Open = Callable[..., ComposeRuntime]


def docker(*words: str, **environment: str) -> str:
    env = {**os.environ, **environment}
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True, env=env).stdout


def checkout(folder: Path, name: str) -> Path:
    (folder / "worker").mkdir(parents=True)
    (folder / "docker-compose.yml").write_text(COMPOSE.format(name=name))
    (folder / "worker/Dockerfile").write_text(DOCKERFILE)
    return folder


def remove(name: str) -> None:
    for kind in (["ps", "--all"], ["volume", "ls"], ["network", "ls"]):
        found = docker(*kind, "--quiet", "--filter", f"label=com.docker.compose.project={name}").split()
        verb = ["rm", "--force", "--volumes"] if kind[0] == "ps" else [kind[0], "rm"]
        if found:
            docker(*verb, *found)
    if docker("image", "ls", "--quiet", f"{name}-worker"):
        docker("image", "rm", "--force", f"{name}-worker")
    pruned = ["docker", "image", "prune", "--force", "--filter", f"label=com.docker.compose.project={name}"]
    while subprocess.run(pruned, capture_output=True, check=False).returncode:  # the engine takes one at a time
        time.sleep(0.2)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A checkout whose path has a space in it; whatever its project left is removed."""
    name = f"devctl-test-{os.getpid()}"
    yield checkout(tmp_path / "a checkout", name)
    remove(name)
    remove(f"{name}-blue")


@pytest.fixture
def open_(root: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    monkeypatch.delenv("COMPOSE_PROJECT_NAME", raising=False)

    def open_(stack: str = "", where: Path = root, **variables: str) -> ComposeRuntime:
        for key, value in variables.items():
            monkeypatch.setenv(key, value)
        return ComposeRuntime.open(loaded(where, stack))

    return open_


def loaded(where: Path, stack: str = "") -> Settings:
    return settings.load(start=where, stack=stack)


def ids(project: str) -> list[str]:
    return docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={project}").split()


def failed(report: StartReport) -> ServiceStart:
    assert report.failure is not None
    return report.failure


def test_a_day_in_the_life_of_a_stack(open_: Open, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = open_()

    report = start(runtime, ["worker"])

    assert ["ready", "ready"] == [s.phase for s in report.services]
    assert ("worker",) == report.built
    assert "compose" == identity.last_runtime(loaded(root))

    before = ids(runtime.stack.name)
    again = start(runtime, ["worker"])
    assert all(s.was_running for s in again.services)
    assert ((), before) == (again.built, ids(runtime.stack.name))

    docker("compose", "-f", str(root / "docker-compose.yml"), "up", "--detach", "--wait", "worker")
    assert before == ids(runtime.stack.name), "plain Compose finds nothing to change either"

    host, port = runtime.address("redis", 6379)
    with socket.create_connection((host, port), timeout=2) as connection:
        connection.sendall(b"SET kept yes\r\nPING\r\n")
        assert b"+OK\r\n+PONG\r\n" == connection.recv(100)
    with pytest.raises(DevctlError, match="worker publishes no port 1, and its container cannot be reached"):
        runtime.address("worker", 1)

    scaled = start(runtime, ["worker"], scale={"worker": 3})
    assert "3 replicas" == scaled.services[1].detail
    assert ["redis-1", "worker-1", "worker-2", "worker-3"] == [r.name for r in runtime.status()]
    start(runtime, ["worker"])
    assert 4 == len(runtime.status()), "a start without a number keeps what runs"

    asked = runtime.status()
    monkeypatch.setattr(Daemon, "find", lambda: None)
    assert asked == open_().status(), "the docker client, for an engine elsewhere, says the same"
    assert {r.name for r in asked} == set(open_().usage())
    monkeypatch.undo()

    used = runtime.usage()
    assert {"redis-1", "worker-1", "worker-2", "worker-3"} == set(used)
    assert 1_000_000 < used["redis-1"].memory_bytes < 100_000_000

    shown = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "devctl", "ps", "--json"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ["redis", "worker"] == [service["name"] for service in json.loads(shown.stdout)["services"]]
    assert "python_on_whales" not in shown.stderr, "ps is too quick for that"

    restarted = restart(runtime, ["worker"])
    assert ["ready"] == [s.phase for s in restarted.services]

    with runtime.logs(["worker"]) as lines:
        said = list(lines)
    assert {"worker-1", "worker-2", "worker-3"} == {line.replica for line in said}
    assert {"ready"} == {line.text for line in said}
    assert sorted(line.time or 0 for line in said) == [line.time for line in said]

    runtime.stop(["worker"])
    assert ["redis-1"] == [r.name for r in runtime.status()]
    runtime.stop()
    assert [] == runtime.status()
    assert "" == identity.last_runtime(loaded(root))

    start(runtime, ["redis"])
    with socket.create_connection(runtime.address("redis", 6379), timeout=2) as connection:
        connection.sendall(b"GET kept\r\n")
        assert b"$3\r\nyes\r\n" == connection.recv(100), "a stop keeps the data"
    runtime.stop(volumes=True)
    assert "" == docker("volume", "ls", "--quiet", "--filter", f"label=com.docker.compose.project={runtime.stack.name}")


def test_one_service_alone_leaves_no_container_of_its_dependencies(open_: Open) -> None:
    runtime = open_()
    runtime.build(["worker"], lambda _: None)

    runtime.start("worker")

    assert ["worker-1"] == [r.name for r in runtime.status()]


def test_an_image_is_built_again_when_its_sources_changed(open_: Open, root: Path) -> None:
    runtime = open_()
    assert ["worker"] == runtime.missing_images(["worker"])
    runtime.build(["worker"], lambda _: None)
    assert [] == runtime.missing_images(["worker"])

    (root / "worker/new.py").write_text("x = 1")

    assert ["worker"] == runtime.missing_images(["worker"])
    first = start(runtime, ["worker"], build=False)
    assert () == first.built
    second = start(runtime, ["worker"])
    assert ("worker",) == second.built
    assert ["ready", "ready"] == [s.phase for s in second.services]
    assert not second.services[1].was_running, "the new image runs, not the old one"


def nameless(project: str) -> list[str]:
    filters = ["--filter", "dangling=true", "--filter", f"label=com.docker.compose.project={project}"]
    return docker("image", "ls", "--quiet", *filters).split()


def test_a_build_leaves_no_image_without_a_name(open_: Open, root: Path) -> None:
    runtime = open_()
    project = runtime.stack.name
    for number in range(2):  # built twice, and never run
        (root / "worker/new.py").write_text(f"x = {number}")
        runtime.build(["worker"], lambda _: None)
    assert [] == nameless(project)
    start(runtime, ["worker"])

    (root / "worker/new.py").write_text("x = 'run'")
    start(runtime, ["worker"])
    assert [] == nameless(project), "what it ran before"

    (root / "worker/new.py").write_text("x = 'built'")
    runtime.build(["worker"], lambda _: None)
    assert 1 == len(nameless(project)), "it still runs"
    runtime.stop()
    assert [] == nameless(project)
    assert "" != docker("image", "ls", "--quiet", f"{project}-worker")


def test_an_isolated_stack_takes_the_image_of_the_checkout_and_leaves_none(open_: Open, root: Path) -> None:
    open_().build(["worker"], lambda _: None)
    identity.create(loaded(root, "blue"), {"REDIS_PORT": "0"})
    blue = open_("blue")

    report = start(blue, ["worker"])

    assert () == report.built
    assert ["ready", "ready"] == [s.phase for s in report.services]
    blue.stop(volumes=True)
    assert "" == docker("image", "ls", "--quiet", f"{blue.stack.name}-worker")
    assert [] == open_().missing_images(["worker"])

    (root / "worker/new.py").write_text("x = 1")
    assert ["worker"] == open_("blue").missing_images(["worker"]), "not from other code"


@pytest.mark.parametrize(("code", "policy"), [(1, "unless-stopped"), (0, "unless-stopped"), (0, "no")])
def test_a_service_that_exits_is_a_crash_with_its_last_words(open_: Open, code: int, policy: str) -> None:
    runtime = open_(WORKER_RUNS=f"echo the last words; exit {code}", RESTART=policy, WORKER_CHECK="false")

    problem = failure(start(runtime, ["worker"], timeout=30))

    assert problem is not None
    assert CRASHED == problem.exit_code
    assert problem.problem.startswith("worker crashed after")
    assert "│ the last words" in problem.details


def test_one_that_never_gets_healthy_is_given_up_with_what_its_check_says(open_: Open) -> None:
    runtime = open_(WORKER_CHECK="echo no broker; exit 1")

    problem = failure(start(runtime, ["worker"], timeout=6))

    assert problem is not None
    assert TIMED_OUT == problem.exit_code
    assert "worker is not ready after 6s: no broker" == problem.problem


def test_a_port_that_a_process_holds_is_named_and_nothing_half_made_stays(open_: Open) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        runtime = open_(REDIS_PORT=str(port))

        with pytest.raises(DevctlError, match=rf"port {port} is in use: .*\(pid {os.getpid()}\)") as problem:
            start(runtime, ["redis"])

        assert "REDIS_PORT=" in problem.value.hint
        assert [] == runtime.status()
    assert start(runtime, ["redis"]).failure is None, "as soon as the port is free"


def test_a_port_that_another_stack_holds_is_named(open_: Open, root: Path) -> None:
    identity.create(loaded(root, "blue"), {"REDIS_PORT": "0"})
    blue = open_("blue")
    start(blue, ["redis"])
    taken = blue.address("redis", 6379)[1]
    runtime = open_(REDIS_PORT=str(taken))

    with pytest.raises(DevctlError, match=f"port {taken} is in use: container {blue.stack.name}-redis-1 publishes it"):
        start(runtime, ["redis"])


def test_an_isolated_stack_runs_beside_the_first_and_goes_alone(open_: Open, root: Path) -> None:
    identity.create(loaded(root, "blue"), {"REDIS_PORT": "0"})
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        fixed = probe.getsockname()[1]
    own, blue = open_(REDIS_PORT=str(fixed)), open_("blue")

    start(own, ["redis"])
    start(blue, ["redis"])

    assert fixed == own.address("redis", 6379)[1] != blue.address("redis", 6379)[1]
    assert [1, 1] == [len(r.status()) for r in (own, blue)]
    blue.stop(volumes=True)
    assert ([], 1) == (blue.status(), len(own.status()))


@pytest.mark.parametrize("name", ["docker.io/library/redis:8-alpine", "library/redis:8-alpine"])
def test_an_image_that_is_here_is_found_by_its_longer_names(open_: Open, name: str) -> None:
    start(open_(), ["redis"])

    runtime = open_(REDIS_IMAGE=name)

    assert [] == runtime.missing_images(["redis"])
    assert ["redis"] == open_(REDIS_IMAGE="docker.io/library/redis:nosuch").missing_images(["redis"])


def test_an_image_that_cannot_be_pulled_says_so_and_what_else_there_is(open_: Open) -> None:
    runtime = open_(REDIS_IMAGE="localhost:1/nosuch/redis:0")

    with pytest.raises(DevctlError, match="the image localhost:1/nosuch/redis:0 is not here and cannot be") as problem:
        start(runtime, ["redis"])

    assert "REDIS_IMAGE=" in problem.value.hint
    assert "--runtime local" in problem.value.hint


def test_a_base_image_that_cannot_be_pulled_says_so_and_what_else_there_is(open_: Open) -> None:
    runtime = open_(PYTHON_IMAGE="localhost:1/nosuch/python:0")

    with pytest.raises(DevctlError, match="the image localhost:1/nosuch/python:0 is not here") as problem:
        start(runtime, ["worker"])

    assert "PYTHON_IMAGE=" in problem.value.hint
    assert "--runtime local" in problem.value.hint


def test_a_build_that_fails_shows_the_failing_lines(open_: Open, root: Path) -> None:
    (root / "worker/Dockerfile").write_text(DOCKERFILE + "RUN echo about to break && cat /nosuch\n")

    with pytest.raises(DevctlError, match="the build of worker failed") as problem:
        start(open_(), ["worker"])

    assert any("about to break" in line for line in problem.value.details)
    assert any("No such file" in line for line in problem.value.details)
    assert [] == ids(open_().stack.name), "nothing was started"


def test_without_a_build_a_missing_image_names_the_build(open_: Open) -> None:
    with pytest.raises(DevctlError, match=r"the image devctl-test-\d+-worker\S* is not built") as problem:
        start(open_(), ["worker"], build=False)

    assert "devctl build worker" in problem.value.hint


def test_another_checkout_of_the_same_name_is_not_touched(open_: Open, root: Path, tmp_path: Path) -> None:
    other = checkout(tmp_path / "elsewhere" / "a checkout", f"devctl-test-{os.getpid()}")
    start(open_(), ["redis"])
    theirs = open_(where=other)

    for touch in (lambda: theirs.start("redis"), theirs.stop, theirs.status, lambda: theirs.restart(["redis"])):
        with pytest.raises(DevctlError, match="belong to another checkout") as problem:
            touch()
        assert "COMPOSE_PROJECT_NAME" in problem.value.hint
        assert "--isolated" in problem.value.hint
    assert 1 == len(open_().status())


def test_another_checkout_of_the_same_name_builds_its_own_image(open_: Open, root: Path, tmp_path: Path) -> None:
    other = checkout(tmp_path / "elsewhere" / "a checkout", f"devctl-test-{os.getpid()}")
    (root / "worker/whose.txt").write_text("the first's")
    open_().build(["worker"], lambda _: None)

    assert [] == open_().missing_images(["worker"])
    assert ["worker"] == open_(where=other).missing_images(["worker"])


def test_following_a_log_sees_new_lines_and_leaves_no_process(open_: Open) -> None:
    runtime = open_(WORKER_RUNS="while true; do date +%s.%N; sleep 0.1; done")
    start(runtime, ["worker"])
    before = set(psutil.Process().children(recursive=True))

    with runtime.logs(["worker"], follow=True, tail=1) as lines:
        three = [next(lines) for _ in range(3)]
        children = set(psutil.Process().children(recursive=True)) - before

    assert children
    assert sorted(line.text for line in three) == [line.text for line in three]
    psutil.wait_procs(list(children), timeout=5)
    assert [] == [child for child in children if child.is_running()]


def test_ctrl_c_in_the_middle_leaves_what_down_removes(open_: Open, root: Path) -> None:
    runtime = open_(WORKER_CHECK="false")
    runtime.build(["worker"], lambda _: None)
    devctl = [sys.executable, "-m", "devctl"]
    up = subprocess.Popen(
        [*devctl, "up", "worker", "--runtime", "compose"], cwd=root, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    deadline = time.monotonic() + 30
    while len(runtime.status()) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    up.send_signal(2)
    _, said = up.communicate(timeout=20)

    assert 130 == up.returncode, said
    assert b"devctl down" in said
    down = subprocess.run([*devctl, "down", "--json"], cwd=root, capture_output=True, check=True)
    document = json.loads(down.stdout)
    assert ("compose", ["redis", "worker"]) == (document["runtime"], document["services"])
    assert [] == ids(runtime.stack.name)


IN_THE_WAY = """\
name: {name}
x-devctl: {{broker: redis, workers: [worker]}}
services:
  redis:
    image: ${{REDIS_IMAGE:-redis:8-alpine}}
    container_name: {name}-the-redis
    hostname: the-host
    ports: ["${{BIND:-127.0.0.1}}:{port}:6379"]
    volumes: ["./redis-data:/data", "kept:/kept", "outside:/outside"]
    networks: {{back: {{ipv4_address: 10.213.77.200}}, edge: {{}}}}
  worker:
    image: ${{REDIS_IMAGE:-redis:8-alpine}}
    container_name: {name}-the-worker
    init: true
    command: [sh, -c, "redis-cli -h {name}-the-redis incr starts; echo w@x ready.; exec sleep 600"]
    depends_on: [redis]
    networks: [back]
  helper:
    image: ${{REDIS_IMAGE:-redis:8-alpine}}
    profiles: [tools]
    command: [sleep, "600"]
    networks: [back]
    volumes: ["of-helper:/data"]
volumes:
  kept: {{name: {name}-kept}}
  outside: {{external: true, name: {name}-outside}}
  of-helper: {{}}
networks:
  back: {{ipam: {{config: [{{subnet: 10.213.77.0/24}}]}}}}
  edge: {{external: true, name: {name}-edge}}
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout that leaves no room for a second stack: names, ports, addresses and data are fixed."""
    monkeypatch.delenv("COMPOSE_PROJECT_NAME", raising=False)
    name = f"devctl-shop-{os.getpid()}"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "docker-compose.yml").write_text(IN_THE_WAY.format(name=name, port=port))
    docker("volume", "create", f"{name}-outside")
    docker("network", "create", f"{name}-edge")
    yield tmp_path
    remove(name)
    remove(f"{name}-blue")
    docker("network", "rm", f"{name}-edge")
    docker("volume", "rm", f"{name}-outside")


def existing(name: str) -> set[str]:
    """All that the engine has whose name begins so."""
    listed = [
        docker("ps", "--all", "--format", "{{.Names}}"),
        docker("volume", "ls", "--format", "{{.Name}}"),
        docker("network", "ls", "--format", "{{.Name}}"),
    ]
    return {one for names in listed for one in names.split() if one.startswith(name)}


def test_an_isolated_stack_runs_beside_one_that_has_fixed_names_ports_addresses_and_data(shop: Path) -> None:
    first = ComposeRuntime.open(loaded(shop))
    name = first.stack.name
    before = existing(name)
    assert start(first, ["redis", "worker"]).failure is None
    with_first = existing(name)
    identity.isolate(loaded(shop, "blue"))
    second = ComposeRuntime.open(loaded(shop, "blue"))

    report = start(second, ["redis", "worker"], scale={"worker": 2})

    assert report.failure is None, failure(report)
    assert f"{name}-blue" in docker("compose", "ls")
    (redis,) = [one for one in second.status() if one.service == "redis"]
    assert ("the-host", True) == (redis.hostname, redis.ports[0].startswith("127.0.0.1:"))
    assert redis.ports != first.status()[0].ports
    container = f"{name}-blue-redis-1"
    assert "2" == docker("exec", container, "redis-cli", "get", "starts").strip(), "each worker found its own Redis"
    assert "1" == docker("exec", f"{name}-the-redis", "redis-cli", "get", "starts").strip()
    assert f"{name}-blue_outside" in docker("inspect", container)
    assert not [mount for mount in json.loads(docker("inspect", container))[0]["Mounts"] if mount["Type"] == "bind"]
    secret = identity.state_dir(loaded(shop, "blue")) / "isolated.json"
    assert "600" == oct(secret.stat().st_mode)[-3:]

    assert start(second, ["helper"]).failure is None, "it has a profile, and a volume that only it has"
    assert f"{name}-blue_of-helper" in existing(name)

    second.stop(volumes=True)

    assert with_first == existing(name)
    first.stop(volumes=True)
    assert before == existing(name), "what is external stays"


def test_a_service_of_the_hosts_network_is_not_isolated(shop: Path) -> None:
    file = shop / "docker-compose.yml"
    text = file.read_text().replace("    depends_on: [redis]\n    networks: [back]", "    network_mode: host", 1)
    file.write_text(text)
    identity.isolate(loaded(shop, "blue"))

    with pytest.raises(DevctlError, match="worker cannot run in an isolated stack: network_mode: host"):
        start(ComposeRuntime.open(loaded(shop, "blue")), ["worker"])

    assert not ids(f"{ComposeRuntime.open(loaded(shop, 'blue')).stack.name}")


def test_the_end_of_a_file_in_a_container_is_read_also_after_its_end(open_: Open) -> None:
    runtime = open_(
        WORKER_RUNS="mkdir -p /var/w; for n in 1 2 3; do echo line $n >> /var/w/own.log; done", RESTART="no"
    )
    start(runtime, ["worker"])

    assert ("line 2", "line 3") == runtime.tail("worker-1", "/var/w/own.log", 2)
    assert () == runtime.tail("worker-1", "/var/w", 2)
    assert () == runtime.tail("worker-1", "/nowhere", 2)


def test_services_with_the_same_build_are_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COMPOSE_PROJECT_NAME", raising=False)
    name = f"devctl-once-{os.getpid()}"
    base = "${PYTHON_IMAGE:-python:3.11-slim}"
    builds = {
        name_: f"{{context: ., args: {{PYTHON_IMAGE: '{base}', X: {x}}}}}"
        for name_, x in zip("abc", "112", strict=True)
    }
    services = "".join(f"  {one}: {{build: {build}, command: [sleep, '600']}}\n" for one, build in builds.items())
    services += f"  d: {{image: {name}-c}}\n"
    (tmp_path / "docker-compose.yml").write_text(f"name: {name}\nx-devctl: {{}}\nservices:\n{services}")
    (tmp_path / "Dockerfile").write_text("ARG PYTHON_IMAGE\nFROM ${PYTHON_IMAGE}\nARG X\nRUN echo $X > /x\n")
    runtime = ComposeRuntime.open(loaded(tmp_path))
    said: list[BuildProgress] = []
    try:
        runtime.build(["a", "b", "c"], said.append)

        a, b, c = (docker("image", "inspect", "--format", "{{.Id}}", f"{name}-{one}") for one in "abc")
        assert (True, False) == (a == b, a == c)
        assert [BuildProgress("b", "the build of a")] == [one for one in said if one.service == "b"]
        assert [] == runtime.missing_images(["a", "b", "c", "d"])
        docker("image", "rm", f"{name}-c")
        assert ["d"] == runtime.missing_images(["d"]), "it is not pulled: the build of c gives it its image"
        runtime.build(["d"], said.append)
        assert [] == runtime.missing_images(["c", "d"])
        assert [".gitignore", "builds.json"] == sorted(file.name for file in (tmp_path / ".devctl").iterdir())
    finally:
        docker("image", "rm", "--force", *(f"{name}-{one}" for one in "abc"))


HABITS = """\
name: {name}
x-devctl: {{broker: redis, workers: [silent, retries, says]}}
x-image: &image {{image: "${{REDIS_IMAGE:-redis:8-alpine}}", init: true}}
services:
  redis: {{<<: *image}}
  none: {{<<: *image, deploy: {{replicas: 0}}, depends_on: [redis]}}
  migrate: {{<<: *image, command: ["true"]}}
  silent: {{<<: *image, command: [sh, -c, "echo KeyError >> /var/log/celery.log; sleep 0.5"]}}
  loops: {{<<: *image, command: [sh, -c, "echo boom; exit 0"], restart: always}}
  says: {{<<: *image, command: [sh, -c, "sleep 1; echo celery@here ready.; exec sleep 600"]}}
  retries:
    <<: *image
    command:
      - sh
      - -c
      - "echo Cannot connect to redis://redis:6379/0: refused.; echo Trying again in 32.00 seconds...; sleep 600"
"""


def test_what_a_service_does_without_a_health_check_tells_whether_it_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COMPOSE_PROJECT_NAME", raising=False)
    name = f"devctl-habits-{os.getpid()}"
    (tmp_path / "docker-compose.yml").write_text(HABITS.format(name=name))
    runtime = ComposeRuntime.open(loaded(tmp_path))
    runtime.stack = replace(runtime.stack, logfiles={"silent": "/var/log/%n.log"})
    try:
        report = start(runtime, ["none", "migrate", "says"])
        ends = {one.service: (one.phase, one.detail) for one in report.services}
        assert ("ready", "none: the Compose file says 0; devctl scale none=1") == ends["none"]
        assert ("finished", "exit 0") == ends["migrate"]
        assert ("ready", "said that it is ready") == ends["says"]

        silent = failed(start(runtime, ["silent"]))
        assert "exit 0, though it was to go on" == silent.detail
        assert ("/var/log/celery.log", ("KeyError",)) == (silent.logfile, silent.written)

        loops = failed(start(runtime, ["loops"]))
        assert ("crashed", {"boom"}) == (loops.phase, {*loops.log})

        retries = failed(start(runtime, ["retries"], timeout=15))
        assert "not ready after 15s: Cannot connect to redis://redis:6379/0: refused" == retries.detail
    finally:
        remove(name)
