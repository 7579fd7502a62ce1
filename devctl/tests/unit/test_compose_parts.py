"""The parts of the compose runtime that need no engine: what its client prints, read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from devctl.errors import DevctlError
from devctl.stack import ports
from devctl.stack.compose import containers, images, problems, usage
from devctl.stack.compose.client import Client, following
from devctl.stack.compose.project import Project
from devctl.stack.engine import Daemon
from devctl.stack.model import Build, Stack
from devctl.stack.port import LogLine, Usage

ENDPOINT = "Error response from daemon: driver failed programming external connectivity on endpoint shop-web-1 (cfdb)"


def context(variable: str = "", container: str = "", option: str = "") -> problems.Context:
    return problems.Context(variable=lambda _: variable, holder=lambda _: container, option=option)


def test_the_reason_is_the_last_line_that_is_no_warning() -> None:
    output = """ Container shop-web-1  Starting
Error response from daemon: No such image: shop/web:dev
time="2026-11-23T16:05:18Z" level=warning msg="The \\"X\\" variable is not set"
"""
    assert "No such image: shop/web:dev" == problems.reason(output)


@pytest.mark.parametrize(
    "text",
    [
        f"{ENDPOINT}: Error starting userland proxy: listen tcp4 127.0.0.1:18777: bind: address already in use",
        f"{ENDPOINT}: Bind for 127.0.0.1:18777 failed: port is already allocated",
        f"{ENDPOINT}: failed to bind host port for 127.0.0.1:18777:172.18.0.2:80/tcp: address already in use",
        (
            "Error response from daemon: Ports are not available: exposing port TCP 127.0.0.1:18777 -> 127.0.0.1:0: "
            "listen tcp 127.0.0.1:18777: bind: address already in use"
        ),
    ],
)
def test_a_port_in_use_names_port_service_and_holder(text: str) -> None:
    output = f"{text}\nError: failed to start containers: cfdb"

    problem = problems.start(["redis", "web"], output, context("WEB_PORT", "other-db-1"))

    assert problem.problem.startswith("port 18777 is in use: container other-db-1 publishes it, and ")
    assert "WEB_PORT=18787 devctl up" in problem.hint
    assert "docker stop other-db-1" in problem.hint
    if "endpoint" in text:
        assert problem.problem.endswith("web needs it")


def test_a_port_that_a_process_holds_is_explained_as_on_the_local_runtime() -> None:
    output = f"{ENDPOINT}: Bind for 127.0.0.1:18777 failed: port is already allocated"

    assert ports.in_use("web", 18777, "V").problem == problems.start(["web"], output, context("V")).problem


def test_an_engine_that_went_away_is_no_failure_of_a_service() -> None:
    output = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"

    problem = problems.start(["web"], output, context())

    assert "no container engine answers" == problem.problem
    assert "--runtime local" in problem.hint


@pytest.mark.parametrize(
    ("output", "problem", "fix"),
    [
        (
            'Error: Conflict. The container name "/the_redis" is already in use by container "5e".',
            "the container name the_redis is taken",
            "docker rm --force the_redis",
        ),
        (
            "network proxy declared as external, but could not be found",
            "the network proxy is not",
            "network create proxy",
        ),
        (
            "Error response from daemon: network shop_net not found",
            "the network shop_net is not",
            "network create shop_net",
        ),
        (
            'external volume "company-data" not found',
            "the volume company-data is not",
            "docker volume create company-data",
        ),
    ],
)
def test_what_another_project_has_or_should_have_made_offers_a_stack_of_its_own(
    output: str, problem: str, fix: str
) -> None:
    refused = problems.start(["redis", "web"], output, context())

    assert refused.problem.startswith(problem)
    assert fix in refused.hint
    assert "devctl up redis web --isolated" in refused.hint


@pytest.mark.parametrize(
    "output",
    [
        'Error response from daemon: Get "https://registry-1.docker.io/v2/": dial tcp: lookup r: no such host',
        "Error response from daemon: pull access denied for shop/web, repository does not exist",
        "Error response from daemon: manifest for redis:99 not found: manifest unknown: manifest unknown",
    ],
)
def test_an_image_that_cannot_be_pulled_offers_the_variable_and_the_local_runtime(output: str) -> None:
    problem = problems.pull(["redis"], "redis:99", output, context("REDIS_IMAGE"))

    assert "the image redis:99 is not here and cannot be pulled" == problem.problem
    assert "another image: REDIS_IMAGE=… devctl up redis\nor without containers: --runtime local" == problem.hint
    assert problems.reason(output) in problem.details


BUILD = """#1 [web internal] load build definition from Dockerfile
#1 DONE 0.0s
#6 [web deps 4/4] RUN pip install nothing==9
#6 0.913 ERROR: Could not find a version that satisfies the requirement nothing==9
#6 ERROR: process "/bin/sh -c pip install nothing==9" did not complete successfully: exit code: 1
------
 > [web deps 4/4] RUN pip install nothing==9:
