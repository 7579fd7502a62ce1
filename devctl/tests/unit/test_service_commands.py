"""up, down, ps, restart, scale and build, on the fake runtime."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from devctl import settings
from devctl.__main__ import main
from devctl.cli import options
from devctl.cli.app import COMMANDS, name_of
from devctl.errors import DevctlError, OtherCheckout
from devctl.stack import identity
from devctl.stack import start as steps
from devctl.stack.fake import Behaviour, FakeRuntime
from devctl.watch.changes import Changes, Watcher
from devctl.workbench import Workbench

SCHEMAS = Path(__file__).parents[3] / "docs/json"


class Ran:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def document(self) -> Any:
        document = json.loads(self.out)
        name = document["schema"].removeprefix("devctl.").removesuffix("/1")
        if name != "error":
            jsonschema.validate(document, json.loads((SCHEMAS / f"{name}.schema.json").read_text()))
        return document


@pytest.fixture
def run(fakes: Any, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> Ran:
        try:
            code = main(arguments)
        except SystemExit as ended:  # Ctrl-C as the usual end
            code = int(ended.code or 0)
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return run


def test_up_says_what_is_ready_where_and_what_to_do_next(fakes: Any, run: Any) -> None:
    ran = run("up", "service1")

    assert 0 == ran.code
    lines = [re.sub(r"\d+\.\d+s", "0.1s", line) for line in ran.out.splitlines()]
    assert "✔ redis      0.1s  ready  127.0.0.1:6379" == lines[0]
    assert "✔ service1   0.1s  ready  http://127.0.0.1:8001" == lines[1]
    assert "  waited for redis 0.1s, then its own start 0.1s" == lines[2]
    assert "runtime  local (a test)" == ran.err.splitlines()[0]
    assert "→ devctl up worker   no worker runs yet: tasks wait in their queues" in ran.err
    assert "→ devctl send-task   publish a sample task" in ran.err


def test_what_up_starts_can_be_measured(fakes: Any, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_MOUNT", "audit.mount")
    compose = fakes.root / "docker-compose.yml"
    passed_on = "    build: ./worker\n    environment: {WORKER_MOUNT: '${WORKER_MOUNT:-}'}\n"
    compose.write_text(compose.read_text().replace("    build: ./worker\n", passed_on))

    assert 0 == run("up", "worker", "--no-build").code
    assert "audit.mount,celeriac.workbench" == fakes.runtime.stack.services["worker"].environment["WORKER_MOUNT"]


def test_up_names_what_a_service_uses_and_does_not_depend_on(fakes: Any, run: Any) -> None:
    compose = fakes.root / "docker-compose.yml"
    text = compose.read_text().replace("    depends_on: {redis: {condition: service_healthy}}\n", "")
    compose.write_text(text.replace("    build: ./worker\n", "    environment: {BROKER_URL: 'redis://redis'}\n"))
    said = run("up", "worker", "--no-build")
    assert 0 == said.code
    assert "! worker uses redis (BROKER_URL) and does not depend on it: it is not started with it" in said.err
    assert "→ devctl up worker redis" in said.err.splitlines()
    assert "does not depend" not in run("up", "worker", "redis", "--no-build").err
    assert "does not depend" not in run("up", "worker", "--no-build").err  # it runs now

    fakes.runtime.behaviours["worker"] = Behaviour(exits_after=0)
    run("down")
    failed = run("up", "worker", "--no-build")
    assert 4 == failed.code
    assert "→ devctl up worker redis   what it uses, too" in failed.err.splitlines()


def test_up_says_that_a_variable_is_misspelt(fakes: Any, run: Any) -> None:
    (fakes.root / ".env").write_text("SERVICE_PORT=8005\n")

    ran = run("up", "service1")

    said = ["! SERVICE_PORT in .env reaches no service", "→ did you mean SERVICE1_PORT?"]
    assert said == ran.err.splitlines()[1:3]


def test_up_in_a_pipe_names_each_service_once_without_colour(fakes: Any, run: Any) -> None:
    ran = run("up", "service1")

    told = [line.split()[:2] for line in (ran.err + ran.out).splitlines() if line[:1] in "●✔"]
    assert [["✔", "redis"], ["✔", "service1"]] == told
    assert "\x1b" not in ran.err + ran.out


def test_run_says_where_the_service_will_answer(fakes: Any, run: Any) -> None:
    ran = run("run", "service1")

    assert "run      service1: http://127.0.0.1:8001" in ran.err.splitlines()
    assert "service1: 127" not in run("run", "worker").err, "it has no port"


def test_ctrl_c_ends_a_run_without_an_error(fakes: Any, run: Any) -> None:
    fakes.behaviours["worker"] = Behaviour(healthy_after=0.02, exit_code=130)
    run("up", "worker")
    ran = run("run", "worker")

    assert 130 == ran.code
    assert "run      worker stopped; its replica started again" == ran.err.splitlines()[-1]


def test_up_takes_an_alias_for_a_service(fakes: Any, run: Any) -> None:
    assert 0 == run("up", "api").code
    assert ["start redis", "start service1"] == fakes.runtime.calls


def test_up_of_something_unknown_suggests_what_was_meant(fakes: Any, run: Any) -> None:
    ran = run("up", "sevice1")

    assert 2 == ran.code
    assert "did you mean service1?" in ran.err


def test_up_json_follows_its_schema(fakes: Any, run: Any) -> None:
    ran = run("up", "--json")

    document = ran.document
    assert "" == ran.err
    assert "devctl.up/1" == document["schema"]
    assert ["redis", "worker", "service1"] == [s["name"] for s in document["services"]]
    assert ["http://127.0.0.1:8001"] == document["services"][2]["addresses"]


def test_a_crash_is_exit_4_with_the_log_and_the_next_command(fakes: Any, run: Any) -> None:
    fakes.behaviours["worker"] = Behaviour(exits_after=0, exit_code=0, logs=("ConfigError: WORKER_CONCURRENCY=abc",))

    ran = run("up")

    assert 4 == ran.code
    assert "✘ worker crashed after" in ran.err
    assert "  │ ConfigError: WORKER_CONCURRENCY=abc" in ran.err
    assert "all of its log: devctl logs worker" in ran.err
    assert "→ fix what its log says, then: devctl up worker" in ran.err


def test_a_crash_says_what_became_of_the_others_that_were_asked_for(fakes: Any, run: Any) -> None:
    fakes.behaviours["worker"] = Behaviour(healthy_after=None)
    fakes.behaviours["service1"] = Behaviour(exits_after=0)

    ran = run("up", "worker", "service1")

    assert 4 == ran.code
    assert "✘ service1 crashed after" in ran.err
    assert "  was not ready yet when that happened: worker" in ran.err.splitlines()


def test_a_crash_for_want_of_an_installation_names_the_command_that_installs(fakes: Any, run: Any) -> None:
    fakes.behaviours["worker"] = Behaviour(exits_after=0, logs=("ModuleNotFoundError: No module named 'worker.x'",))

    assert "→ fix what its log says" in run("up", "worker").err
    (fakes.root / "worker/src/worker").mkdir(parents=True)
    ran = run("up", "worker")

    assert 4 == ran.code
    assert "→ worker is not installed in .venv: make setup, then: devctl up worker" in ran.err


def test_up_advises_no_worker_beside_the_one_in_a_terminal(
    fakes: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeRuntime, "in_terminal", lambda _: ["worker"])

    ran = run("up", "service1")

    assert 0 == ran.code
    assert "devctl up worker" not in ran.err
    assert "→ devctl send-task   publish a sample task" in ran.err


def test_a_crash_in_json_is_one_error_document(fakes: Any, run: Any) -> None:
    fakes.behaviours["worker"] = Behaviour(exits_after=0)

    ran = run("up", "--json")

    assert 4 == ran.code
    assert ("devctl.error/1", 4) == (ran.document["schema"], ran.document["exit_code"])


def test_not_ready_in_time_is_exit_3_with_what_the_check_says(fakes: Any, run: Any) -> None:
    fakes.behaviours["service1"] = Behaviour(healthy_after=None, health_output="GET /ready: 503 broker refused")

    ran = run("up", "service1", "--timeout", "0.2")

    assert 3 == ran.code
    assert "service1 is not ready after 0.2s: GET /ready: 503 broker refused" in ran.err


def test_a_refused_start_is_named(fakes: Any, run: Any) -> None:
    fakes.behaviours["service1"] = Behaviour(refuses=DevctlError("port 8001 is in use", hint="SERVICE1_PORT=8011 …"))

    ran = run("up", "service1")

    assert 1 == ran.code
    assert "✘ port 8001 is in use\n→ SERVICE1_PORT=8011 …\n" in ran.err


def test_ctrl_c_is_exit_130_and_says_how_to_clean_up(fakes: Any, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "start", interrupted)

    ran = run("up")

    assert 130 == ran.code
    assert "interrupted" in ran.err
    assert "devctl down" in ran.err


@pytest.mark.parametrize("wrong", ["worker", "worker=many", "worker=-1", "=3"])
def test_a_scale_that_is_none_is_a_usage_error(fakes: Any, run: Any, wrong: str) -> None:
    ran = run("scale", wrong) if not wrong.startswith("-") else run("scale", "--", wrong)

    assert 2 == ran.code
    assert "SERVICE=N, such as worker=4" in ran.err


def test_scale_starts_that_many_and_json_says_so(fakes: Any, run: Any) -> None:
    document = run("scale", "worker=3", "--json").document

    assert {"redis": 1, "worker": 3} == {s["name"]: s["replicas"] for s in document["services"]}


def test_scale_to_none_is_done_at_once(fakes: Any, run: Any) -> None:
    run("up")

    assert 0 == run("scale", "worker=0").code
    assert {"redis", "service1"} == {r.service for r in fakes.runtime.status()}


def test_a_fixed_port_is_not_scaled(fakes: Any, run: Any) -> None:
    ran = run("scale", "service1=2")

    assert 2 == ran.code
    assert "service1 cannot have 2 replicas: it publishes the fixed port 8001" in ran.err


def test_ps_is_a_table_in_the_order_of_the_file(fakes: Any, run: Any) -> None:
    run("up", "--scale", "worker=2")

    lines = run("ps").out.splitlines()

    assert ["SERVICE", "STATE", "HEALTH", "UP", "CPU", "MEM", "PORTS"] == lines[0].split()
    assert ["redis", "running", "healthy", "0s", "1.0%", "10", "MB", "127.0.0.1:6379"] == lines[1].split()
    assert ["worker", "running", "healthy", "0s", "2/2", "2.0%", "20", "MB"] == lines[2].split()
    assert max(map(len, lines)) < 80


def test_ps_json_follows_its_schema(fakes: Any, run: Any) -> None:
    run("up")

    document = run("ps", "--json").document

    assert ("devctl.ps/1", "local") == (document["schema"], document["runtime"])
    service1 = document["services"][2]
    assert ("service1", "running", "healthy", 1) == tuple(service1[k] for k in ("name", "state", "health", "replicas"))
    assert ["127.0.0.1:8001->8001"] == service1["ports"]


def test_ps_says_why_a_service_is_degraded_and_up_takes_it_for_ready(fakes: Any, run: Any) -> None:
    fakes.behaviours["worker"] = Behaviour(degraded="orders is paused")
    assert 0 == run("up").code

    lines = run("ps").out.splitlines()
    document = run("ps", "--json").document

    assert ["worker", "running", "degraded"] == lines[2].split()[:3]
    assert "! worker is degraded: orders is paused" == lines[-1]
    worker = next(one for one in document["services"] if one["name"] == "worker")
    assert ("degraded", "orders is paused", 1) == (worker["health"], worker["why"], worker["ready"])


def test_ps_of_nothing_says_what_to_do(fakes: Any, run: Any) -> None:
    ran = run("ps")

    assert (0, "") == (ran.code, ran.out)
    assert "nothing runs\n→ devctl up" in ran.err
    assert [] == run("ps", "--json").document["services"]


def test_ps_shows_the_exit_code_of_what_is_gone(fakes: Any, run: Any) -> None:
    fakes.behaviours["redis"] = Behaviour(exits_after=0, exit_code=137)
    run("up", "redis")

    assert "redis    exited  -       exit 137" in run("ps").out


def test_restart_waits_until_all_are_ready(fakes: Any, run: Any) -> None:
    run("up")

    document = run("restart", "--json").document

    assert "restart redis worker service1" == fakes.runtime.calls[-1]
    assert ["ready"] * 3 == [s["state"] for s in document["services"]]


def test_restart_of_what_does_not_run_is_a_problem(fakes: Any, run: Any) -> None:
    run("up", "redis")

    ran = run("restart", "worker")

    assert 1 == ran.code
    assert "worker does not run: nothing to restart" in ran.err
    assert "→ devctl up worker" in ran.err


def test_down_keeps_the_data_unless_told(fakes: Any, run: Any) -> None:
    run("up")

    document = run("down", "--json").document

    assert "stop" == fakes.runtime.calls[-1]
    assert (["redis", "worker", "service1"], False) == (document["services"], document["data_removed"])
    assert "the data stays" in run("down").out
    run("down", "--volumes")
    assert "stop --volumes" == fakes.runtime.calls[-1]


def test_data_goes_as_a_whole_or_not_at_all(fakes: Any, run: Any) -> None:
    run("up")
    before = list(fakes.runtime.calls)

    ran = run("down", "redis", "--volumes")

    assert (2, "") == (ran.code, ran.out)
    assert "--volumes removes the whole stack's data, not that of single services" in ran.err
    assert "→ devctl down --volumes" in ran.err
    assert before == fakes.runtime.calls, "nothing was done"


def test_down_of_one_service_leaves_the_others(fakes: Any, run: Any) -> None:
    run("up")

    assert 0 == run("down", "worker").code

    assert {"redis", "service1"} == {r.service for r in fakes.runtime.status()}


def test_an_isolated_stack_has_its_name_its_ports_and_goes_with_all_it_has(fakes: Any, run: Any) -> None:
    run("up")
    up = run("up", "--isolated", "--json").document

    name = up["stack"]
    assert re.fullmatch("[a-z0-9]{4}", name)
    assert "8001" not in up["services"][2]["ports"][0].partition("->")[0]
    assert name == run("ps", "--stack", name, "--json").document["stack"]
    down = run("down", "--stack", name, "--json").document
    assert down["data_removed"]
    assert "stop --volumes" == fakes.runtimes[name].calls[-1]
    assert 3 == len(fakes.runtime.status()), "the checkout's own stack goes on"
    gone = run("ps", "--stack", name)
    assert 2 == gone.code
    assert f"no stack '{name}' here" in gone.err


def test_an_isolated_stack_can_be_given_its_name(fakes: Any, run: Any) -> None:
    ran = run("up", "--isolated", "--stack", "blue", "service1")

    assert 0 == ran.code
    assert "stack    blue" in ran.err
    assert "→ devctl down --stack blue" in ran.err


def test_build_builds_what_has_a_build(fakes: Any, run: Any) -> None:
    runtime = "compose"
    assert 0 == run("ps").code
    fakes.runtime.name = runtime

    document = run("build", "--json").document

    assert "build worker service1" == fakes.runtime.calls[-1]
    assert ["worker", "service1"] == document["services"]
    ran = run("build")
    assert ["building worker, service1", "built worker, service1 in 0.0s"] == [
        line[2:] for line in (ran.err + ran.out).splitlines() if "worker" in line
    ]


def test_build_of_a_service_without_one_says_so(fakes: Any, run: Any) -> None:
    run("ps")
    fakes.runtime.name = "compose"

    ran = run("build", "redis")

    assert (0, "") == (ran.code, ran.out)
    assert "nothing to build for redis: the image is pulled" in ran.err


def test_where_services_run_from_devctl_s_own_environment_there_is_nothing_to_build(
    fakes: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeRuntime, "buildable", lambda self, services: [])
    ran = run("build")

    assert 0 == ran.code
    assert "nothing to build: the local runtime runs the sources" in ran.err
    assert [] == fakes.runtime.calls


@pytest.mark.parametrize("command", ["up", "down", "ps", "restart", "scale", "build"])
def test_help_has_an_example_and_the_exit_codes_within_80_columns(fakes: Any, run: Any, command: str) -> None:
    ran = run(command, "--help")

    assert f"  devctl {command}" in ran.out
    assert "Exit codes: 0" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


@pytest.mark.parametrize("command", [name_of(one) for one in COMMANDS] + ["chaos"])
def test_help_names_each_value_and_fits_80_columns(run: Any, command: str) -> None:
    ran = run(command, "--help")

    assert 0 == ran.code
    assert [] == [line for line in ran.out.splitlines() if len(line) > 80 or "<" in line.partition("  [")[0][:32]]


def test_up_warns_of_a_variable_that_nobody_set(fakes: Any, run: Any) -> None:
    file = fakes.root / "docker-compose.yml"
    file.write_text(file.read_text() + "    environment: {TOKEN: $MISSING_TOKEN}\n")

    ran = run("up", "redis")

    assert 0 == ran.code
    assert "! docker-compose.yml:20: MISSING_TOKEN is not set, and empty here" in ran.err


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("  redis:", "  redis: ["), "docker-compose.yml:6: not YAML"),
        (("    image: redis:8-alpine", "    image: x\n    depends_on: [worker]"), "redis → worker → redis"),
        (("${REDIS_PORT:-6379}", "${REDIS_PORT:?say which}"), "REDIS_PORT is not set: say which"),
    ],
)
def test_a_broken_compose_file_is_named_with_its_line(
    fakes: Any, run: Any, change: tuple[str, str], problem: str
) -> None:
    file = fakes.root / "docker-compose.yml"
    file.write_text(file.read_text().replace(*change))

    for command in (["up"], ["ps"], ["down"]):
        ran = run(*command)
        assert 1 == ran.code
        assert "docker-compose.yml:" in ran.err
        assert problem in ran.err


def test_up_restarts_what_changed_and_says_so(fakes: Any, run: Any) -> None:
    assert 0 == run("up").code
    fakes.runtime.changed.add("worker")

    ran = run("up")

    (line,) = [line for line in ran.out.splitlines() if " worker " in line]
    assert line.endswith("restarted: its code or settings changed")
    assert "running already" in next(line for line in ran.out.splitlines() if " service1 " in line)


def test_ps_says_whose_code_changed_and_what_to_do(fakes: Any, run: Any) -> None:
    assert 0 == run("up").code
    assert "changed" not in run("ps").err
    fakes.runtime.changed.add("worker")

    ran = run("ps")

    assert "! code changed since it started: worker" in ran.err
    assert "→ devctl up worker   run the code as it is now" in ran.err
    services = run("ps", "--json").document["services"]
    assert {"redis": False, "worker": True, "service1": False} == {s["name"]: s["code_changed"] for s in services}


def test_watch_of_what_does_not_run_names_the_command_that_starts_it(fakes: Any, run: Any) -> None:
    ran = run("watch", "worker")

    assert 1 == ran.code
    assert "→ devctl up worker --watch" in ran.err
    assert "→ devctl up --watch" in run("watch").err


def test_watch_of_an_image_has_nothing_to_watch(fakes: Any, run: Any) -> None:
    assert 0 == run("up", "redis").code

    ran = run("watch", "redis")

    assert 1 == ran.code
    assert "only an image, no code to watch" in ran.err


@pytest.fixture
def a_watched_day(fakes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save that cannot be compiled, one that mends it, and Ctrl-C."""
    file = fakes.root / "worker/handlers.py"
    file.parent.mkdir()
    file.write_text("x = 1\n")
    looks, look = 0, Watcher.look

    def scripted(watcher: Watcher) -> Changes:
        nonlocal looks
        looks += 1
        if looks == 2:
            file.write_text("def (\n")
        elif looks == 4:
            file.write_text("x = 22\n")
            fakes.runtime.changed.add("worker")
        elif looks == 8:
            raise KeyboardInterrupt
        return look(watcher)

    monkeypatch.setattr(Watcher, "look", scripted)


