"""devctl where things are missing: no reader, no terminal, no colours, no room, no Redis; on a real local stack."""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import pexpect
import psutil
import pytest
import yaml

ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

SHOWING = (["ps"], ["queues"], ["tasks"], ["tasks", "health_check"], ["logs"], ["doctor"])
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
DAY = re.compile(r"\d{4}-\d\d-\d\d")
COLOUR = re.compile(r"\x1b\[[0-9;]*(?:3[0-7]|9[0-7])[0-9;]*m")


@dataclass
class Checkout:
    """A folder with the Compose file, as a user has it, and devctl in it."""

    folder: Path
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        ports = dict.fromkeys(("REDIS_PORT", "SERVICE1_PORT", "SERVICE2_PORT"), "0")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DEVCTL_", "CELERY_"))}
        return {**kept, **ports, "DEVCTL_RUNTIME": "local", "TERM": "xterm", **self.extra}

    def begin(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, **options}
        return subprocess.Popen(
            [sys.executable, "-m", "devctl", *arguments], cwd=self.folder, env=self.environment, text=True, **streams
        )

    def devctl(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        process = self.begin(*arguments)
        out, err = process.communicate(timeout=60)
        assert code is None or code == process.returncode, f"{arguments}: {process.returncode}\n{out}\n{err}"
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def on_a_terminal(self, *arguments: str, **environment: str) -> str:
        child = pexpect.spawn(
            sys.executable,
            ["-m", "devctl", *arguments],
            cwd=str(self.folder),
            env={**self.environment, **environment},
            dimensions=(50, 80),
            encoding="utf-8",
            timeout=60,
        )
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus in (0, 1), child.before
        return str(child.before)

    def shell(self, line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", f"set -o pipefail; {line.replace('devctl', f'{shlex.quote(sys.executable)} -m devctl')}"],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def services(self) -> dict[str, dict[str, Any]]:
        return {one["name"]: one for one in json.loads(self.devctl("ps", "--json").stdout)["services"]}

    def port(self, service: str) -> int:
        return int(self.services()[service]["ports"][0].partition("->")[0].rpartition(":")[2])


def new(folder: Path) -> Checkout:
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "docker-compose.yml", folder)
    return Checkout(folder)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """The whole stack, in a folder whose name has spaces and more."""
    checkout = new(tmp_path_factory.mktemp("unplugged") / "my shop, näxt (2)")
    checkout.devctl("up")
    yield checkout
    checkout.devctl("down")


def post_order(port: int) -> tuple[str, str]:
    """Order and correlation id."""
    order = {"customer_id": "c-1", "items": [{"product_id": "p-1", "quantity": 2}], "total_amount": "9.90"}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/orders",
        data=json.dumps({**order, "priority": "HIGH"}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(json.load(answer)["order_id"]), str(answer.headers["X-Correlation-ID"])


def entries(checkout: Checkout, *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in checkout.devctl("logs", "--json", *arguments).stdout.splitlines()]


def test_a_path_with_spaces_is_like_any_other(shop: Checkout) -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert {name for name, one in services.items() if "profiles" not in one} == set(shop.services())
    assert {"healthy"} == {one["health"] for one in shop.services().values()}


@pytest.mark.examples
def test_one_order_is_followed_through_all_services_by_each_of_its_ids(shop: Checkout) -> None:
    order, correlation = post_order(shop.port("service1"))
    deadline = time.monotonic() + 60
    while not any(e["event"] == "notification.delivered" for e in entries(shop, "--id", order)):
        assert time.monotonic() < deadline, entries(shop)
        time.sleep(0.2)
    time.sleep(0.2)  # the last of it is logged just after
    by_order = entries(shop, "--id", order)
    story = [(one["service"], one["event"], one["fields"].get("task")) for one in by_order]
    for step in (
        ("service1", "task.published", "tasks.process_order"),
        ("service1", "http.request", None),
        ("worker", "task.started", "tasks.process_order"),
        ("worker", "task.published", "tasks.send_notification"),
        ("worker", "task.succeeded", "tasks.process_order"),
        ("service2", "task.started", "tasks.send_notification"),
        ("service2", "task.succeeded", "tasks.send_notification"),
    ):
        assert 1 == story.count(step), (step, story)
    child = next(one["fields"]["task_id"] for one in by_order if one["service"] == "service2")
    for identity in (correlation, child, order[:8]):
        assert by_order == entries(shop, "--id", identity)
    schema = json.loads((ROOT / "docs/json/logs.schema.json").read_text())
    for one in entries(shop):
        jsonschema.validate(one, schema)
    assert entries(shop) == sorted(entries(shop), key=lambda one: one["time"] or "")


@pytest.mark.parametrize(
    "line",
    [
        "devctl logs | head -1",
        "devctl logs --follow | head -1",
        "devctl ps | head -0",
        "devctl ps --json | head -0",
        "devctl queues | head -0",
        "devctl ps >&-",
        "devctl ps >&- 2>&-",
    ],
)
def test_a_reader_that_leaves_or_never_was_is_no_failure(shop: Checkout, line: str) -> None:
    begun = time.monotonic()
    done = shop.shell(line)
    assert 0 == done.returncode, done.stderr
    assert all(text.startswith("runtime  local") for text in done.stderr.splitlines()), done.stderr
    assert time.monotonic() - begun < 20
    if "head -1" in line:
        assert 1 == len(done.stdout.splitlines())


def test_a_followed_log_ends_on_ctrl_c_without_a_word(shop: Checkout) -> None:
    with shop.begin("logs", "--follow", "--tail", "1") as process:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], 30)[0], "the past was not shown"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert 130 == process.returncode
    assert 1 == len([line for line in out.splitlines() if not DAY.fullmatch(line)])  # after midnight it says the day
    assert ["runtime"] == [line.split()[0] for line in err.splitlines()]


