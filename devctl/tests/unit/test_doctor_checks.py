from __future__ import annotations

import socket
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from celeriac.dead_letter.letters import Letter
from celeriac.retry.policy import RetryPolicy
from devctl import settings
from devctl.broker.memory import MemoryBroker
from devctl.broker.port import ServerInfo
from devctl.clock import FakeClock
from devctl.discovery.model import Answer, Found, FoundService, Launch
from devctl.doctor import (
    broker,
    composition,
    delivery,
    engine,
    environment,
    letters,
    locks,
    machine,
    ports,
    service_settings,
    shell,
    state,
    workers,
)
from devctl.doctor.check import Check
from devctl.doctor.facts import Examination, Facts
from devctl.errors import DevctlError
from devctl.stack.engine import Engine
from devctl.stack.fake import FakeRuntime
from devctl.stack.file import read
from devctl.stack.port import Replica

COMPOSE = """
x-devctl: {broker: redis, workers: [worker], contracts: shop}
volumes: {data: }
services:
  redis:
    image: redis:8
    command: [redis-server, --appendonly, "yes", --maxmemory-policy, noeviction]
    ports: ["127.0.0.1:${REDIS_PORT:-6379}:6379"]
    volumes: ["data:/data"]
    restart: always
    healthcheck: {test: [CMD, redis-cli, ping]}
  worker:
    image: worker
    environment:
      CELERY_BROKER_URL: ${CELERY_BROKER_URL:-redis://redis:6379/0}
    stop_grace_period: 30s
    restart: always
    healthcheck: {test: [CMD, "true"]}
"""


@dataclass(frozen=True)
class Contract:
    name: str
    queue: str
    retries: Any = field(default_factory=lambda: types.SimpleNamespace(cap_seconds=60))
    of_celeriac: bool = True

    @property
    def short(self) -> str:
        return self.name.rpartition(".")[2]


class Patient:
    """A checkout in a folder of the test, a runtime and a broker in memory."""

    runtime_choice = ("local", "a test")

    def __init__(self, root: Path, compose: str = COMPOSE, environ: Mapping[str, str] | None = None) -> None:
        (root / "docker-compose.yml").write_text(compose)
        self.settings = settings.load(start=root, environ={"PATH": "/nowhere", **(environ or {})})
        self.broker = MemoryBroker(url="redis://:secret@127.0.0.1:6379/0")
        self.catalog: Any = (Contract("tasks.order", "orders"), Contract("tasks.notify", "notifications"))
        self._runtime: FakeRuntime | None = None

    @property
    def stack(self) -> Any:
        return read(self.settings)

    @property
    def found(self) -> Found:
        roles = {"redis": "broker", "worker": "worker", "api": "web"}
        services = {
            name: FoundService(name, (roles.get(name, "other"),), f"docker-compose.yml: {name}", Launch((), ""))  # type: ignore[arg-type]  # a Literal
            for name in self.stack.services
        }
        return Found(services, Answer("redis", ""), Answer("redis://redis:6379/0", ""), Answer(None, ""))

    @property
    def runtime(self) -> FakeRuntime:
        self._runtime = self._runtime or FakeRuntime(self.stack, clock=FakeClock())
        return self._runtime


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


def found(check: Examination, patient: Patient, **known: Any) -> list[tuple[str, str]]:
    return [(one.status, one.message) for one in examined(check, patient, **known)]


def examined(check: Examination, patient: Patient, **known: Any) -> list[Check]:
    facts = Facts(patient)  # type: ignore[arg-type]
    facts.known.update(known)
    checks = list(check(facts))
    for one in checks:
        assert one.status in ("ok", "skipped") or one.fix, f"{one.name} says no way out"
    return checks


def statuses(check: Examination, patient: Patient, **known: Any) -> list[str]:
    return [status for status, _ in found(check, patient, **known)]


# The machine


