"""The chaos stack's Compose file, made from that of a shop."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from devctl.chaos import compose_file
from devctl.chaos.compose_file import Place
from devctl.chaos.scenario import Setup
from devctl.measurement.request import Request
from devctl.settings import Settings
from devctl.stack import document, file
from devctl.stack.model import Stack

ROOT = Path(__file__).parents[4]
SHOP = Path(__file__).with_name("shop.yml")
ORIGINAL = document.parse(SHOP).data
USER = {"CELERY_BROKER_URL": "redis://production:6379/0", "WORKER_POOL": "solo", "CELERY_LEASE_SECONDS": "60"}


def stack_of(path: Path) -> Stack:
    return file.read(Settings(ROOT, path, "local", "", USER))


def place(**fields: Any) -> Place:
    stack = stack_of(SHOP)
    request = Request.of(stack)
    made = Place(
        "local", stack, "worker", request, programs="/p", disk="/small", redis="/bin/redis", faketime="/lib/ft"
    )
    made = dataclasses.replace(made, **fields)
    targets = made.targets(Setup(proxy=True, results=True))
    return dataclasses.replace(made, ports={target: 20_000 + n for n, target in enumerate(targets)})


def made(tmp_path: Path, setup: Setup | None = None, **fields: Any) -> Stack:
    """The stack as both runtimes will read it, with a user's variables that say otherwise."""
    path = tmp_path / "compose.yml"
    path.write_text(json.dumps(compose_file.make(ORIGINAL, setup or Setup(), place(**fields))))
    return stack_of(path)


@pytest.mark.parametrize(
    ("command", "before"),
    [
        (["redis-server", "--appendfsync", "everysec"], ["redis-server", "--appendfsync", "everysec"]),
        ("redis-server --save ''", ["redis-server", "--save", ""]),
        (None, ["redis-server"]),
    ],
)
def test_a_soaks_redis_writes_to_the_disk_before_it_answers(command: Any, before: list[str]) -> None:
    redis = {**ORIGINAL["services"]["redis"], "command": command}
    original = {**ORIGINAL, "services": {**ORIGINAL["services"], "redis": redis}}
    services = compose_file.make(original, Setup(synced=True), place())["services"]

    assert [*before, "--appendonly", "yes", "--appendfsync", "always"] == services["redis"]["command"]
    assert "always" not in services["ledger"]["command"]
    assert command == redis["command"]


def test_every_service_talks_to_the_chaos_stacks_own_redis_whatever_the_user_has_set(tmp_path: Path) -> None:
    stack = made(tmp_path)

    assert {"redis", "ledger", "worker", "service1", "service2"} == set(stack.services)
    assert 2 == stack.services["worker"].replicas
    for name in ("worker", "service1", "service2"):
        said = stack.services[name].environment
        assert ("redis://redis:6379/0", "", "4") == (
            said["CELERY_BROKER_URL"],
            said["CELERY_RESULT_BACKEND"],
            said["CELERY_LEASE_SECONDS"],
        )
    assert "redis://ledger:6379/0" == stack.services["worker"].environment["CHAOS_LEDGER_URL"]
    assert "threads" == stack.services["worker"].environment["WORKER_POOL"]
    mounts = {name: stack.services[name].environment["WORKER_MOUNT"] for name in ("worker", "service1", "service2")}
    assert {"worker": "celeriac.workbench", "service1": "", "service2": ""} == mounts


def test_no_port_is_the_users(tmp_path: Path) -> None:
    ports = [port for one in made(tmp_path).services.values() for port in one.ports]

    assert {"127.0.0.1"} == {port.host_ip for port in ports}
    assert 4 == len(ports) == len({port.published for port in ports})
    assert all(20_000 <= port.published < 21_000 for port in ports)


def test_what_nobody_has_to_reach_is_not_published() -> None:
    document = compose_file.make(ORIGINAL, Setup(), dataclasses.replace(place(), ports={}))

    assert not [name for name, service in document["services"].items() if "ports" in service]


def test_what_is_not_changed_is_the_originals(tmp_path: Path) -> None:
    before, after = stack_of(SHOP), made(tmp_path)

    for name in ("redis", "worker", "service1", "service2"):
        for what in ("image", "build", "command", "healthcheck", "restart"):
            assert getattr(before.services[name], what) == getattr(after.services[name], what)


def test_through_the_proxy_everybody_but_the_proxy_itself(tmp_path: Path) -> None:
    stack = made(tmp_path, Setup(proxy=True))

    assert "redis://proxy:6379/0" == stack.services["worker"].environment["CELERY_BROKER_URL"]
    assert "redis://proxy:6379/0" == stack.services["service1"].environment["CELERY_BROKER_URL"]
    assert "redis:6379" in stack.services["proxy"].command
    assert {"redis": "service_healthy"} == stack.services["proxy"].depends_on
    assert "proxy" in stack.services["worker"].depends_on


def test_in_containers_our_programs_are_mounted(tmp_path: Path) -> None:
    document = compose_file.make(ORIGINAL, Setup(proxy=True), place(runtime="compose"))

    assert ["/p/proxy.py:/chaos/proxy.py:ro"] == document["services"]["proxy"]["volumes"]
    assert "/chaos/proxy.py" == document["services"]["proxy"]["command"][1]


def test_stock_celery_gets_redis_a_ledger_and_none_of_our_settings(tmp_path: Path) -> None:
    stack = made(tmp_path, stock=True)

    assert {"redis", "ledger", "worker"} == set(stack.services)
    assert {"CELERY_BROKER_URL", "CHAOS_LEDGER_URL"} == set(stack.services["worker"].environment)
    assert ("python", "-m", "devctl.chaos.stock", "chaos", "chaos-children") == stack.services["worker"].command


@pytest.mark.parametrize(("runtime", "where"), [("local", "/small"), ("compose", "/disk:mode=1777,size=16m")])
def test_a_small_disk_is_under_the_brokers_data_alone(tmp_path: Path, runtime: str, where: str) -> None:
    document = compose_file.make(ORIGINAL, Setup(small_disk=True), place(runtime=runtime))
    broker = document["services"]["redis"]

    assert "volumes" not in broker
    assert where in [*broker["command"], *broker["tmpfs"]]
    assert "--appendonly" in broker["command"]
    assert where not in json.dumps(document["services"]["ledger"])


def test_memory_is_limited_for_the_workers_alone(tmp_path: Path) -> None:
    local, compose = (
        made(tmp_path, Setup(memory=True)),
        compose_file.make(ORIGINAL, Setup(memory=True), place(runtime="compose")),
    )

    assert "ulimit -v 2000000; exec python -m worker.main" == local.services["worker"].command[-1]
    assert "192m" == compose["services"]["worker"]["mem_limit"]
    assert compose["services"]["service1"]["mem_limit"] == ORIGINAL["services"]["service1"]["mem_limit"]


def test_two_kinds_of_workers_have_wrong_clocks(tmp_path: Path) -> None:
    stack = made(tmp_path, Setup(clocks=True))

    assert ["+2h", "-2h"] == [stack.services[name].environment["FAKETIME"] for name in ("worker", "behind")]
    assert "FAKETIME" not in stack.services["service1"].environment


def test_the_original_is_left_alone() -> None:
    before = json.dumps(ORIGINAL)
    compose_file.make(ORIGINAL, Setup(proxy=True, clocks=True, small_disk=True, results=True, memory=True), place())

    assert before == json.dumps(ORIGINAL)
