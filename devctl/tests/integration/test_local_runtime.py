"""The local runtime where things go wrong, or stand in the way. What it shares with the others: conformance."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from devctl import settings
from devctl.errors import DevctlError
from devctl.settings import Settings
from devctl.stack import identity, ports
from devctl.stack.local import LocalRuntime, redis
from devctl.stack.local import runtime as local_runtime
from devctl.stack.local.place import Place
from devctl.stack.local.supervisor import Supervisor
from devctl.stack.port import Replica
from devctl.stack.report import ServiceStart, StartReport, failure
from devctl.stack.start import start

pytestmark = pytest.mark.integration

# What a command of the file below runs is a line of shell, so that a test can say in one word what goes wrong.
AGAIN = "(again)"
COMPOSE = """\
name: {name}
x-devctl: {{broker: redis, workers: [worker], contracts: ""}}
services:
  redis:
    image: redis:8-alpine
    command: [redis-server, --appendonly, "yes", --save, ""]
    ports: ["127.0.0.1:${{REDIS_PORT:-0}}:6379"]
    healthcheck: {{test: [CMD, redis-cli, ping]}}
  worker:
    image: worker
    command: ["${{SHELL_PROGRAM:-sh}}", -c, "${{WORKER_RUNS:-exec sleep 600}}"]
    restart: ${{RESTART:-unless-stopped}}
    stop_grace_period: ${{WORKER_GRACE:-1s}}
    depends_on: {{redis: {{condition: service_healthy}}}}
    environment: {{URL: "redis://redis:6379/0", HEALTH_FILE: /tmp/health, SECRET: "${{SECRET:-}}"}}
    healthcheck: {{test: [CMD-SHELL, "${{WORKER_CHECK:-true}}"], start_period: 1s, interval: 1s, start_interval: 100ms}}
  web:
    image: web
    command: [python, -m, http.server, --bind, 0.0.0.0, "8000"]
    ports: ["127.0.0.1:${{WEB_PORT:-0}}:8000"]
    healthcheck: {{test: [CMD, python, -c, "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/')"]}}
"""


class Checkout:
    """A folder with a Compose file; ends what its stacks left."""

    def __init__(self, root: Path, name: str = "shop") -> None:
        self.root = root
        root.mkdir(parents=True)
        (root / "docker-compose.yml").write_text(COMPOSE.format(name=name))

    def settings(self, stack: str = "", **variables: str) -> Settings:
        kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        return settings.load(start=self.root, stack=stack, runtime="local", environ={**kept, **variables})

    def open(self, stack: str = "", **variables: str) -> LocalRuntime:
        return LocalRuntime.open(self.settings(stack, **variables))

    @property
    def place(self) -> Place:
        return Place.of(identity.state_dir(self.settings()))

    def processes(self) -> list[psutil.Process]:
        """Everything that runs for this checkout, whoever its parent is."""
        found = []
        for process in psutil.process_iter():
            try:
                words = [*process.cmdline(), process.cwd(), *process.environ().values()]
            except psutil.Error:
                continue
            if process.pid != os.getpid() and any(f"{self.root}/" in f"{word}/" for word in words):
                found.append(process)
        return found

    def supervisor(self) -> psutil.Process:
        return psutil.Process(json.loads((self.place.state / "supervisord.json").read_text())["pid"])


def needs_a_redis() -> None:
    try:
        redis.binary(os.environ.get("PATH", os.defpath))
    except DevctlError as missing:
        pytest.skip(missing.problem)


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    needs_a_redis()
    # Everything that means something to a shell, to YAML, or to the supervisor's configuration.
    checkout = Checkout(tmp_path / "a 100% ;odd 'checkout' #1")
    yield checkout
    for stack in ("", *identity.known(checkout.settings())):
        checkout.open(stack).stop(volumes=True)
    assert [] == checkout.processes()


def up(runtime: LocalRuntime, *services: str, timeout: float = 30.0) -> StartReport:
    return start(runtime, services, timeout=timeout)


def ready(runtime: LocalRuntime, *services: str) -> dict[str, Replica]:
    report = up(runtime, *services)
    assert report.failure is None, report.failure
    return {replica.name: replica for replica in runtime.status()}


def failed(report: StartReport) -> ServiceStart:
    assert report.failure is not None
    return report.failure


def wait(until: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def say(runtime: LocalRuntime, *words: str) -> str:
    """Ask the stack's Redis."""
    with socket.create_connection(runtime.address("redis", 6379), timeout=5) as connection:
        connection.sendall((" ".join(words) + "\r\n").encode())
        return connection.recv(1000).decode().strip()