def test_no_docker_client_is_a_warning_that_names_the_local_runtime(root: Path) -> None:
    patient = Patient(root)
    assert [("warning", "no docker client on PATH: the local runtime will be used")] == found(
        engine.engine, patient, engine=Engine(client=False)
    )


def test_a_client_without_a_daemon_says_what_docker_says(root: Path) -> None:
    (check,) = examined(engine.engine, Patient(root), engine=Engine(client=True, said="Cannot connect to it"))
    assert ("warning", True) == (check.status, "Cannot connect to it" in check.fix)


def test_an_engine_without_compose_is_a_warning(root: Path) -> None:
    assert ["warning"] == statuses(engine.engine, Patient(root), engine=Engine(client=True, server="26.1.5"))


def test_a_missing_engine_is_a_problem_where_compose_was_asked_for(root: Path) -> None:
    patient = Patient(root, environ={"DEVCTL_RUNTIME": "compose"})
    assert ["problem"] == statuses(engine.engine, patient, engine=Engine(client=False))


def test_an_old_engine_and_a_missing_buildx_are_said(root: Path) -> None:
    old = Engine(client=True, server="24.0.9", compose="2.17.1")
    assert [("ok", "Docker 24.0.9, Compose 2.17.1")] == found(engine.engine, Patient(root), engine=old)[:1]
    assert ["ok", "warning", "warning", "warning"] == statuses(engine.engine, Patient(root), engine=old)


def test_the_runtime_is_said_with_its_reason(root: Path) -> None:
    assert [("ok", "local (a test)")] == found(engine.runtime, Patient(root))


