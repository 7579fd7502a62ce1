"""Chaos from its scenarios to a report. It prints nothing: `emit` is told, and the report is returned."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import redis

from devctl.chaos import events
from devctl.chaos.catalogue import NOT_TESTED, SOAK
from devctl.chaos.hands import ContainerHands, Hands, LocalHands
from devctl.chaos.part import Play
from devctl.chaos.report import Report
from devctl.chaos.scenario import Conditions, Scenario, Setup, Size, SoakPlan
from devctl.chaos.stage import Stage, has
from devctl.chaos.verdict import Row, failed, judge, not_run
from devctl.clock import Clock
from devctl.errors import DevctlError
from devctl.stack import identity

LARGE_BACKLOG = 10_000
"""A broker that has seen so much is not looked through again for the next row."""


@dataclass(frozen=True)
class Ports:
    """Everything a chaos run touches."""

    stage: Stage
    hands: Hands
    clock: Clock
    why_not: Callable[[Scenario, Stage], str]
    """Why a scenario cannot be played here; "" where it can."""
    logs: Path
    """A folder for the services' logs of the rows that are broken."""

    @classmethod
    def of(cls, stage: Stage, logs: Path) -> Ports:
        """On this machine."""
        local = stage.place.runtime == "local"
        hands = LocalHands() if local else ContainerHands(identity.project_name(stage.settings))
        return cls(stage, hands, stage.clock, why_not, logs)


def why_not(scenario: Scenario, stage: Stage) -> str:
    """What this machine, this runtime or stock Celery lacks for a scenario; "": nothing."""
    place = stage.place
    local = place.runtime == "local"
    if scenario.name == SOAK and place.stock:
        return "it tests celeriac only"
    if "api" in scenario.needs and place.stock:
        return "stock Celery has no HTTP API"
    if "api" in scenario.needs and not place.api:
        return 'the Compose file names no request with an id: x-devctl: {demo: {request: "POST /…", id: FIELD, …}}'
    if "disk" in scenario.needs and local and (os.geteuid() != 0 or not has("unshare", "mount", "nsenter")):
        return "needs root, to mount a small disk"
    if "faketime" in scenario.needs and not local:
        return "the images have no libfaketime: devctl chaos clocks --runtime local"
    if "faketime" in scenario.needs and not place.faketime:
        return "needs libfaketime (Debian: apt-get install faketime)"
    return ""


def run(
    scenarios: Sequence[Scenario],
    size: Size,
    ports: Ports,
    emit: Callable[[events.Event], None],
    soak: SoakPlan | None = None,
) -> Report:
    """Play all of them, one after the other; the caller's guard takes the stack away."""
    stage, clock = ports.stage, ports.clock
    begun = clock.now()
    play = Play(stage, ports.hands, clock, emit, size)
    containers = stage.place.runtime == "compose"
    conditions = Conditions(size, stage.place.stock, containers, soak or SoakPlan())
    rows: dict[int, Row] = {}
    for number, scenario in enumerate(_ordered(scenarios, conditions), start=1):
        emit(events.Playing(number, len(scenarios), scenario.title[size]))
        row = (
            not_run(scenario, size, why)
            if (why := ports.why_not(scenario, stage))
            else _play(ports, play, scenario, conditions)
        )
        rows[scenario.number] = row
        emit(events.RowDone(row))
        if row.interrupted:
            break
    emit(events.PuttingBack())
    return Report(
        runtime=stage.place.runtime,
        stock=stage.place.stock,
        size=size,
        rows=tuple(rows[one] for one in sorted(rows)),
        not_tested=NOT_TESTED,
        seconds=clock.now() - begun,
    )


def _play(ports: Ports, play: Play, scenario: Scenario, conditions: Conditions) -> Row:
    seen, size = [], conditions.size
    try:
        for part in scenario.parts(conditions):
            seen.append((part.expect, play.part(part)))
            if judge(scenario, size, seen[-1:]).verdict == "broken":
                _keep_logs(play.stage, ports.logs / f"{scenario.name}.log")
            if part.load.backlog >= LARGE_BACKLOG or not play.stage.clean():
                play.stage.strike()
    except (DevctlError, redis.RedisError) as problem:
        play.stage.strike()
        return failed(scenario, size, f"the chaos stack does not work: {getattr(problem, 'problem', problem)}")
    row = judge(scenario, size, seen)
    if row.verdict == "broken":
        play.stage.strike()
    return row


def _keep_logs(stage: Stage, file: Path) -> None:
    """What the services said: the stack, and its logs with it, is gone soon."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with (
        suppress(DevctlError),
        stage.runtime.logs(list(stage.runtime.stack.services)) as lines,
        file.open("a", encoding="utf-8") as out,
    ):
        out.writelines(f"{line.replica}  {line.text}\n" for line in lines)


def _ordered(scenarios: Sequence[Scenario], conditions: Conditions) -> list[Scenario]:
    """Those that share a setup one after the other: each change of it is a new stack."""
    first: dict[object, int] = {}
    for number, scenario in enumerate(scenarios):
        first.setdefault(_setup(scenario, conditions), number)
    return sorted(scenarios, key=lambda one: (first[_setup(one, conditions)], one.number))


def _setup(scenario: Scenario, conditions: Conditions) -> Setup:
    return scenario.parts(conditions)[0].setup