def test_a_log_that_grows_is_rotated_while_its_service_writes_on(checkout: Checkout) -> None:
    writes = "import time\nfor n in range(1100): print(n, 'x' * 10000, flush=True)\ntime.sleep(600)"
    python = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")  # not the .venv's: that may be in /tmp
    runtime = checkout.open(SHELL_PROGRAM=str(python), WORKER_RUNS=writes)
    ready(runtime, "worker")
    log = checkout.place.log("worker-1")

    wait(log.with_name("worker-1.log.1").exists)

    with runtime.logs(["worker"]) as lines:
        assert [str(number) for number in range(1100)] == [line.text.split()[0] for line in lines]
    runtime.stop(["worker"])
    assert [] == list(log.parent.glob("worker-1.log*"))


def test_everything_starts_in_a_path_with_spaces_and_signs_and_nothing_is_left(checkout: Checkout) -> None:
    runtime = checkout.open()
    replicas = ready(runtime)
    assert {"redis-1", "worker-1", "web-1"} == set(replicas)
    assert "local" == identity.last_runtime(checkout.settings())
    runtime.stop()
    assert [] == checkout.processes()
    assert not checkout.place.runtime.exists()
    assert "" == identity.last_runtime(checkout.settings())


def test_a_service_sees_its_own_settings_and_nothing_of_the_shell(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAKED", "1")
    secret = "q'u\"o$te %s\nsecond line"
    runtime = checkout.open(
        SECRET=secret,
        PYTHONPATH="/leaked",
        CELERY_BROKER_URL="redis://leaked",
        HTTP_PROXY="http://leaked",
        WORKER_RUNS="python -c 'import json, os; print(json.dumps(dict(os.environ)))'; touch /tmp/said; exec sleep 600",
        WORKER_CHECK="test -e /tmp/said",
    )
    ready(runtime, "worker")
    with runtime.logs(["worker"]) as lines:
        seen = json.loads(next(lines).text)
    assert [] == [name for name, value in seen.items() if "leaked" in f"{name}{value}".lower()]
    assert secret == seen["SECRET"]
    assert "redis://127.0.0.1:{}/0".format(runtime.address("redis", 6379)[1]) == seen["URL"]
    assert seen["HEALTH_FILE"].startswith(str(checkout.place.runtime))
    assert str(Path(sys.executable).parent) == seen["PATH"].split(":")[0]
    assert 0o600 == checkout.place.program("worker-1").stat().st_mode & 0o777, "it holds the secret"


def test_the_checkout_s_own_environment_comes_first(checkout: Checkout) -> None:
    own = checkout.root / ".venv" / "bin"
    own.mkdir(parents=True)
    (own / "mine").write_text("#!/bin/sh\ntouch /tmp/mine; exec sleep 600\n")
    (own / "mine").chmod(0o755)
    assert "ready" == up(checkout.open(WORKER_RUNS="exec mine"), "worker").services[1].phase


def test_a_port_in_use_names_its_holder_and_starts_nothing(checkout: Checkout) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(DevctlError) as caught:
            up(checkout.open(WEB_PORT=str(port)), "web")
    assert f"port {port} is in use" in caught.value.problem
    assert f"(pid {os.getpid()})" in caught.value.problem
    assert "WEB_PORT=" in caught.value.hint
    assert [] == checkout.processes()


def test_a_command_that_is_not_there_is_named_before_anything_starts(checkout: Checkout) -> None:
    with pytest.raises(DevctlError, match="worker runs 'no-such-program'") as caught:
        checkout.open(SHELL_PROGRAM="no-such-program").start("worker")
    assert "--runtime compose" in caught.value.hint
    assert [] == checkout.processes()


def test_a_crash_at_start_is_told_with_its_exit_code_and_its_last_words(checkout: Checkout) -> None:
    report = up(checkout.open(WORKER_RUNS="echo ConfigError: no number >&2; exit 3"), "worker")
    worker = failed(report)
    assert ("worker", "crashed") == (worker.service, worker.phase)
    assert "exit 3" in worker.detail
    assert "ConfigError: no number" in worker.log
    assert failure(report) is not None


def test_a_crash_is_told_without_what_an_earlier_start_said(checkout: Checkout) -> None:
    ready(checkout.open(WORKER_RUNS="echo old; exec sleep 600"), "worker")
    worker = failed(up(checkout.open(WORKER_RUNS="echo new; exit 3"), "worker"))
    assert ("crashed", True, False) == (worker.phase, "new" in worker.log, "old" in worker.log)


def test_a_worker_that_exits_with_0_has_crashed_all_the_same(checkout: Checkout) -> None:
    worker = failed(up(checkout.open(WORKER_RUNS="echo done"), "worker"))
    assert ("worker", "crashed") == (worker.service, worker.phase)
    assert "exit 0" in worker.detail


def test_a_service_that_is_never_healthy_is_late_and_its_check_is_quoted(checkout: Checkout) -> None:
    report = up(checkout.open(WORKER_CHECK="echo 503 broker refused; exit 1"), "worker", timeout=2)
    assert ("worker", "timed out") == (failed(report).service, failed(report).phase)
    assert "503 broker refused" in failed(report).health_output


def test_a_health_check_that_hangs_does_not_hold_up_the_looks(checkout: Checkout) -> None:
    runtime = checkout.open(WORKER_CHECK="sleep 60")
    ready(runtime, "redis")
    runtime.start("worker")
    wait(lambda: runtime.status()[1].pid)
    wait(lambda: _seconds(runtime.status) > 0.5)  # the first answer is waited for, a second long
    assert min(_seconds(runtime.status) for _ in range(3)) < 0.5


def test_a_worker_that_is_killed_comes_back_and_is_counted(checkout: Checkout) -> None:
    runtime = checkout.open()
    pid = ready(runtime, "worker")["worker-1"].pid
    assert pid
    time.sleep(1.1)  # it is up for good after a second; before that it is a failed start
    os.kill(pid, signal.SIGKILL)
    wait(lambda: runtime.status()[1].restarts == 1 and runtime.status()[1].state == "running")
    worker = runtime.status()[1]
    assert (137, True) == (worker.exit_code, worker.pid != pid)


def test_a_service_that_does_not_hear_is_killed_after_its_grace_with_its_children(checkout: Checkout) -> None:
    runtime = checkout.open(
        WORKER_RUNS="trap '' TERM; sleep 600 & touch /tmp/deaf; while :; do sleep 0.1; done",
        WORKER_CHECK="test -e /tmp/deaf",
    )
    ready(runtime, "worker")
    begun = time.monotonic()
    runtime.stop()
    assert 1.0 <= time.monotonic() - begun < 6.0
    assert [] == checkout.processes()


def test_children_that_outlive_their_service_are_ended(checkout: Checkout) -> None:
    runtime = checkout.open(WORKER_RUNS="sleep 600 & wait")
    ready(runtime, "worker")
    runtime.stop(["worker"])
    assert [] == [p for p in checkout.processes() if "sleep" in p.name()]


def test_a_term_signal_reaches_the_service_and_not_its_children(checkout: Checkout) -> None:
    child = "trap 'echo child hit' TERM; for i in 1 2 3 4 5; do sleep 0.1; done; echo child finished"
    runtime = checkout.open(WORKER_RUNS=f'sh -c "{child}" & trap "wait; exit 0" TERM; wait; echo "$!"', RESTART="no")
    with_follow: list[str] = []
    runtime.start("redis", "worker")
    with runtime.logs(["worker"], follow=True) as lines:
        reader = threading.Thread(target=lambda: with_follow.extend(line.text for line in lines), daemon=True)
        reader.start()
        time.sleep(0.3)
        runtime._supervisor.stop(["worker-1"], 5.0)
        wait(lambda: "child finished" in with_follow)
    assert "child hit" not in with_follow


def test_a_killed_supervisor_leaves_children_and_stop_ends_them(checkout: Checkout) -> None:
    ready(checkout.open(), "worker", "web")
    checkout.supervisor().kill()
    runtime = checkout.open()
    assert ["running"] * 3 == [replica.state for replica in runtime.status()], "they live on without it"
    runtime.stop()
    assert [] == checkout.processes()
    assert [] == runtime.status()


def test_a_stop_of_one_service_that_a_killed_supervisor_left(checkout: Checkout) -> None:
    ending = "trap 'sleep 0.5; touch finished; exit' TERM; while :; do sleep 0.1; done"
    ready(checkout.open(WORKER_RUNS=ending), "worker", "web")
    checkout.supervisor().kill()
    runtime = checkout.open()
    pids = {replica.name: replica.pid for replica in runtime.status()}

    runtime.stop(["worker"])

    assert (checkout.root / "finished").exists(), "it had its grace"
    assert pids["worker-1"] not in [p.pid for p in checkout.processes()]
    assert [("redis-1", "running"), ("web-1", "running")] == [(r.name, r.state) for r in runtime.status()]
    assert pids["web-1"] in [p.pid for p in checkout.processes()], "the others go on"


def test_a_stop_of_one_service_under_a_supervisor_that_does_not_hear(checkout: Checkout) -> None:
    ready(checkout.open(), "worker")
    shutil.rmtree(checkout.place.runtime)
    runtime = checkout.open()

    runtime.stop(["worker"])

    supervisors = [p for p in checkout.processes() if "supervisor.supervisord" in p.cmdline()]
    assert [] == supervisors, "nobody is there to start it again"
    assert [] == [p for p in checkout.processes() if "sleep" in p.name()]
    assert [("redis-1", "running")] == [(r.name, r.state) for r in runtime.status()]


def test_a_restart_of_what_a_killed_supervisor_left_says_that_it_lives_and_cannot_be(checkout: Checkout) -> None:
    ready(checkout.open(), "worker")
    checkout.supervisor().kill()
    runtime = checkout.open()

    with pytest.raises(
        DevctlError, match="worker-1 cannot be restarted: the supervisor that started it was killed"
    ) as problem:
        runtime.restart(["worker"])

    assert "stop it and start a new one: devctl up redis worker" == problem.value.hint
    runtime.stop(["worker"])
    with pytest.raises(DevctlError, match="worker does not run"):
        runtime.restart(["worker"])


@pytest.mark.parametrize("then", ["up", "down", "down worker"])
def test_a_supervisor_that_is_ending_is_waited_for_and_its_programs_have_their_grace(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    monkeypatch.setattr(local_runtime, "_LEFTOVER_GRACE_SECONDS", 0.0)
    # Longer than anything else here that could end it: a shutdown takes 2.5 seconds.
    ending = "trap 'sleep 4; touch finished; exit' TERM; while :; do sleep 0.1; done"
    runtime = checkout.open(WORKER_RUNS=ending, WORKER_GRACE="20s")
    before = ready(runtime, "worker")
    supervisor = checkout.supervisor()
    supervisor.terminate()
    wait(Supervisor(checkout.place).ending)
    assert "running" == {r.name: r.state for r in runtime.status()}["worker-1"], "it answers no question any more"

    if then == "up":
        again = ready(checkout.open(), "worker")
        assert before["worker-1"].pid != again["worker-1"].pid
    else:
        runtime.stop(["worker"] if "worker" in then else None)
        assert "worker-1" not in [replica.name for replica in runtime.status()]

    assert (checkout.root / "finished").exists(), "it had its grace"
    assert before["worker-1"].pid not in [p.pid for p in checkout.processes()]


def test_a_supervisor_that_ends_between_question_and_order_is_a_named_problem(checkout: Checkout) -> None:
    ready(checkout.open(WORKER_RUNS="trap 'sleep 0.5; exit' TERM; while :; do sleep 0.1; done"), "worker")
    supervisor = Supervisor(checkout.place)
    checkout.supervisor().terminate()
    wait(supervisor.ending)
    with pytest.raises(DevctlError, match="supervisord stopped answering"):
        supervisor.stop(["worker-1"], 1.0)


def test_a_start_over_what_a_killed_supervisor_left(checkout: Checkout) -> None:
    first = ready(checkout.open(), "worker")
    say(checkout.open(), "SET", "kept", "yes")
    checkout.supervisor().kill()
    runtime = checkout.open()
    again = ready(runtime, "worker")
    assert first["redis-1"].pid != again["redis-1"].pid
    assert again["redis-1"].pid in [p.pid for p in checkout.processes()]
    assert first["redis-1"].pid not in [p.pid for p in checkout.processes()]
    assert "yes" in say(runtime, "GET", "kept"), "an accepted task survives"
    assert first["redis-1"].ports == again["redis-1"].ports


def test_a_start_over_a_state_directory_whose_processes_are_all_gone(checkout: Checkout) -> None:
    ready(checkout.open(), "worker")
    for process in [checkout.supervisor(), *checkout.supervisor().children(recursive=True)]:
        process.kill()
    wait(lambda: not checkout.processes())
    runtime = checkout.open()
    assert {"exited"} == {replica.state for replica in runtime.status()}
    ready(runtime, "worker")


def test_a_socket_folder_that_was_tidied_away_is_recovered_from(checkout: Checkout) -> None:
    ready(checkout.open(), "redis")
    shutil.rmtree(checkout.place.runtime)
    runtime = checkout.open()
    ready(runtime, "redis")
    runtime.stop()
    assert [] == checkout.processes()


def test_another_runtime_folder_in_the_environment_is_no_other_stack(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ready(checkout.open(), "redis")
    (tmp_path / "xdg").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "xdg"))
    assert before["redis-1"].pid == ready(checkout.open(), "redis")["redis-1"].pid


def test_a_checkout_that_cannot_be_written_is_named(checkout: Checkout) -> None:
    checkout.place.state.parent.mkdir(parents=True)
    checkout.place.state.write_text("a file where a folder is needed: root may write anywhere")
    with pytest.raises(DevctlError, match="cannot be written"):
        checkout.open().start("redis")
    checkout.place.state.unlink()


def test_half_written_state_is_no_obstacle(checkout: Checkout) -> None:
    place = checkout.place
    place.make()
    place.program("worker-1").write_text('{"service": "wor')
    (place.state / "ports.json").write_text("{")
    (place.state / "supervisord.json").write_text("")
    ready(checkout.open(), "worker")


@pytest.mark.parametrize("started_at", [1_767_225_600.0, psutil.boot_time() + 1], ids=["before the boot", "since"])
def test_a_process_that_got_an_old_number_is_not_ours_to_end(checkout: Checkout, started_at: float) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        place = checkout.place
        place.make()
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(started_at))
        place.journal.write_text(f"{moment},000 INFO spawned: 'worker-1' with pid {stranger.pid}\n")
        (place.state / "supervisord.json").write_text(json.dumps({"pid": stranger.pid, "started_at": started_at}))
        checkout.open().stop()
        assert stranger.poll() is None
        stranger.kill()