def test_a_full_disk_is_a_problem_and_a_small_one_a_warning(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, status in ((10 * machine.GB, "ok"), (machine.GB, "warning"), (machine.GB // 10, "problem")):
        monkeypatch.setattr(machine.shutil, "disk_usage", lambda _, free=free: types.SimpleNamespace(free=free))
        assert [status] == statuses(machine.disk, Patient(root), engine=Engine(client=False))


def test_a_checkout_without_a_venv_says_which_python_its_services_get(root: Path) -> None:
    ((status, message),) = found(machine.python, Patient(root))
    assert ("ok", True) == (status, f"from {sys.prefix}, none in this checkout" in message)


def test_no_redis_anywhere_is_a_problem_only_for_the_local_runtime(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import devctl.stack.local.redis as local

    def none(path: str) -> str:
        raise DevctlError("no redis-server", hint="install it")

    monkeypatch.setattr(local, "binary", none)
    patient = Patient(root)
    assert ["problem"] == statuses(machine.redis_binary, patient)
    patient.runtime_choice = ("compose", "a test")
    assert ["warning"] == statuses(machine.redis_binary, patient)


# Ports


def listening() -> socket.socket:
    server = socket.create_server(("127.0.0.1", 0))
    server.listen()
    return server


def test_a_held_port_names_its_holder_and_the_variable_that_moves_it(root: Path) -> None:
    with listening() as server:
        port = server.getsockname()[1]
        (check,) = examined(ports.ports, Patient(root, environ={"REDIS_PORT": str(port)}))
    assert ("problem", f"port {port}") == (check.status, check.name)
    assert "pid" in check.message
    assert check.message.endswith("redis cannot start")
    assert check.fix.startswith("REDIS_PORT=")
    assert "devctl up redis" in check.fix


def test_a_free_port_and_one_that_the_stack_itself_holds_are_fine(root: Path) -> None:
    with listening() as server:
        port = server.getsockname()[1]
        patient = Patient(root, environ={"REDIS_PORT": str(port)})
        patient.runtime.start("redis")
        assert [("ok", f"{port} held by this stack")] == found(ports.ports, patient)
    assert [("ok", f"{port} free")] == found(ports.ports, Patient(root, environ={"REDIS_PORT": str(port)}))


def test_a_port_that_no_variable_moves_has_another_way_out(root: Path) -> None:
    with listening() as server:
        port = server.getsockname()[1]
        fixed = COMPOSE.replace("${REDIS_PORT:-6379}", str(port))
        (check,) = examined(ports.ports, Patient(root, fixed))
    assert check.fix.startswith("devctl up redis --isolated")


# The Compose file and the environment


def test_a_good_compose_file_has_only_good_findings(root: Path) -> None:
    for check in (
        composition.compose_file,
        composition.exposure,
        composition.health_checks,
        composition.restarts,
        composition.shutdown,
        composition.data,
        environment.environment,
        environment.broker_address,
        delivery.delivery,
        delivery.visibility,
        service_settings.service_settings,
        broker.persistence,
        broker.eviction,
    ):
        assert ["ok"] == statuses(check, Patient(root)), check.__name__


@pytest.mark.parametrize(
    ("check", "old", "new", "status", "words"),
    [
        (composition.compose_file, "image: worker", "image: worker:${TAG}", "warning", "TAG, which is not set"),
        (composition.exposure, '"127.0.0.1:${', '"${', "problem", "no password"),
        (composition.health_checks, "healthcheck: {test: [CMD, redis-cli, ping]}", "", "warning", "redis"),
        (composition.restarts, "restart: always\n    healthcheck: {test: [CMD, \"true\"]}", "", "warning", "worker"),
        (composition.shutdown, "stop_grace_period: 30s", "", "warning", "killed 10 s after a stop"),
        (composition.shutdown, "stop_grace_period: 30s", "stop_grace_period: 26s", "warning", "waits 25 s for its"),
        (composition.shutdown, "    stop_gr", "      WORKER_STOP_SECONDS: 40\n    stop_gr", "warning", "waits 40 s"),
        (composition.shutdown, "    stop_gr", "      WORKER_STOP_SECONDS: 20\n    stop_gr", "ok", "30 s to finish"),
        (composition.data, 'volumes: ["data:/data"]', "", "warning", "lost with the container"),
        (environment.broker_address, "${CELERY_BROKER_URL:-redis://redis:6379/0}", "redis://far:6379/0", "ok", "far"),
        (broker.persistence, '"yes"', '"no"', "warning", "loses what came since the last"),
        (broker.persistence, '--appendonly, "yes", ', "", "warning", "snapshots only, by the Compose file"),
        (broker.persistence, '--appendonly, "yes"', '--save, ""', "warning", "none, by the Compose file"),
        (broker.eviction, "noeviction", "allkeys-lru", "warning", "queued tasks can vanish"),
        (broker.eviction, "noeviction", "volatile-ttl", "warning", "results can vanish"),
        (service_settings.service_settings, "redis://redis:6379/0", "http://redis", "problem", "will not start: CEL"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_compose_file_is_found(
    root: Path, check: Examination, old: str, new: str, status: str, words: str
) -> None:
    assert old in COMPOSE
    said = found(check, Patient(root, COMPOSE.replace(old, new)))
    assert any(status == was and words in message for was, message in said), said


def test_a_password_in_a_wrong_setting_is_never_shown(root: Path) -> None:
    patient = Patient(root, environ={"CELERY_BROKER_URL": "http://user:hunter2@redis/0"})
    (check,) = examined(service_settings.service_settings, patient)
    assert "hunter2" not in f"{check.message} {check.fix}"
    assert "CELERY_BROKER_URL" in check.message


def test_our_own_environment_does_not_mix_with_a_services(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_VISIBILITY_TIMEOUT", "7")
    assert ["ok"] == statuses(service_settings.service_settings, Patient(root))


def test_a_misspelt_celery_variable_is_a_warning_and_names_the_right_one(root: Path) -> None:
    (root / ".env").write_text("CELERY_BROKR_URL=redis://redis:6379/0\n")
    (check,) = examined(environment.environment, Patient(root))
    assert "warning" == check.status
    assert "did you mean CELERY_BROKER_URL?" == check.fix


def test_what_kubernetes_sets_for_a_service_is_no_mistake(root: Path) -> None:
    given = {"CELERY_FLOWER_PORT": "tcp://10.0.0.1:80", "CELERY_FLOWER_SERVICE_HOST": "10.0.0.1", "CELERY_PORT": "x"}
    assert ["ok"] == statuses(environment.environment, Patient(root, environ=given))


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("WORKER_CONCURRENCY: zero", "WORKER_CONCURRENCY is wrong"),
        ("RETRY_TASKS_ORDER: limit=many", "RETRY_TASKS_ORDER is wrong: limit must be a whole number"),
        ("LOG_LEVEL: loud", "LOG_LEVEL is wrong"),
        ("HTTP_PORT: '70000'", "HTTP_PORT is wrong"),
        ("WORKER_MOUNT: no.such.module", "WORKER_MOUNT is wrong: no.such.module cannot be imported"),
        ("CELERY_LEASE_SECONDS: soon", "CELERY_LEASE_SECONDS is wrong"),
    ],
)
def test_a_value_on_which_a_service_would_exit_is_a_problem(given: str, problem: str, root: Path) -> None:
    compose = COMPOSE.replace("    environment:\n", f"    environment:\n      {given}\n")
    patient = Patient(root, compose)
    patient.catalog = (Contract("tasks.order", "orders", RetryPolicy(limit=3, cap_seconds=60)),)
    (check,) = examined(service_settings.service_settings, patient)
    assert "problem" == check.status
    assert check.message.startswith(f"worker will not start: {problem}")


def test_what_is_wrong_on_this_machine_says_nothing_about_a_container(root: Path) -> None:
    compose = COMPOSE.replace("    environment:\n", "    environment:\n      WORKER_MOUNT: no.such.module\n")
    patient = Patient(root, compose)
    patient.runtime_choice = ("compose", "a test")
    assert ["ok"] == statuses(service_settings.service_settings, patient)


def test_a_file_of_a_container_is_not_looked_for_on_this_machine(root: Path) -> None:
    given = "WORKER_HEALTH_FILE: /proc/nowhere/health"
    compose = COMPOSE.replace("    environment:\n", f"    environment:\n      {given}\n")
    assert ["ok"] == statuses(service_settings.service_settings, Patient(root, compose))


@pytest.mark.parametrize(
    ("name", "fixes"),
    [("CELERY_LEASE_SECOND", ["did you mean CELERY_LEASE_SECONDS?"]), ("CELERY_FLOWER_PORT", [])],
)
def test_a_misspelt_setting_of_a_service_is_found_as_the_service_itself_finds_it(
    name: str, fixes: list[str], root: Path
) -> None:
    compose = COMPOSE.replace("    environment:\n", f"    environment:\n      {name}: x\n")
    checks = examined(service_settings.service_settings, Patient(root, compose))
    assert fixes == [check.fix for check in checks if check.status == "warning"]


def test_a_misspelt_variable_of_the_shell_is_found_too(root: Path) -> None:
    (check,) = examined(environment.environment, Patient(root, environ={"CELERY_BROKER_ULR": "x"}))
    assert "in the environment reaches no service" in check.message


def test_variables_for_somebody_else_are_left_alone(root: Path) -> None:
    (root / ".env").write_text("AWS_PROFILE=x\nCOMPOSE_PROJECT_NAME=y\nDEVCTL_RUNTIME=local\nREDIS_PORT=6390\n")
    assert ["ok"] == statuses(environment.environment, Patient(root))


def test_a_celery_variable_that_the_compose_file_does_not_pass_on_is_a_warning(root: Path) -> None:
    (root / ".env").write_text("CELERY_TASK_ALWAYS_EAGER=1\n")
    (check,) = examined(environment.environment, Patient(root))
    assert ("warning", True) == (check.status, "pass it on" in check.fix)


def test_localhost_as_the_broker_is_a_problem_in_containers_only(root: Path) -> None:
    patient = Patient(root, environ={"CELERY_BROKER_URL": "redis://localhost:6379/0"})
    assert ["ok"] == statuses(environment.broker_address, patient)
    patient.runtime_choice = ("compose", "a test")
    assert ["problem"] == statuses(environment.broker_address, patient)


def test_two_brokers_are_a_problem(root: Path) -> None:
    other = "  api:\n    image: api\n    environment: {CELERY_BROKER_URL: redis://other/0}\n"
    (check,) = examined(environment.broker_address, Patient(root, COMPOSE + other))
    assert ("problem", True) == (check.status, "worker; api" in check.message)


# Delivery


def settings_with(**changed: Any) -> types.ModuleType:
    module = types.ModuleType("contracts_of_a_test.settings")
    good = {
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "accept_content": ["json"],
        "broker_transport_options": {"visibility_timeout": 900, "socket_timeout": 5},
    }
    module.CelerySettings = lambda **_: None  # type: ignore[attr-defined]
    module.celery_settings = lambda _: {**good, **changed}  # type: ignore[attr-defined]
    module.__file__ = "/somewhere/settings.py"
    return module


@pytest.mark.parametrize(
    ("check", "changed", "status", "words"),
    [
        (delivery.delivery, {"task_acks_late": False}, "problem", "a killed worker loses them"),
        (delivery.delivery, {"task_reject_on_worker_lost": False}, "problem", "acknowledged and lost"),
        (delivery.delivery, {"accept_content": ["json", "pickle"]}, "problem", "unpickling"),
        (delivery.delivery, {"worker_prefetch_multiplier": 4}, "warning", "several messages at once"),
        (delivery.delivery, {"broker_transport_options": {}}, "warning", "waits for ever"),
        (delivery.delivery, {"task_time_limit": 1000}, "problem", "longer than visibility_timeout"),
        (delivery.visibility, {"broker_transport_options": {"visibility_timeout": 30}}, "problem", "it runs twice"),
        (composition.shutdown, {"task_time_limit": 60}, "warning", "a task may take 60 s"),
    ],
)
def test_settings_that_lose_or_double_work_are_found(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    check: Examination,
    changed: dict[str, Any],
    status: str,
    words: str,
) -> None:
    monkeypatch.setattr(delivery, "_module", lambda _: settings_with(**changed))
    said = found(check, Patient(root))
    assert any(status == was and words in message for was, message in said), said


def test_the_settings_of_this_repository_are_all_right(root: Path) -> None:
    assert [("ok", "acknowledged in one step with what a task did, JSON only")] == found(
        delivery.delivery, Patient(root)
    )
    assert [("ok", "60 s after its worker died a task goes to another; leases are renewed")] == found(
        delivery.visibility, Patient(root)
    )


@pytest.mark.parametrize(
    ("setting", "ends"),
    [
        ("CELERY_TRANSPORT: stock", "acknowledged when done, one message at a time, JSON only"),
        ("CELERY_RESULT_BACKEND: redis://other/1", "acknowledged when done, in one step with all but the result, JSON"),
    ],
)
def test_how_messages_end_depends_on_the_transport_and_on_where_results_are(
    root: Path, setting: str, ends: str
) -> None:
    ((status, said),) = found(delivery.delivery, Patient(root, worker_with(setting)))
    assert ("ok", True) == (status, said.startswith(ends)), said


def worker_with(setting: str) -> str:
    return COMPOSE.replace("    environment:\n", f"    environment:\n      {setting}\n")


def test_with_leases_a_worker_may_claim_as_much_as_it_likes_and_run_as_long(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = {"broker_transport": "celeriac.claim.transport:Transport", "worker_prefetch_multiplier": 0}
    monkeypatch.setattr(delivery, "_module", lambda _: settings_with(**ours, task_time_limit=1000))
    assert ["ok"] == statuses(delivery.delivery, Patient(root))


def test_two_transports_are_a_warning(root: Path) -> None:
    other = "  api:\n    image: api\n    environment: {CELERY_TRANSPORT: stock}\n"
    (check,) = examined(delivery.visibility, Patient(root, COMPOSE + other))
    assert ("warning", True) == (check.status, check.message.endswith("worker atomic, api stock"))
    assert "set the same CELERY_TRANSPORT for all services" == check.fix


def test_visibility_timeouts_that_differ_are_a_problem(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = iter([{"broker_transport_options": {"visibility_timeout": n}} for n in (60, 900)])
    module = settings_with()
    module.celery_settings = lambda _: next(given)  # type: ignore[attr-defined]
    monkeypatch.setattr(delivery, "_module", lambda _: module)
    other = "  api:\n    image: api\n    environment: {CELERY_BROKER_URL: redis://redis:6379/0}\n"
    (check,) = examined(delivery.visibility, Patient(root, COMPOSE + other))
    assert ("problem", True) == (check.status, "worker 60 s, api 900 s" in check.message)


def test_contracts_that_do_not_say_how_celery_is_set_are_not_judged(root: Path) -> None:
    patient = Patient(root)
    patient.catalog = (Contract("tasks.order", "orders", of_celeriac=False),)
    assert ["skipped"] == statuses(delivery.delivery, patient)
    assert [] == statuses(service_settings.service_settings, patient)


# What runs


def test_nothing_started_is_no_problem(root: Path) -> None:
    patient = Patient(root)
    assert [("skipped", "not started")] == found(broker.broker, patient)
    assert ["skipped"] == statuses(workers.contracts, patient)
    assert [] == statuses(broker.broker_memory, patient)


def test_a_broker_is_not_called_off_where_the_compose_file_cannot_be_read(root: Path) -> None:
    patient = Patient(root, COMPOSE.replace("redis:8", "${NO_SUCH_VARIABLE:?set it}"))
    assert [("skipped", "not checked: the Compose file cannot be read")] == found(broker.broker, patient)


def running(root: Path) -> Patient:
    patient = Patient(root)
    patient.runtime.start("redis", "worker")
    return patient


def test_a_broker_that_answers_is_shown_without_its_password(root: Path) -> None:
    ((status, message),) = found(broker.broker, running(root))
    assert "ok" == status
    assert message.startswith("memory 1.0 at 127.0.0.1:6379, ")


def test_a_broker_that_does_not_answer_is_a_problem_said_once(root: Path) -> None:
    patient = running(root)
    patient.broker.away = "the broker does not answer"
    assert ["problem"] == statuses(broker.broker, patient)
    assert ["skipped"] == statuses(workers.contracts, patient)
    assert [] == statuses(broker.broker_memory, patient)


@pytest.mark.parametrize(
    ("check", "server", "status"),
    [
        (broker.persistence, ServerInfo("redis", "8", "RDB only", "noeviction", 100, 10), "warning"),
        (broker.persistence, ServerInfo("redis", "8", "none", "noeviction", 100, 10), "warning"),
        (broker.eviction, ServerInfo("redis", "8", "AOF everysec", "allkeys-lfu", 100, 10), "warning"),
        (broker.broker_memory, ServerInfo("redis", "8", "AOF everysec", "noeviction", 0, 10), "warning"),
        (broker.broker_memory, ServerInfo("redis", "8", "AOF everysec", "noeviction", 100, 10), "ok"),
        (broker.broker_memory, ServerInfo("redis", "8", "AOF everysec", "noeviction", 100, 85), "warning"),
        (broker.broker_memory, ServerInfo("redis", "8", "AOF everysec", "noeviction", 100, 96), "problem"),
    ],
)
def test_what_the_running_server_says_counts_more_than_the_file(
    root: Path, check: Examination, server: ServerInfo, status: str
) -> None:
    patient = running(root)
    patient.broker.server = server
    assert [status] == statuses(check, patient)


@pytest.mark.parametrize(
    ("megabytes", "status", "told"),
    [
        (512, "ok", "hold one full queue (162 MB), and records and results of some 25 tasks a second of each"),
        (2048, "ok", "records and results of some 135 tasks a second of each"),
        (100, "warning", "100,000 messages of a full queue take some 162 MB, and Redis has 100 MB"),
    ],
)
def test_how_many_tasks_a_second_fit_into_redis_is_said_in_numbers(
    megabytes: int, status: str, told: str, root: Path
) -> None:
    patient = running(root)
    patient.broker.server = ServerInfo("redis", "8", "AOF everysec", "noeviction", megabytes * 1024**2, 10)
    ((found_status, message),) = found(broker.capacity, patient)
    assert (status, True) == (found_status, told in message), message
    patient.broker.server = ServerInfo("redis", "8", "AOF everysec", "noeviction", 0, 10)
    assert [] == statuses(broker.capacity, patient)


@pytest.mark.parametrize(
    ("text", "size"), [("512mb", 512 * 1024**2), ("1g", 10**9), ("100", 100), ("2KB", 2048), ("0", 0), ("x", 0)]
)
def test_a_size_is_read_as_redis_reads_it(text: str, size: int, root: Path) -> None:
    assert size == broker._bytes(text)


def test_dead_letters_are_a_warning_and_a_problem_where_they_stop_a_queue(root: Path) -> None:
    patient = running(root)
    assert [("ok", "none")] == found(letters.dead_letters, patient)
    for n in range(3):
        patient.broker.bury(Letter(f"orders/{n}-0", "orders", "poison", 1.0, 0, raw=b""))
    patient.broker.bury(Letter("other/1-0", "other", "poison", 1.0, 0, raw=b""))
    assert [("warning", "3 of 'orders'"), ("warning", "1 of 'other'")] == found(letters.dead_letters, patient)
    patient.broker.dead_bound = 3
    first, second = examined(letters.dead_letters, patient)
    assert ("problem", "3 of 'orders': that is the limit, workers no longer claim from it") == (
        first.status,
        first.message,
    )
    assert ("devctl dead-letters list --queue orders", "warning") == (first.fix, second.status)


def test_dead_letters_of_a_broker_that_is_away_or_not_started_are_not_judged(root: Path) -> None:
    assert [] == statuses(letters.dead_letters, Patient(root))
    patient = running(root)
    patient.broker.away = "the broker does not answer"
    assert [] == statuses(letters.dead_letters, patient)


def test_services_that_run_well_or_still_start_are_fine(root: Path) -> None:
    assert [] == statuses(workers.services, Patient(root))
    patient = running(root)
    assert [("ok", "redis, worker: still starting: redis-1, worker-1")] == found(workers.services, patient)
    patient.runtime.clock.sleep(1)
    assert [("ok", "redis, worker: healthy")] == found(workers.services, patient)


def test_a_degraded_service_is_a_warning(root: Path) -> None:
    ill = Replica(service="a", name="a-1", state="running", health="degraded", health_output="orders is paused")
    (check,) = examined(workers.services, Patient(root), all_replicas=[ill])
    assert ("warning", "a-1 is degraded: orders is paused") == (check.status, check.message)


def test_services_that_ended_restart_or_are_ill_are_problems_with_their_logs_as_the_way_on(root: Path) -> None:
    def one(name: str, **state: Any) -> Replica:
        return Replica(service=name, name=f"{name}-1", **state)

    replicas = [
        one("a", state="restarting", exit_code=1, restarts=7),
        one("b", state="exited", exit_code=0),
        one("c", state="running", health="unhealthy", health_output="GET /ready: 503\nbroker refused"),
        one("d", state="running", health="healthy"),
        one("migrate", state="exited", exit_code=0),
    ]
    job = COMPOSE + "  migrate: {image: m}\n"
    checks = examined(workers.services, Patient(root, job), all_replicas=replicas)
    assert [
        "a-1 ends again and again (exit 1), 7 restarts so far",
        "b-1 has ended (exit 0)",
        "c-1 is unhealthy: GET /ready: 503 broker refused",
    ] == [check.message for check in checks]
    assert {"problem"} == {check.status for check in checks}
    assert "devctl logs a --tail 20" == checks[0].fix


def serve(patient: Patient, queue: str, *tasks: str) -> None:
    patient.broker.add_worker(f"worker@{queue}", queues=[queue], bodies=dict.fromkeys(tasks, print))


def test_contracts_that_are_served_are_fine_and_further_tasks_disturb_nobody(root: Path) -> None:
    patient = running(root)
    serve(patient, "orders", "tasks.order", "tasks.without_contract")
    serve(patient, "notifications", "tasks.notify")
    assert [("ok", "2 contracts, each has a worker; 2 workers answer")] == found(workers.contracts, patient)


def test_a_contract_that_nobody_serves_is_a_warning(root: Path) -> None:
    patient = running(root)
    serve(patient, "orders", "tasks.order")
    assert [("warning", "no worker runs tasks.notify: it waits in 'notifications'")] == found(
        workers.contracts, patient
    )


def test_a_worker_that_takes_what_it_does_not_know_is_a_problem(root: Path) -> None:
    patient = running(root)
    serve(patient, "orders", "tasks.old_order")
    serve(patient, "notifications", "tasks.notify")
    ((status, message),) = found(workers.contracts, patient)
    assert "problem" == status
    assert (
        "worker@orders consumes 'orders' and does not know tasks.order: a dead letter, or lost if it is a stock worker"
        == message
    )


# The checkout


def test_what_is_installed_is_compared_with_the_lock(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"redis": "8.1.0", "Typing_Extensions": "4.1", "colorama": "9"}
    distributions = [types.SimpleNamespace(name=name, version=version) for name, version in installed.items()]
    monkeypatch.setattr(locks.metadata, "distributions", lambda: distributions)
    lock = root / "dev.lock"
    lock.write_text(
        "redis[hiredis]==8.1.0 \\\n    --hash=sha256:0\ntyping-extensions==4.1\n"
        "colorama==9 ; python_version < '3.12'\ncolorama==10 ; python_version >= '3.12'\nwin==1 ; os_name == 'nt'\n"
    )
    assert [("ok", ".venv is what dev.lock says, 4 packages")] == found(locks.locks, Patient(root))
    lock.write_text("redis==8.2.0\nmissing==1\n")
    ((status, message),) = found(locks.locks, Patient(root))
    assert "warning" == status
    assert ".venv is not what dev.lock says: redis 8.1.0, not 8.2.0; missing missing, not 1" == message


def test_completion_is_only_mentioned(root: Path) -> None:
    environ = {"SHELL": "/bin/bash", "HOME": str(root)}
    assert [("ok", "not installed for bash")] == found(shell.completion, Patient(root, environ=environ))
    (root / ".bash_completions").mkdir()
    (root / ".bash_completions/devctl.sh").touch()
    assert ["ok"] == statuses(shell.completion, Patient(root, environ=environ))
    assert [] == statuses(shell.completion, Patient(root))


def test_a_damaged_state_is_a_problem_and_an_empty_one_is_fine(root: Path) -> None:
    assert ["ok"] == statuses(state.state, Patient(root))
    folder = root / ".devctl/stacks/k3f9"
    folder.mkdir(parents=True)
    (folder / "env.json").write_text("{half")
    ((status, message),) = found(state.state, Patient(root))
    assert ("problem", True) == (status, "env.json is damaged" in message)