@pytest.mark.usefixtures("a_watched_day")
def test_up_watch_tells_each_change_until_ctrl_c(run: Any) -> None:
    ran = run("up", "worker", "--watch")

    assert 130 == ran.code
    told = [line[9:] for line in ran.err.splitlines() if re.match(r"\d\d:\d\d:\d\d ", line)]
    assert "→ watching worker: 1 file. Ctrl-C ends it" == told[0]
    assert "✘ worker/handlers.py:1: invalid syntax" == told[1]
    assert "· worker: the old code goes on" == told[2]
    assert "● worker/handlers.py changed → worker" == told[3]
    assert told[4].startswith("✔ worker live in ")


@pytest.mark.usefixtures("a_watched_day")
def test_up_watch_json_is_one_document_a_line(run: Any) -> None:
    ran = run("up", "worker", "--watch", "--json")

    started, *documents = [json.loads(line) for line in ran.out.splitlines()]
    schema = json.loads((SCHEMAS / "watch.schema.json").read_text())
    for document in documents:
        jsonschema.validate(document, schema)
    assert "devctl.up/1" == started["schema"]
    assert ["watching", "kept", "changed", "live"] == [one["event"] for one in documents]
    assert ["worker/handlers.py"] == documents[2]["changed"]
    assert "" == ran.err