@pytest.mark.examples
def test_a_followed_log_shows_what_comes_and_nothing_else(shop: Checkout) -> None:
    port = shop.port("service1")
    with shop.begin("logs", "--follow", "--tail", "0", "--json", "--grep", "task.published", "service1") as process:
        assert process.stdout is not None
        orders = []
        for _ in range(20):  # it follows some time after its start; what was logged before is the past
            orders.append(post_order(port)[0])
            if select.select([process.stdout], [], [], 1.5)[0]:
                break
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=10)
    assert orders[-1] == json.loads(line)["fields"]["task_id"]
    assert 130 == process.returncode
    assert "" == rest


@pytest.mark.parametrize("command", SHOWING, ids=" ".join)
def test_a_pipe_gets_no_escape_sequence_and_only_what_its_encoding_can_say(shop: Checkout, command: list[str]) -> None:
    ascii_only = Checkout(shop.folder, {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    done = ascii_only.devctl(*command, code=None)
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stdout.isascii()


@pytest.mark.parametrize("command", SHOWING, ids=" ".join)
def test_on_80_columns_nothing_overflows_and_no_color_means_none(shop: Checkout, command: list[str]) -> None:
    if command == ["logs"]:  # what is not JSON passes through as it is, also where it is too long
        command = ["logs", *(name for name in shop.services() if name != "redis")]
    shown = shop.on_a_terminal(*command, NO_COLOR="1")
    assert not COLOUR.search(shown)
    lines = ESCAPE.sub("", shown).replace("\r", "").split("\n")
    too_long = [line for line in lines if len(line) > 80]
    assert [] == too_long


def test_a_terminal_has_colours(shop: Checkout) -> None:
    assert COLOUR.search(shop.on_a_terminal("logs"))
    assert COLOUR.search(shop.on_a_terminal("ps"))


def test_without_a_terminal_nothing_is_asked(shop: Checkout) -> None:
    tasks = json.loads(shop.devctl("tasks", "--json").stdout)["tasks"]
    first = next((one["name"] for one in tasks if one["example"] is not None), tasks[0]["name"])
    done = shop.devctl("send-task", "--wait", "--json")
    (task,) = json.loads(done.stdout)["tasks"]
    assert (first, "succeeded") == (task["name"], task["state"])


def test_the_doctor_finds_a_healthy_stack_healthy(shop: Checkout) -> None:
    document = json.loads(shop.devctl("doctor", "--json", code=None).stdout)
    jsonschema.validate(document, json.loads((ROOT / "docs/json/doctor.schema.json").read_text()))
    found = {one["name"]: one for one in document["checks"]}
    for name in (
        "settings",
        "delivery",
        "visibility",
        "state",
        "broker",
        "persistence",
        "eviction",
        "contracts",
    ):
        assert "ok" == found[name]["status"], found[name]


# A second checkout of the same name


@pytest.fixture
def twin(shop: Checkout, tmp_path: Path) -> Iterator[Checkout]:
    checkout = new(tmp_path / shop.folder.name)
    yield checkout
    checkout.devctl("down")


def test_two_checkouts_of_one_name_do_not_know_each_other(shop: Checkout, twin: Checkout) -> None:
    before = shop.services()
    assert {} == twin.services()
    twin.devctl("up", "redis")
    assert ["redis"] == list(twin.services())
    assert twin.port("redis") != shop.port("redis")
    twin.devctl("down")
    after = shop.services()
    assert {name: one["ports"] for name, one in before.items()} == {name: one["ports"] for name, one in after.items()}
    assert {"healthy"} == {one["health"] for one in after.values()}


def test_the_same_port_in_a_second_checkout_names_its_holder_and_two_ways_out(shop: Checkout, twin: Checkout) -> None:
    taken = shop.port("redis")
    twin.extra["REDIS_PORT"] = str(taken)
    done = twin.devctl("up", "redis", code=1)
    assert f"port {taken} is in use" in done.stderr
    assert "pid" in done.stderr
    assert "REDIS_PORT=" in done.stderr
    assert "--isolated" in done.stderr
    found = json.loads(twin.devctl("doctor", "--json", code=1).stdout)["checks"]
    (port,) = [one for one in found if one["name"] == f"port {taken}"]
    assert ("problem", True) == (port["status"], "REDIS_PORT=" in port["fix"])


def test_redis_gone_while_a_result_is_waited_for_is_said_at_once(twin: Checkout) -> None:
    twin.devctl("up", "redis")
    waiting = twin.begin("send-task", "--args", "[]", "--queue", "nobody", "tasks.nothing", "--wait", "--timeout", "50")
    time.sleep(2.5)  # it is published, and waits
    gone = time.monotonic()
    twin.devctl("down")
    out, err = waiting.communicate(timeout=40)
    assert time.monotonic() - gone < 10
    assert 1 == waiting.returncode, (out, err)
    assert "Traceback" not in out + err
    assert "→" in err


def test_a_stack_whose_supervisor_was_killed_is_found_and_cleaned(twin: Checkout) -> None:
    twin.devctl("up", "redis")
    (file,) = (twin.folder / ".devctl").rglob("supervisord.pid")
    psutil.Process(int(file.read_text())).kill()
    found = json.loads(twin.devctl("doctor", "--json", code=1).stdout)["checks"]
    (state,) = [one for one in found if one["name"] == "state"]
    assert ("problem", "devctl down") == (state["status"], state["fix"])
    pid = int(state["message"].rpartition("(pid ")[2].rstrip(")"))
    assert "redis-1" in state["message"]
    twin.devctl("down")
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE  # nobody reaps it here
    found = json.loads(twin.devctl("doctor", "--json", code=None).stdout)["checks"]
    assert ["ok"] == [one["status"] for one in found if one["name"] == "state"]
