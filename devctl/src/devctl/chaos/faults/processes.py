"""Workers and the API are killed, stopped, frozen, scaled."""

from __future__ import annotations

import random
from collections.abc import Callable
from signal import SIGCONT, SIGINT, SIGKILL, SIGQUIT, SIGSTOP, Signals

from devctl.chaos.compose_file import WORKERS
from devctl.chaos.field import READY_SECONDS, Field
from devctl.chaos.scenario import GRACE_SECONDS, LEASE_SECONDS

_BETWEEN_SECONDS = (0.1, 0.5)


def kill_workers(times: int, pause: float = 0.0) -> Callable[[Field], None]:
    """SIGKILL one worker after the other, each as soon as it works again, with a pause after each."""

    def fault(field: Field) -> None:
        chance = random.Random(1)  # noqa: S311  # the same run again
        (service,) = field.stage.worker_services()
        for number in range(times):
            field.doing(f"SIGKILL {number + 1} of {times}")
            victim = field.victim(service, number)
            field.sleep(chance.uniform(*_BETWEEN_SECONDS))
            with field.strike(fired=0):
                field.fired += field.kill(victim)
            field.sleep(pause)

    return fault


def scale(field: Field) -> None:
    """1, 4, 1 workers: three are told to stop in the middle of their work."""
    (service,) = field.stage.worker_services()
    for _ in range(field.pick(1, 2)):
        for count in (4, 1):
            field.doing(f"{count} workers")
            before = field.lives()
            began = field.clock.now()
            if count == 1:
                with field.strike(fired=0):
                    field.runtime.start(service, replicas=count)
                    field.until(lambda: len(field.lives()) == 1, GRACE_SECONDS + 5)
                field.fired += len(before) - len(field.lives())
                seconds = field.clock.now() - began
                field.check(f"3 workers stop within their {GRACE_SECONDS} s of grace", seconds < GRACE_SECONDS)
            else:
                field.runtime.start(service, replicas=count)
                field.until(lambda n=count: len(field.working(service)) == n, READY_SECONDS, "4 workers")  # type: ignore[misc]
                field.sleep(1.5)
    field.runtime.start(service, replicas=WORKERS)


def stop_hard(field: Field) -> None:
    """The two ways to stop a worker in a hurry: Ctrl-C twice, SIGQUIT."""
    (service,) = field.stage.worker_services()
    hurries: list[list[Signals]] = [[SIGINT, SIGINT], [SIGQUIT]] * field.pick(1, 2)
    for number, hurry in enumerate(hurries):
        victim = field.victim(service, number)
        field.doing(" ".join(one.name for one in hurry))
        field.sleep(0.5)
        with field.strike(fired=0):
            for number_ in hurry:  # a terminal tells all its processes, a supervisor the one that it started
                field.hands.signal(victim, number_, alone=number_ is SIGQUIT)
                field.sleep(0.3)
            seconds = field.until(lambda v=victim: field.gone(v), GRACE_SECONDS)  # type: ignore[misc]
        field.fired += field.gone(victim)
        field.check(f"it ends within {GRACE_SECONDS} s", seconds < GRACE_SECONDS)


def freeze_worker(field: Field) -> None:
    """SIGSTOP one worker for longer than its lease; then it wakes up and believes that nothing happened."""
    (service,) = field.stage.worker_services()
    seconds = 2 * LEASE_SECONDS + 1
    for number in range(field.pick(1, 2)):
        victim = field.victim(service, number)
        field.doing(f"SIGSTOP for {seconds} s")
        with field.strike():
            field.hands.signal(victim, SIGSTOP)
            field.sleep(seconds)
            field.hands.signal(victim, SIGCONT)
        field.sleep(1.0)
        field.check("the frozen worker goes on", not field.gone(victim))
    runs = field.ledger.runs().values()
    moved = sum(len({by for _, by in run.starts}) > 1 for run in runs)
    if not field.stock:
        field.check(f"others took over what it held ({moved})", moved > 0)


def kill_api(times: int) -> Callable[[Field], None]:
    """SIGKILL the API while it answers requests."""

    def fault(field: Field) -> None:
        for number in range(times):
            field.doing(f"SIGKILL {number + 1} of {times}")
            victim = field.victim(field.stage.place.api, number)
            field.sleep(0.7)
            with field.strike(fired=0):
                field.fired += field.kill(victim, SIGKILL)

    return fault