def test_two_checkouts_with_one_name_run_at_once(checkout: Checkout, tmp_path: Path) -> None:
    other = Checkout(tmp_path / "other" / checkout.root.name)
    try:
        mine, theirs = checkout.open(), other.open()
        ready(mine, "redis")
        ready(theirs, "redis")
        say(mine, "SET", "whose", "mine")
        assert "$-1" == say(theirs, "GET", "whose")
        mine.stop()
        assert "+PONG" == say(theirs, "PING")
    finally:
        other.open().stop(volumes=True)
    assert [] == other.processes()


def test_an_isolated_stack_beside_the_first_keeps_its_ports_and_goes_alone(checkout: Checkout) -> None:
    own = checkout.open()
    blue = checkout.settings("blue")
    identity.isolate(blue)
    ready(own, "web", "redis")
    isolated = LocalRuntime.open(blue)
    first = ready(isolated, "web", "redis")
    isolated.stop()
    again = ready(isolated, "web", "redis")
    assert {name: r.ports for name, r in first.items()} == {name: r.ports for name, r in again.items()}
    isolated.stop(volumes=True)
    identity.forget(blue)
    assert ["redis-1", "web-1"] == [replica.name for replica in own.status()]


def test_data_outlives_a_down_and_goes_with_its_volumes(checkout: Checkout) -> None:
    runtime = checkout.open()
    ready(runtime, "redis")
    say(runtime, "SET", "kept", "yes")
    runtime.stop()
    ready(runtime, "redis")
    assert "yes" in say(runtime, "GET", "kept")
    runtime.stop(volumes=True)
    ready(runtime, "redis")
    assert "$-1" == say(runtime, "GET", "kept")


