"""docker-compose.yml and the Dockerfile as files: what they promise, read without an engine."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
BUILT = {name: one["build"] for name, one in SERVICES.items() if "build" in one and "profiles" not in one}
MONITORING = {name: one for name, one in SERVICES.items() if "profiles" in one}


DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name}\s+(.*)$", DOCKERFILE, re.MULTILINE)


def variables(text: str) -> dict[str, set[str]]:
    """Name -> the defaults it is given."""
    found: dict[str, set[str]] = {}
    for name, default in re.findall(r"\$\{([A-Z0-9_]+):-([^}]*)\}", "\n".join(uncommented(text))):
        found.setdefault(name, set()).add(default)
    return found


def uncommented(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.lstrip().startswith("#")]


def example(path: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in uncommented((ROOT / path).read_text()) if line)


@pytest.mark.parametrize("name", SERVICES)
def test_a_port_is_published_on_loopback_only(name):
    assert [port for port in SERVICES[name].get("ports", []) if not port.startswith("127.0.0.1:${")] == []


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_no_more_rights_than_it_needs(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "network_mode", "pid", "ipc"} & set(service)


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_cannot_take_all_of_the_machine(name):
    service = SERVICES[name]
    assert "mem_limit" in service
    assert service["pids_limit"] > 0
    assert {"max-size", "max-file"} <= set(service["logging"]["options"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_stopped_gently_and_comes_back_by_itself(name):
    service = SERVICES[name]
    assert service["init"] is True
    assert service["restart"] == "unless-stopped"
    assert service["stop_grace_period"].endswith("s")


@pytest.mark.parametrize("name", BUILT)
def test_a_service_needs_redis_and_no_other_service(name):
    assert SERVICES[name]["depends_on"] == {"redis": {"condition": "service_healthy"}}


def test_what_watches_is_off_by_default_and_pinned():
    assert {"exporter", "prometheus", "grafana", "flower"} == {*MONITORING}
    for name, service in MONITORING.items():
        assert service["profiles"] == ["monitoring"]
        assert "build" in service or re.fullmatch(
            rf"\$\{{{name.upper()}_IMAGE:-[\w/-]+:v?\d+\.\d+\.\d+\}}", service["image"]
        )
        assert [mount for mount in service.get("volumes", []) if mount[0] == "." and not mount.endswith(":ro")] == []
        assert "healthcheck" in service


def test_the_exporter_is_the_workers_image_with_another_command():
    assert SERVICES["exporter"]["build"] == SERVICES["worker"]["build"]
    assert SERVICES["exporter"]["environment"] == COMPOSE["x-environment"] | {"HTTP_HOST": "0.0.0.0"}


@pytest.mark.skipif(shutil.which("docker") is None, reason="no docker on PATH")
def test_compose_itself_takes_the_file_with_its_profile():
    asked = subprocess.run(
        ["docker", "compose", "--profile", "monitoring", "config", "--services"],
        cwd=ROOT, capture_output=True, text=True, check=True, env=os.environ | {"COMPOSE_FILE": "docker-compose.yml"},
    )  # fmt: skip
    assert {*SERVICES} == {*asked.stdout.split()}


def test_redis_loses_no_task_by_its_settings():
    command = " ".join(SERVICES["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    assert SERVICES["redis"]["volumes"] == ["redis-data:/data"]


@pytest.mark.parametrize("name", BUILT)
def test_a_service_is_built_from_its_folder_by_the_one_dockerfile(name):
    build = BUILT[name]
    assert (ROOT / "Dockerfile").samefile(ROOT / build["context"] / build["dockerfile"])
    assert {"celeriac": "./celeriac", "common": "./common"} == build["additional_contexts"]
    (package,) = (init.parent.name for init in (ROOT / build["context"]).glob("src/*/__init__.py"))
    assert package == build["args"]["SERVICE"]


@pytest.mark.parametrize("name", BUILT)
def test_image_and_compose_file_run_the_same_command(name):
    (command,) = (json.loads(one) for one in instructions("CMD"))
    said = command[-1].replace("$SERVICE", BUILT[name]["args"]["SERVICE"])
    assert ["sh", "-c", f"exec {' '.join(SERVICES[name]['command'])}"] == [*command[:-1], said]


@pytest.mark.parametrize("name", BUILT)
def test_image_and_compose_file_have_the_same_health_check(name):
    check = SERVICES[name]["healthcheck"]
    flags, _, command = instructions("HEALTHCHECK")[0].partition(" CMD ")
    assert dict(re.findall(r"--([a-z-]+)=(\S+)", flags)) == {
        key.replace("_", "-"): str(value) for key, value in check.items() if key != "test"
    }
    # The image's asks what its environment names; the Compose file says whom, so that devctl can read it there.
    assert ["python", "-m", "celeriac.health"] == json.loads(command)
    environment, port = SERVICES[name]["environment"], BUILT[name]["args"].get("HTTP_PORT")
    asked = ["http", f"http://127.0.0.1:{port}/ready"] if port else ["file", environment["WORKER_HEALTH_FILE"]]
    assert ["CMD", *json.loads(command), *asked] == check["test"]
    assert port in (None, environment.get("HTTP_PORT"))


@pytest.mark.parametrize("name", BUILT)
def test_every_replica_answers_prometheus_in_the_network_of_the_stack(name):
    service, port = SERVICES[name], SERVICES[name]["environment"]["HTTP_PORT"]
    assert "0.0.0.0" == service["environment"]["HTTP_HOST"]
    assert port in [one.rpartition(":")[2] for one in (*service.get("ports", []), *service.get("expose", []))]
    assert "celeriac[" in (ROOT / BUILT[name]["context"] / "pyproject.toml").read_text()
    scraped = yaml.safe_load((ROOT / "monitoring/prometheus.yml").read_text())["scrape_configs"]
    (asked,) = (asked for job in scraped if job["job_name"] == name for asked in job["dns_sd_configs"])
    assert ([name], "A", int(port)) == (asked["names"], asked["type"], asked["port"])


def test_an_image_runs_as_nobody_in_particular():
    assert instructions("USER") == ["app"]
    assert "--uid 10001" in DOCKERFILE


def test_an_image_takes_its_base_from_the_outside():
    assert "PYTHON_IMAGE=python:3.11-slim" in instructions("ARG")
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"${PYTHON_IMAGE}"}


def test_an_image_says_nothing_about_indexes_certificates_or_frontends():
    assert re.findall(r"# *syntax|index|trusted|https?://(?!127\.)|cert", DOCKERFILE, re.IGNORECASE) == []


def test_an_image_installs_from_its_lock_with_hashes():
    installs = [line for line in instructions("RUN") if " install " in line]
    assert [line for line in installs if "--require-hashes -r requirements.lock" not in line] == []
    assert len(installs) == 1


def test_the_build_context_is_the_lock_and_the_code():
    assert uncommented((ROOT / "Dockerfile.dockerignore").read_text()) == [
        "*",
        "!requirements.lock",
        "!src",
        "**/__pycache__",
    ]
    assert [] == [str(one) for one in ROOT.glob("*/.dockerignore")], "it would say nothing: the shared one goes first"


def test_a_variable_has_one_default():
    assert {name: defaults for name, defaults in variables(TEXT).items() if len(defaults) > 1} == {}


def test_the_example_environment_lists_every_variable_with_its_default():
    assert example(".env.example") == {name: next(iter(defaults)) for name, defaults in variables(TEXT).items()}