def test_the_stacks_of_a_checkout_are_listed_with_what_runs(fakes: Any, run: Any) -> None:
    assert 0 == run("up", "redis").code
    assert 0 == run("up", "worker", "--isolated", "--stack", "k3f9").code

    ran = run("stacks")

    lines = ran.out.splitlines()
    assert ["STACK", "RUNTIME", "RUNS"] == lines[0].split()
    assert ["(own)", "redis"] == [lines[1].split()[0], lines[1].split()[-1]]
    assert "k3f9" == lines[2].split()[0]
    assert lines[2].endswith("redis, worker")
    assert "→ devctl down --stack k3f9" in ran.err
    assert ["", "k3f9"] == [one["name"] for one in run("stacks", "--json").document["stacks"]]
    assert "1 other stack of this checkout: k3f9   (devctl stacks)" in run("ps").err
    assert "k3f9" not in run("ps", "--stack", "k3f9").err.split("other")[-1]


def test_the_name_of_a_stack_is_completed(fakes: Any, run: Any) -> None:
    for name in ("blue", "black"):
        run("up", "--isolated", "--stack", name, "redis")
    assert ["black", "blue"] == options.complete_stacks("bl")
    assert ["blue"] == options.complete_stacks("blu")


def test_down_of_all_stacks_asks_where_data_would_go(fakes: Any, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 == run("up", "redis").code
    assert 0 == run("up", "redis", "--isolated", "--stack", "k3f9").code

    assert 2 == run("down", "--all-stacks").code
    assert 2 == run("down", "--all-stacks", "--volumes", "--yes").code
    keyboard = io.StringIO("n\n")
    monkeypatch.setattr(keyboard, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", keyboard)
    assert 1 == run("down", "--all-stacks").code
    assert ["", "k3f9"] == [one["name"] for one in run("stacks", "--json").document["stacks"]]

    ran = run("down", "--all-stacks", "--yes")

    assert 0 == ran.code
    assert "stack k3f9 is gone, and its data" in ran.out
    assert "the data stays" in ran.out
    assert [("", [])] == [(one["name"], one["services"]) for one in run("stacks", "--json").document["stacks"]]


def test_down_of_all_stacks_leaves_what_another_checkout_runs_under_the_same_name(
    fakes: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0 == run("up", "redis", "--isolated", "--stack", "k3f9").code
    others = fakes.of(Workbench(settings.load()))

    def status() -> Any:
        raise OtherCheckout("the containers of project 'shop' belong to another checkout: /elsewhere")

    monkeypatch.setattr(others, "status", status)

    ran = run("down", "--all-stacks", "--yes")

    assert 0 == ran.code
    assert "stack k3f9 is gone, and its data" in ran.out
    assert "another checkout" not in ran.out + ran.err
    assert "stop" not in others.calls
    assert "✔ nothing ran" in run("down", "--all-stacks", "--yes").out
    assert [] == run("down", "--all-stacks", "--yes", "--json").document["services"]


def test_up_refuses_a_second_runtime_under_the_stack_that_runs_on_the_first(
    fakes: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0 == run("up", "redis").code
    identity.remember_runtime(settings.load(), "local")
    monkeypatch.setattr(Workbench, "runtime_choice", ("compose", "asked for"))
    monkeypatch.setattr(Workbench, "_runtime", lambda bench, _name: fakes.of(bench))

    ran = run("up", "redis")

    assert 1 == ran.code
    assert "this stack runs on the local runtime: redis" in ran.err
    assert "→ end it there first: devctl down --runtime local" in ran.err
    assert "devctl up --isolated --runtime compose" in ran.err
    assert "local" == identity.last_runtime(settings.load()), "what runs is still found"
    assert 0 == run("down").code
    assert 0 == run("up", "redis").code