------
failed to solve: process "/bin/sh -c pip install nothing==9" did not complete successfully: exit code: 1
"""


def test_a_build_that_was_never_begun_does_not_blame_a_dockerfile() -> None:
    problem = problems.build(["web"], ["services.web.mem_limit: invalid size: 'lots'"], context())

    assert "web cannot be built: services.web.mem_limit: invalid size: 'lots'" == problem.problem
    assert "docker compose config" in problem.hint


def test_a_failed_build_shows_the_step_that_failed() -> None:
    problem = problems.build(["web", "worker"], BUILD.splitlines(), context())

    assert problem.problem.startswith("the build of web failed: process")
    assert "│ [web deps 4/4] RUN pip install nothing==9" == problem.details[0]
    assert any("Could not find a version" in line for line in problem.details)
    assert "devctl build web" in problem.hint


def test_a_line_of_a_build_that_fills_the_screen_is_cut_in_its_middle() -> None:
    versions = ", ".join(f"1.0.{number}" for number in range(500))
    lines = [
        "#6 [web 2/2] RUN pip install",
        f"#6 0.9 ERROR: none of ({versions}) for nothing==9",
        "#6 ERROR: exit code: 1",
    ]

    (line,) = [one for one in problems.build(["web"], lines, context()).details if "none of" in one]

    assert len(line) < 260
    assert line.startswith("│ 0.9 ERROR: none of (1.0.0, ")
    assert line.endswith(" for nothing==9")


def test_a_base_image_that_cannot_be_pulled_is_not_called_a_failed_build() -> None:
    lines = [
        "#2 [web internal] load metadata for docker.io/nosuch/python:9",
        "#2 ERROR: failed to do request: Head https://registry-1.docker.io/v2/nosuch: no such host",
        (
            "failed to solve: nosuch/python:9: failed to resolve source metadata for docker.io/nosuch/python:9: "
            "failed to do request: dial tcp: no such host"
        ),
    ]

    problem = problems.build(["web"], lines, context("PYTHON_IMAGE"))

    assert "the image nosuch/python:9 is not here and cannot be pulled" == problem.problem
    assert "PYTHON_IMAGE=… devctl up web" in problem.hint


def inspected(**state: object) -> dict[str, object]:
    return {
        "Id": "31e0",
        "Name": "/shop-worker-2",
        "RestartCount": 3,
        "Config": {
            "Hostname": "31e0c5",
            "Labels": {
                "com.docker.compose.service": "worker",
                "com.docker.compose.container-number": "2",
                "com.docker.compose.project.working_dir": "/src/shop",
            },
        },
        "State": {
            "Status": "running",
            "ExitCode": 0,
            "Pid": 12,
            "StartedAt": "2026-11-23T16:05:18.123456789Z",
            **state,
        },
        "NetworkSettings": {
            "Ports": {
                "8001/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18001"}, {"HostIp": "::1", "HostPort": "18001"}],
                "9000/tcp": None,
            }
        },
    }


def test_a_container_is_read_as_a_replica() -> None:
    log = [{"ExitCode": 1, "Output": "first"}, {"ExitCode": 1, "Output": "GET /ready: 503\n"}]

    (found,) = containers.parse([inspected(Health={"Status": "starting", "Log": log})])

    replica = found.replica
    assert ("worker", "worker-2", "running", "starting") == (
        replica.service,
        replica.name,
        replica.state,
        replica.health,
    )
    assert ("GET /ready: 503", 3, None, 12) == (replica.health_output, replica.restarts, replica.exit_code, replica.pid)
    assert ("127.0.0.1:18001->8001",) == replica.ports
    assert pytest.approx(1795449918.123456) == replica.started_at
    assert "/src/shop" == found.working_dir
    assert "31e0c5" == replica.hostname, "the node is celery@31e0c5"


class OneContainer(Daemon):
    """An engine with one container, that Compose made in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def containers(self, label: str) -> list[dict[str, object]]:
        found = inspected()
        config: dict[str, dict[str, str]] = found["Config"]  # type: ignore[assignment]  # a literal of this file
        config["Labels"]["com.docker.compose.project.working_dir"] = str(self.folder)
        return [found]


