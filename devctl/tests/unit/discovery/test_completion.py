"""What is made of what was found: the stack's broker and workers, what starts with what, who answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from devctl.discovery import celery_command
from devctl.discovery.completion import completed
from devctl.discovery.live import answered
from devctl.discovery.model import Answer, Found, FoundService, Launch, Role
from devctl.discovery.needs import Need, undeclared
from devctl.stack.model import Build, Service, Stack

NOTHING = Answer[str](None, "nothing says it")


def found(*services: tuple[str, tuple[Role, ...]], broker: str = "") -> Found:
    there = {name: FoundService(name, roles, "a file", Launch((), "")) for name, roles in services}
    return Found(there, Answer(broker, "a file") if broker else NOTHING, NOTHING, NOTHING)


def stack(*services: Service, broker: str = "", workers: tuple[str, ...] = ()) -> Stack:
    return Stack("it", {one.name: one for one in services}, broker, workers, {}, "")


def test_what_x_devctl_says_stays_and_the_rest_is_completed() -> None:
    here = found(("q", ("broker",)), ("both", ("web", "worker")), ("w", ("worker",)), ("j", ("job",)), broker="q")
    services = [Service(name) for name in here.services]
    assert completed(stack(*services), here).broker == "q"
    assert completed(stack(*services), here).workers == ("w", "both")  # the one that is nothing else is measured
    slow = [Service(name, profiles=("slow",) if name == "w" else ()) for name in here.services]
    assert completed(stack(*slow), here).workers == ("both", "w")
    assert completed(stack(*services), here).lasting == ("q", "both", "w")
    said = completed(stack(*services, broker="other", workers=("both",)), here)
    assert (said.broker, said.workers) == ("other", ("both",))
    assert completed(stack(Service("a")), found(("a", ("unknown",)))).broker == ""


@pytest.mark.parametrize(
    ("words", "tells"), [("-l INFO", True), ("--loglevel=debug", True), ("-l warning", False), ("", False)]
)
def test_a_worker_whose_log_has_the_level_info_is_to_say_when_it_is_ready(words: str, tells: bool) -> None:
    here = found(("w", ("worker",)))
    command = celery_command.read(["celery", "-A", "p", "worker", *words.split()], {})
    here = replace(here, services={"w": replace(here.services["w"], celery=command)})
    assert (("w",) if tells else ()) == completed(stack(Service("w")), here).telling


def test_a_folder_and_a_container_are_names_of_a_service() -> None:
    services = [
        Service("api", build=Build(Path("/x/example-api"))),
        Service("a", build=Build(Path("/x/shared")), container_name="the-a"),
        Service("b", build=Build(Path("/x/shared"))),
    ]
    assert completed(stack(*services), found()).aliases == {"example-api": "api", "the-a": "a"}


def test_a_node_that_answers_makes_a_worker_of_its_service() -> None:
    here = answered(
        found(("a", ("unknown",)), ("b", ("web",)), ("c", ("worker",))), {"celery@1": "a", "w@2": "b", "x": ""}
    )
    assert {name: one.roles for name, one in here.services.items()} == {
        "a": ("worker",),
        "b": ("worker", "web"),
        "c": ("worker",),
    }
    assert here.services["a"].source == "celery@1 (inspect)"
    assert here.services["c"].source == "a file"


@pytest.mark.parametrize(
    ("environment", "depends_on", "needs"),
    [
        ({"CELERY_BROKER_URL": "redis://:p@redis:6379/0"}, {}, [Need("w", "redis", "CELERY_BROKER_URL")]),
        ({"DB_HOST": "db"}, {}, [Need("w", "db", "DB_HOST"), Need("w", "redis", "the broker")]),
        ({"CELERY_BROKER_URL": "redis://redis"}, {"redis": "service_started"}, []),
        ({"CELERY_BROKER_URL": "redis://elsewhere"}, {"redis": "service_started"}, []),
        ({"NAME": "db"}, {"redis": "service_started"}, []),
        ({"A": "http://w/1"}, {"redis": "service_started"}, []),
    ],
)
def test_who_is_named_and_not_depended_on_is_not_started(
    environment: dict[str, str], depends_on: dict[str, str], needs: list[Need]
) -> None:
    worker = Service("w", environment=environment, depends_on=depends_on)
    here = stack(worker, Service("redis"), Service("db"), broker="redis", workers=("w",))
    assert undeclared(here, ["w"]) == needs
    assert undeclared(here, ["w", "redis", "db"]) == []
