"""monitoring/: what Prometheus makes of its rules and of the dashboard's queries, in a stack with work to do.

One stack and one Prometheus serve all tests of the second part: the order of tools/story.py dies, others are done, and
a queue that nobody consumes has a message."""

import importlib.util
import json
import math
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from celery import Celery

from devctl.__main__ import main

ROOT = Path(__file__).parents[1]
MONITORING = ROOT / "monitoring"
ALERTS = [one for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"] for one in group["rules"]]
DASHBOARD = json.loads((MONITORING / "grafana/dashboards/stack.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [(f"{panel['title']}: {one['legendFormat']}", one["expr"]) for panel in PANELS for one in panel["targets"]]
NOBODY = "nobody"
PATIENCE_SECONDS = 40


def tool(name: str) -> Any:
    """A module of tools/."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"no {program} here: apt-get install prometheus")


# The files by themselves


@needs("promtool")
@pytest.mark.parametrize(
    "command", ["check config prometheus.yml", "check rules alerts.yml", "test rules alerts_test.yml"]
)
def test_promtool_takes_configuration_and_rules_and_each_rule_fires_when_it_should(command: str) -> None:
    done = subprocess.run(["promtool", *command.split()], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_an_alert_says_what_it_means_and_a_command_that_devctl_has(
    alert: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert {"summary", "description", "command"} == {*alert["annotations"]}
    program, *words = shlex.split(re.sub(r"\{\{[^}]*\}\}", "x", alert["annotations"]["command"]))
    assert "devctl" == program
    before, *options = "".join(f"{word} " for word in words).split("--")
    names = before.replace("x ", "").split()
    assert 0 == main([*names, "--help"])
    help_text = capsys.readouterr().out
    assert [one for one in options if f"--{one.split()[0]} " not in help_text] == []


def test_each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    cases = yaml.safe_load((MONITORING / "alerts_test.yml").read_text())["tests"]
    known = [(one["alertname"], bool(one["exp_alerts"])) for case in cases for one in case["alert_rule_test"]]
    assert {(one["alert"], fires) for one in ALERTS for fires in (True, False)} == {*known}


def test_the_dashboards_panels_have_a_place_each_and_the_provisioned_source() -> None:
    (source,) = yaml.safe_load((MONITORING / "grafana/datasources/prometheus.yml").read_text())["datasources"]
    expected = {"type": "prometheus", "uid": source["uid"]}
    asked = [one["datasource"] for panel in PANELS for one in (panel, *panel["targets"])]
    assert [one for one in asked if one != expected] == []
    assert len(DASHBOARD["panels"]) == len({panel["id"] for panel in DASHBOARD["panels"]})
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len({*cells})
    assert max(x for x, _ in cells) == 23


def test_here_the_ports_of_processes_stand_in_place_of_containers() -> None:
    module = tool("local_prometheus")
    services = [
        {"name": "worker", "ports": ["127.0.0.1:5001->8000", "127.0.0.1:5002->8000", "127.0.0.1:5003->9000"]},
        {"name": "service1", "ports": ["127.0.0.1:5004->8000"]},
    ]
    assert ["127.0.0.1:5001", "127.0.0.1:5002"] == module.targets(services, "worker", 8000)
    jobs = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["scrape_configs"]
    known = {job["job_name"]: module.container_port(job) for job in jobs}
    assert (8000, 9808) == (known["worker"], known["exporter"])


# Beside a stack


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(look: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.2)
    raise AssertionError(f"not within {PATIENCE_SECONDS} s: {what}")


@dataclass
class Watched:
    """A stack that was given work, and the Prometheus that watched it."""

    story: Any
    prometheus: Any

    def query(self, text: str) -> list[Any]:
        found: list[Any] = self.prometheus.ask("query", query=text)["result"]
        return found

    def firing(self) -> dict[str, Any]:
        """Name -> alert, of those that fire."""
        alerts = self.prometheus.ask("alerts")["alerts"]
        return {one["labels"]["alertname"]: one for one in alerts if one["state"] == "firing"}


def quick(config: dict[str, Any], rules: dict[str, Any]) -> None:
    """Ask each second; an alert waits for one, too."""
    config["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s"}
    for one in rules["groups"][0]["rules"]:
        one["for"] = "1s"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    if shutil.which("prometheus") is None:
        pytest.skip("no prometheus here: apt-get install prometheus")
    local, story_of = tool("local_prometheus"), tool("story")
    with story_of.staged(tmp_path_factory.mktemp("stack")) as story:
        send_to_nobody(story)
        folder = tmp_path_factory.mktemp("prometheus")
        prometheus = local.Prometheus(folder, free_port(), lambda: story.read("ps")["services"], quick)
        prometheus.start()
        try:
            story.devctl("up", "exporter")  # after its queue: it looks for new ones every quarter of a minute
            prometheus.look()
            found = Watched(story, prometheus)
            give_work(found)
            yield found
        finally:
            prometheus.stop()


def send_to_nobody(story: Any) -> None:
    (port,) = (one["ports"][0] for one in story.read("ps")["services"] if one["name"] == "redis")
    with Celery(broker=f"redis://{port.partition('->')[0]}/0") as stranger:
        stranger.send_task("tasks.unknown", queue=NOBODY)


def give_work(watched: Watched) -> None:
    story = watched.story
    eventually(lambda: watched.query('celery_queue_dead{queue="orders"} == 0'), "orders is seen without dead letters")
    order = story.order()
    story.dead(order)
    story.repair()
    seen = {"DeadLettersGrow", "QueueWithoutConsumer"}

    def seen_at_work() -> bool:
        done = [story.order() for _ in range(3)]
        story.done(done[-1])
        rates = watched.query("rate(celery_task_end_to_end_seconds_count[10s]) > 0")
        return seen <= {*watched.firing()} and {"worker", "service2"} <= {one["metric"]["job"] for one in rates}

    eventually(seen_at_work, f"{seen} fire")


def beside_a_stack(test: Any) -> Any:
    return pytest.mark.integration(pytest.mark.examples(pytest.mark.timeout(150)(test)))


@beside_a_stack
@pytest.mark.parametrize("text", [text for _, text in QUERIES], ids=[name for name, _ in QUERIES])
def test_a_query_of_the_dashboard_has_an_answer(watched: Watched, text: str) -> None:
    """But for breakers: no task of the examples has one."""
    asked = text.replace("$__rate_interval", "1m").replace("$task", ".*").replace("$queue", ".*")
    values = [float(one["value"][1]) for one in watched.query(asked)]
    assert ("celery_breaker_state" in text) is not any(not math.isnan(value) for value in values), asked


@beside_a_stack
@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_what_an_alert_asks_for_is_there(watched: Watched, alert: dict[str, Any]) -> None:
    watched.query(alert["expr"])
    names = set(re.findall(r"\b(?:celery|redis)_\w+", alert["expr"]))
    assert [name for name in names if not watched.query(name)] == []


@beside_a_stack
def test_the_right_alerts_fire_and_say_what_a_user_reads(watched: Watched) -> None:
    firing = watched.firing()
    assert {"DeadLettersGrow", "QueueWithoutConsumer"} <= {*firing}
    assert not {"LeasesLost", "RedisMemoryFull"} & {*firing}  # the others may: this machine may be slow
    assert "devctl dead-letters list --queue orders" == firing["DeadLettersGrow"]["annotations"]["command"]
    assert (
        f"{NOBODY} has 1 messages, and no worker consumes it."
        == (firing["QueueWithoutConsumer"]["annotations"]["summary"])
    )


@beside_a_stack
def test_at_rest_the_exporter_and_devctl_queues_count_the_same(watched: Watched) -> None:
    def counted() -> dict[tuple[str, str], float]:
        asked = '{__name__=~"celery_queue_(waiting|claimed|due|dead|consumers)"}'
        return {
            (one["metric"]["queue"], one["metric"]["__name__"].rpartition("_")[2]): float(one["value"][1])
            for one in watched.query(asked)
        }

    def told() -> dict[tuple[str, str], float]:
        names = {"waiting": "waiting", "claimed": "claimed", "delayed": "due", "dead": "dead"}
        found = {}
        for one in watched.story.read("queues")["queues"]:
            found |= {(one["name"], ours): float(one[theirs]) for theirs, ours in names.items()}
            found[one["name"], "consumers"] = float(len(one["consumers"]))
        return found

    eventually(lambda: counted() == told(), f"{counted()} == {told()}")