def project(root: Path, folder: Path) -> Project:
    client = Client([root / "compose.yaml"], root, "shop", {})
    return Project(Stack("shop", {}, "", (), {}, ""), root, client, OneContainer(folder))


def test_a_checkout_behind_a_symbolic_link_is_the_same_one(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "shop")
    assert ["worker-2"] == [c.replica.name for c in project(tmp_path / "shop", tmp_path / "link").containers()]
    with pytest.raises(DevctlError, match=f"belong to another checkout: {tmp_path}/other"):
        project(tmp_path / "shop", tmp_path / "other").containers()


def test_a_check_that_passed_has_nothing_to_say() -> None:
    (found,) = containers.parse([inspected(Health={"Status": "starting", "Log": [{"ExitCode": 0, "Output": "ok"}]})])

    assert "" == found.replica.health_output


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        ("healthy", 0, ("degraded", "orders is paused")),
        ("unhealthy", 1, ("unhealthy", "orders is paused")),
    ],
)
def test_a_check_that_passes_and_says_why_it_is_degraded_is_heard(
    status: str, code: int, expected: tuple[str, str]
) -> None:
    log = [{"ExitCode": code, "Output": "degraded: orders is paused\n"}]
    (found,) = containers.parse([inspected(Health={"Status": status, "Log": log})])

    assert expected == (found.replica.health, found.replica.health_output)


def test_an_exited_container_has_its_exit_code() -> None:
    (found,) = containers.parse([inspected(Status="exited", ExitCode=0, Pid=0, StartedAt="0001-01-01T00:00:00Z")])

    assert ("exited", 0, None, None) == (
        found.replica.state,
        found.replica.exit_code,
        found.replica.pid,
        found.replica.started_at,
    )


def test_containers_of_compose_run_are_nobodys_replica() -> None:
    one = inspected()
    one["Config"]["Labels"]["com.docker.compose.oneoff"] = "True"  # type: ignore[index]

    assert [] == containers.parse([one])


def test_log_lines_are_read_and_compose_itself_is_not() -> None:
    lines = [
        "worker-12  | 2026-11-23T16:05:18.500000000Z a | b",
        "worker-12 exited with code 1",
        "own-name   | 2026-11-23T16:05:19.500000000Z ",
    ]

    found = list(containers.log_lines(lines, {"own-name": "redis-1"}))

    assert [
        LogLine("worker", "worker-12", "a | b", 1795449918.5),
        LogLine("redis", "redis-1", "", 1795449919.5),
    ] == found


def test_docker_stats_is_read_in_its_own_units() -> None:
    one = {"Name": "shop-redis-1", "CPUPerc": "0.36%", "MemUsage": "6.5MiB / 23.54GiB"}
    gone = {"Name": "shop-web-1", "CPUPerc": "--", "MemUsage": "-- / --"}

    found = usage.parse("\n".join(json.dumps(o) for o in (one, gone)))

    assert {"shop-redis-1": Usage(0.36, 6_815_744)} == found


def test_usage_between_two_samples() -> None:
    before = {"taken": 10.0, "cpu_stats": {"cpu_usage": {"total_usage": 1_000_000_000}}}
    after = {
        "taken": 10.5,
        "cpu_stats": {"cpu_usage": {"total_usage": 1_250_000_000}},
        "memory_stats": {"usage": 12_000_000, "stats": {"inactive_file": 2_000_000}},
    }

    assert Usage(50.0, 10_000_000) == usage.between(before, after)
    assert usage.between(before, {"taken": 10.5}) is None


def test_the_socket_is_the_one_the_docker_client_would_take(tmp_path: Path) -> None:
    def found(config: str = "", **environment: str) -> Path | None:
        (tmp_path / "config.json").write_text(config)
        engine = Daemon.find({"DOCKER_CONFIG": str(tmp_path), **environment})
        return engine and engine._path

    assert Path("/var/run/docker.sock") == found() == found("{}") == found(DOCKER_CONTEXT="default")
    assert Path("/x.sock") == found(DOCKER_HOST="unix:///x.sock")
    assert found(DOCKER_HOST="ssh://elsewhere") is None
    assert found(DOCKER_CONTEXT="desktop-linux") is None
    assert found('{"currentContext": "colima"}') is None


