"""The soak: tasks without end, a worker killed every few seconds, Redis in between, and a count that stays small."""

from __future__ import annotations

import random
import secrets
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import cast
from uuid import UUID

import redis

from devctl.chaos import events, remains
from devctl.chaos.audit import Audit
from devctl.chaos.faults.brokers import BACK_SECONDS
from devctl.chaos.field import READY_SECONDS, Field
from devctl.chaos.memory import Memory
from devctl.chaos.observation import Soak, Tally
from devctl.chaos.publishing import PATIENCE_SECONDS, QUEUE_BOUND, SOURCE
from devctl.chaos.scenario import SoakPlan
from devctl.chaos.supply import Publish, Supply
from devctl.errors import DevctlError

REDIS_EVERY = 40
"""Kills of a worker; in a short soak Redis is killed twice."""
STALL_SECONDS = 60.0
LOOK_SECONDS, TELL_SECONDS = 0.1, 0.5


def soak(plan: SoakPlan) -> Callable[[Field], None]:
    """The fault that goes on until the plan is fulfilled."""

    def fault(field: Field) -> None:
        first_half = secrets.randbits(64)
        Soaking(plan, field, first_half, _publish(field, first_half)).play()

    return fault


class Soaking:
    """One soak, while it goes on. `first_half`: of the ids of its tasks."""

    def __init__(self, plan: SoakPlan, field: Field, first_half: int, publish: Publish) -> None:
        from celeriac.workbench import soak as task

        self._plan, self._field, self._first_half, self._now = plan, field, first_half, field.clock.now
        self._effects, self._bodies = task.effects_key(field.run), task.bodies_key(field.run)
        self._client = field.broker()
        self._audit = Audit()
        self._supply = Supply(publish, lambda: self._audit.done)
        self._begun = self._moved = self._told = self._now()
        self._memory = Memory(self._begun)
        (self._service,) = field.stage.worker_services()
        self._chance = random.Random(1)  # noqa: S311  # the same run again
        self._kills = self._redis_kills = 0
        self._slowest_redis = self._longest_pause = 0.0
        self._victim = self._choose()
        self._due = self._begun + plan.every_seconds
        self._redis_due: float | None = None
        self._waits_since: float | None = None

    def play(self) -> None:
        """Until there were enough kills and enough tasks; Ctrl-C ends it earlier."""
        self._field.afterwards.append(self.sum_up)
        self._supply.begin()
        try:
            with self._ending_at_ctrl_c():
                while not self._over():
                    self._look()
                    self._strike()
                    self._field.sleep(LOOK_SECONDS)
        finally:
            self._supply.end()

    @contextmanager
    def _ending_at_ctrl_c(self) -> Iterator[None]:
        """The first Ctrl-C ends the soak, and interrupts no count half-way; a second one is as usual."""

        def heard(*_: object) -> None:
            self._field.interrupted = True
            signal.signal(signal.SIGINT, before)

        before = signal.signal(signal.SIGINT, heard)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _over(self) -> bool:
        plan = self._plan
        enough = self._kills >= plan.kills and self._audit.done >= plan.least_tasks and not self._redis_due
        return enough or self._field.interrupted

    def _look(self) -> None:
        """What is done by now, and how much memory it takes."""
        before, now = self._audit.done, self._now()
        with suppress(redis.RedisError):  # it begins again
            self._audit.read(self._client, self._effects)
            if self._memory.due(now):
                self._memory.look(self._client, self._field.workers(), now)
        if self._audit.done > before:
            self._longest_pause = max(self._longest_pause, now - self._moved)
            self._moved = now
        elif now - self._moved > STALL_SECONDS:
            raise DevctlError(f"nothing was done for {STALL_SECONDS:.0f} s")
        if now - self._told >= TELL_SECONDS:
            self._told = now
            self._tell(now - self._begun)

    def _tell(self, seconds: float) -> None:
        plan, done = self._plan, self._audit.done
        rate = done / seconds
        left = max(
            (plan.kills - self._kills) * max(plan.every_seconds, seconds / max(1, self._kills)),
            (plan.least_tasks - done) / max(1.0, rate),
        )
        self._field.emit(events.Soaking(self._kills, plan.kills, done, plan.least_tasks, rate, left))

    def _strike(self) -> None:
        """Kill what is due. The kills are spread over the tasks: each waits for its share of them."""
        now, share = self._now(), (self._kills + 1) * self._plan.least_tasks // (self._plan.kills + 1)
        if self._redis_due and now >= self._redis_due:
            self._redis_due = None
            self._kill_redis()
        elif self._kills < self._plan.kills and now >= self._due and self._audit.done >= share:
            self._kill_worker(now)

    def _kill_worker(self, now: float) -> None:
        working = [one for one in self._field.working(self._service) if one.name == self._victim]
        if not working:
            self._waits_since = self._waits_since or now
            if now - self._waits_since > READY_SECONDS:
                raise DevctlError(f"{self._victim} works again: not within {READY_SECONDS:.0f} s")
            return
        self._waits_since = None
        with self._field.strike(fired=0):
            ended = self._field.kill(working[0])
        self._field.fired += ended
        self._kills += ended
        self._victim, self._due = self._choose(), now + self._plan.every_seconds
        if ended and self._kills % min(REDIS_EVERY, max(1, self._plan.kills // 2)) == 0:
            self._redis_due = now + self._plan.every_seconds / 2

    def _choose(self) -> str:
        """Either worker; in the second half always the first one, so that the other one lives long enough to show
        whether its memory grows."""
        late = self._kills >= self._plan.kills // 2
        return f"{self._service}-{1 if late else self._chance.randint(1, 2)}"

    def _kill_redis(self) -> None:
        field = self._field
        (replica,) = field.replicas(field.broker_name)
        with field.strike(fired=0):
            ended = field.kill(replica)
            seconds = field.until(field.answers, READY_SECONDS, "Redis answers again")
        field.fired += ended
        self._redis_kills += ended
        self._slowest_redis = max(self._slowest_redis, seconds)

    def sum_up(self) -> None:
        """What became of all tasks, when everything is over."""
        field, supply, audit, queues = self._field, self._supply, self._audit, self._field.stage.queues
        # What waits first: where work still goes on it may be done or dead by the next look, never the other way round.
        unfinished = self._numbers(remains.ids(self._client, queues))
        letters = remains.letters(self._client, queues)
        audit.read(self._client, self._effects)
        missing = set(audit.missing(supply.accepted))
        dead = {number: one.reason for one in letters for number in missing & self._numbers([one.task_id])}
        left = missing - dead.keys()
        waiting = left & unfinished
        began = cast("bytes | None", field.stage.ledger().get(self._bodies)) or b""
        field.tally = Tally(
            accepted=supply.accepted,
            done=supply.accepted - len(missing),
            dead=Counter(dead.values()),
            waiting=len(waiting),
            lost=len(left - waiting),
            doubled=audit.doubled(supply.sent),
            repeated=sum(times > 1 for times in began),
            unconfirmed=supply.sent - supply.accepted,
            refused=supply.refused,
        )
        rate = audit.done / max(0.1, self._moved - self._begun)
        curves = tuple(self._memory.curves(f"{self._service}-2"))
        field.soak = Soak(self._kills, self._redis_kills, sum(began), rate, self._longest_pause, curves)
        self._check()

    def _check(self) -> None:
        field = self._field
        assert field.soak is not None
        if self._redis_kills:
            slowest = self._slowest_redis
            field.check(f"Redis is back within {BACK_SECONDS:.0f} s ({slowest:.1f})", slowest <= BACK_SECONDS)
        for curve in field.soak.curves:
            if curve.flat is not None:
                field.check(f"the memory of {curve.name} is flat", curve.flat)

    def _numbers(self, ids: Iterable[str]) -> set[int]:
        """The numbers of the tasks of this soak among these ids."""
        from celeriac.workbench import soak as task

        found = set()
        for id_ in ids:
            with suppress(ValueError):  # no id of ours
                number = task.number_of(UUID(id_))
                found |= {number} if task.task_id(self._first_half, number) == UUID(id_) else set()
        return found


def _publish(field: Field, first_half: int) -> Publish:
    from celeriac.app.client import make_app
    from celeriac.app.settings import CelerySettings
    from celeriac.workbench import soak as task

    settings = CelerySettings(broker_url=field.stage.broker_url(), result_backend=None, queue_bound=QUEUE_BOUND)
    contract = task.soak.bind(make_app(SOURCE, settings, patience_seconds=PATIENCE_SECONDS))

    def publish(numbers: range) -> None:
        contract.publish_many(
            task.SoakPayload(task_id=task.task_id(first_half, number), source_service=SOURCE, run=field.run)
            for number in numbers
        )

    return publish
