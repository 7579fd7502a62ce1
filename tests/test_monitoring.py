"""monitoring/: what Prometheus makes of its rules and of the dashboard's queries, in a stack with work to do.

One stack and one Prometheus serve all tests of the second part: the order of tools/story.py dies, others are done, and
a queue that nobody consumes has a message."""

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

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