def test_only_what_changed_in_the_file_is_started_again_and_its_log_goes_on(checkout: Checkout) -> None:
    before = ready(checkout.open(WORKER_RUNS="echo old; exec sleep 600"), "worker")
    runtime = checkout.open(WORKER_RUNS="echo new; exec sleep 600")
    after = ready(runtime, "worker")
    wait(lambda: _log(runtime) == ["old", AGAIN, "new"])
    assert before["redis-1"].pid == after["redis-1"].pid
    assert before["worker-1"].pid != after["worker-1"].pid


def test_a_log_goes_on_after_a_restart_and_goes_with_a_stop(checkout: Checkout) -> None:
    runtime = checkout.open(
        WORKER_RUNS="echo started; touch /tmp/said; exec sleep 600", WORKER_CHECK="test -e /tmp/said"
    )
    ready(runtime, "worker")
    runtime.restart(["worker"])
    wait(lambda: _log(runtime) == ["started", AGAIN, "started"])
    runtime.stop(["worker"])
    ready(runtime, "worker")
    assert ["started"] == _log(runtime)


def test_ctrl_c_in_the_middle_of_up_reaches_no_service_and_down_cleans(checkout: Checkout) -> None:
    environ = {**os.environ, "WORKER_CHECK": "exit 1", "DEVCTL_RUNTIME": "local"}
    with subprocess.Popen(
        [sys.executable, "-m", "devctl", "up", "worker"],
        cwd=checkout.root,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as command:
        runtime = checkout.open(WORKER_CHECK="exit 1")
        wait(lambda: any(replica.service == "worker" for replica in runtime.status()))
        os.killpg(command.pid, signal.SIGINT)  # as a terminal does: to all of its foreground group
        assert 130 == command.wait(timeout=20)
    assert ["running", "running"] == [replica.state for replica in runtime.status()]
    assert (
        0
        == subprocess.run(
            [sys.executable, "-m", "devctl", "down"], cwd=checkout.root, env=environ, check=False
        ).returncode
    )
    assert [] == checkout.processes()


def test_two_starts_at_once_end_in_one_stack(checkout: Checkout) -> None:
    runtimes = [checkout.open() for _ in range(3)]
    threads = [threading.Thread(target=runtime.start, args=("redis", "web")) for runtime in runtimes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert ["redis-1", "web-1"] == [replica.name for replica in runtimes[0].status()]
    assert 1 == len([p for p in checkout.processes() if "supervisor.supervisord" in p.cmdline()])


def test_up_and_down_are_quick(checkout: Checkout) -> None:
    runtime = checkout.open()
    begun = time.monotonic()
    ready(runtime, "redis", "web")
    started = time.monotonic()
    runtime.stop()
    assert started - begun < 10, "1 s on a quiet machine"
    assert time.monotonic() - started < 10, "0.4 s on a quiet machine"


def _seconds(call: Callable[[], object]) -> float:
    begun = time.monotonic()
    call()
    return time.monotonic() - begun


def _log(runtime: LocalRuntime) -> list[str]:
    with runtime.logs(["worker"]) as lines:
        return [re.sub(r"^\S+Z devctl: started again$", AGAIN, line.text) for line in lines]


def test_a_change_of_its_code_makes_a_service_stale_until_the_next_start(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "checkout")
    compose = checkout.root / "docker-compose.yml"
    compose.write_text(compose.read_text().replace("    image: worker\n", "    image: worker\n    build: ./worker\n"))
    code = checkout.root / "worker/code.py"
    code.parent.mkdir()
    code.write_text("x = 1\n")
    runtime = checkout.open()
    try:
        assert start(runtime, ["worker"]).failure is None
        assert [] == runtime.stale()
        code.write_text("x = 22\n")
        assert ["worker"] == runtime.stale()
        before = {replica.name: replica.started_at for replica in runtime.status()}
        report = start(runtime, ["worker"])
        assert report.failure is None
        after = {replica.name: replica.started_at for replica in runtime.status()}
        assert before["redis-1"] == after["redis-1"]
        assert before["worker-1"] != after["worker-1"]
        assert [] == runtime.stale()

        code.write_text("x = 333\n")
        assert ["worker"] == runtime.stale()
        code.write_text("x = 22\n")  # as after a `git checkout`: another time, the same code
        assert [] == runtime.stale()
        assert start(runtime, ["worker"]).failure is None
        assert after == {replica.name: replica.started_at for replica in runtime.status()}
    finally:
        runtime.stop(volumes=True)


def test_who_asks_for_a_start_of_what_crashes_gets_a_new_try(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "checkout")
    sign = checkout.root / "mended"
    crashes = f"test -e {sign} && exec sleep 600; echo the old crash; exit 3"
    runtime = checkout.open(WORKER_RUNS=crashes)
    try:
        failed = start(runtime, ["worker"]).failure
        assert failed is not None
        assert "the old crash" in failed.log
        time.sleep(1.5)  # by now the supervisor waits for its next try
        sign.touch()
        report = start(runtime, ["worker"])
        assert report.failure is None, report.failure
        assert "the old crash" in _log(runtime)
    finally:
        runtime.stop(volumes=True)


def test_a_broker_without_ports_has_one_of_its_own_in_each_stack_and_keeps_it(checkout: Checkout) -> None:
    compose = checkout.root / "docker-compose.yml"
    compose.write_text(compose.read_text().replace('    ports: ["127.0.0.1:${REDIS_PORT:-0}:6379"]\n', ""))
    identity.create(checkout.settings("two"), {})
    says = {"WORKER_RUNS": "echo $URL; exec sleep 600"}
    stacks = [checkout.open(**says), checkout.open("two", **says)]
    for runtime in stacks:
        ready(runtime, "worker")
    ports = [runtime.address("redis", 6379)[1] for runtime in stacks]

    assert ports[0] != ports[1]
    for runtime, port in zip(stacks, ports, strict=True):
        with runtime.logs(["worker"]) as lines:
            assert f"redis://127.0.0.1:{port}/0" == next(lines).text
    stacks[0].stop()
    ready(stacks[0], "redis")
    assert ports[0] == stacks[0].address("redis", 6379)[1]


def test_somebody_else_s_redis_on_the_port_is_neither_healthy_nor_an_address(checkout: Checkout) -> None:
    ready(checkout.open(), "redis")
    port = ports.any_free()
    command = [redis.binary(os.environ["PATH"]), "--port", str(port), "--save", "", "--dir", str(checkout.root)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as stranger:
        try:
            wait(lambda: redis.ping(port, "", 1)[0])
            file = checkout.place.program("redis-1")
            file.write_text(json.dumps({**json.loads(file.read_text()), "ports": {"6379": port}}))
            runtime = checkout.open()
            with pytest.raises(DevctlError, match=rf"another Redis \(pid {stranger.pid}\) answers on port {port}"):
                runtime.address("redis", 6379)
            assert "healthy" != runtime.status()[0].health
        finally:
            stranger.kill()


def test_a_redis_without_a_health_check_is_ready_when_it_answers(checkout: Checkout) -> None:
    compose = checkout.root / "docker-compose.yml"
    compose.write_text(compose.read_text().replace("    healthcheck: {test: [CMD, redis-cli, ping]}\n", "", 1))
    assert "healthy" == ready(checkout.open(), "redis")["redis-1"].health