def test_a_fingerprint_changes_with_a_file_a_setting_and_the_other_context(tmp_path: Path) -> None:
    own, common = tmp_path / "own", tmp_path / "common"
    for folder in (own, common):
        (folder / "src").mkdir(parents=True)
        (folder / "src/a.py").write_text("a")
    (own / "Dockerfile").write_text("FROM scratch")

    def now(**settings: object) -> str:
        return images.fingerprint(Build(own, additional_contexts={"common": common}, **settings))  # type: ignore[arg-type]  # what a test wants to say

    first = now()
    assert first == now()
    seen = {first, now(args={"PYTHON_IMAGE": "python:3.13"}), now(target="deps")}
    (common / "src/a.py").write_text("ab")
    seen.add(now())
    (own / "Dockerfile").write_text("FROM scratch AS x")
    seen.add(now())
    (own / "new.py").write_text("")
    seen.add(now())
    assert 6 == len(seen)
    (own / "src/__pycache__").mkdir()
    (own / "src/__pycache__/a.pyc").write_text("")
    assert now() in seen, "what Python leaves behind is no source"


def test_a_fingerprint_changes_with_a_dockerfile_that_several_services_share(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    seen = set()
    for name in ("Dockerfile", "Dockerfile.dockerignore"):
        for text in ("tests", "tests/**"):
            (tmp_path / name).write_text(text)
            seen.add(images.fingerprint(Build(own, "../Dockerfile")))

    assert 4 == len(seen)


def test_an_image_is_current_only_as_it_was_built(tmp_path: Path) -> None:
    builds = images.Fingerprints(tmp_path / "state" / "builds.json")

    assert not builds.current("shop/web:dev", "sha256:1", "print")
    builds.remember({"shop/web:dev": ("sha256:1", "print")})
    assert builds.current("shop/web:dev", "sha256:1", "print")
    assert not builds.current("shop/web:dev", "sha256:2", "print"), "somebody else built it anew"
    assert not builds.current("shop/web:dev", "sha256:1", "other")
    builds.file.write_text("{")
    assert not builds.current("shop/web:dev", "sha256:1", "print"), "a damaged file is no reason to stop"


def test_following_ends_the_command_and_its_children_with_its_context() -> None:
    script = "import subprocess as s; p = s.Popen(['sleep', '300']); print('ready', flush=True); p.wait()"

    before = psutil.Process().children(recursive=True)  # a test's Redis, say

    with following([sys.executable, "-c", script]) as lines:
        assert "ready" == next(lines)
        mine = [process for process in psutil.Process().children(recursive=True) if process not in before]
    assert 2 == len(mine)
    psutil.wait_procs(mine, timeout=3)

    assert [] == [process for process in mine if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def test_following_kills_what_does_not_listen() -> None:
    script = (
        "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(300)"
    )

    begun = time.monotonic()
    with following([sys.executable, "-c", script]) as lines:
        next(lines)

    assert time.monotonic() - begun < 10


def test_following_strips_colours_and_tells_a_failure_after_the_last_line() -> None:
    codes: list[int] = []

    with following(["sh", "-c", r"printf '\033[2K\033[31mred\033[0m\r\n'; exit 3"], codes.append) as lines:
        assert ["red"] == list(lines)

    assert [3] == codes


def test_an_error_raised_for_a_failed_command_reaches_the_caller() -> None:
    def fail(code: int) -> None:
        raise DevctlError(f"exit {code}")

    with pytest.raises(DevctlError, match="exit 1"), following(["false"], fail) as lines:
        list(lines)


def test_a_command_killed_from_outside_ends_the_following() -> None:
    with following(["sh", "-c", "echo $$; sleep 300"]) as lines:
        os.killpg(int(next(lines)), signal.SIGKILL)
        assert [] == list(lines)


def test_the_compose_runtime_is_the_only_way_to_python_on_whales() -> None:
    script = (
        "import sys, devctl.workbench, devctl.stack.start, devctl.stack.fake, devctl.ui.progress, devctl.ui.services;"
    )
    heavy = "print([m for m in ('python_on_whales','rich','celery','redis','pydantic','yaml') if m in sys.modules])"

    out = subprocess.run([sys.executable, "-c", script + heavy], capture_output=True, text=True, check=True).stdout

    assert "[]\n" == out
