"""The soak: tasks without end, a worker killed every few seconds, Redis in between, and a count that stays small."""

from __future__ import annotations

import random
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, cast
from uuid import UUID

import redis

from devctl.chaos import events, remains
from devctl.chaos.curve import Curve
from devctl.chaos.faults.brokers import BACK_SECONDS
from devctl.chaos.field import READY_SECONDS, Field
from devctl.chaos.observation import Soak, Tally
from devctl.chaos.publishing import PATIENCE_SECONDS, QUEUE_BOUND, SOURCE
from devctl.chaos.scenario import SoakPlan
from devctl.errors import DevctlError
from devctl.stack.port import Replica

REDIS_EVERY = 40
"""Kills of a worker; in a short soak Redis is killed twice."""
IN_FLIGHT, BATCH = 10_000, 500
"""So many tasks wait or run at most: workers always find some, and Redis never holds many."""
AGAIN_SECONDS, GIVE_UP_SECONDS = 0.3, 20.0
STALL_SECONDS = 60.0
LOOK_SECONDS, TELL_SECONDS, SAMPLE_SECONDS = 0.1, 0.5, 1.0
SETTLE_SECONDS, WORKER_SETTLE_SECONDS = 30.0, 10.0
"""Until Redis holds all that it holds at any time (records of 15 s); until a worker has imported and run everything."""
_PAGE = 5_000
_HALF = 64

Publish = Callable[[range], None]
"""Puts the tasks with these numbers into the broker. What it raises means "not confirmed"."""


def soak(plan: SoakPlan) -> Callable[[Field], None]:
    """The fault that goes on until the plan is fulfilled."""
    return lambda field: _Soaking(plan, field).play()


class Audit:
    """How often each task had its effect, from the stream of effects: one byte of memory for each task."""

    def __init__(self) -> None:
        self._counts = bytearray()
        self._last = b"0-0"
        self.done = 0
        """Tasks whose effect happened."""

    def read(self, client: redis.Redis, key: str) -> None:
        """Count what is new, and remove it from the stream."""
        while found := cast("list[Any]", client.xread({key: self._last}, count=_PAGE)):
            ((_, entries),) = found
            for _, fields in entries:
                self.count(int(fields[b"n"]))
            self._last = entries[-1][0]
            client.xtrim(key, minid=self._last.decode(), approximate=False)

    def count(self, number: int) -> None:
        """One effect of this task."""
        if number >= len(self._counts):
            self._counts.extend(bytes(number + _PAGE - len(self._counts)))
        self.done += not self._counts[number]
        self._counts[number] = min(255, self._counts[number] + 1)

    def missing(self, accepted: int) -> Iterator[int]:
        """Of the first so many tasks, those that had no effect."""
        self._counts.extend(bytes(max(0, accepted - len(self._counts))))
        at = self._counts.find(0)
        while 0 <= at < accepted:
            yield at
            at = self._counts.find(0, at + 1)

    def doubled(self, sent: int) -> int:
        """Tasks with more than one effect, and those with an effect that nobody sent."""
        return sum(times > 1 for times in self._counts[:sent]) + sum(times > 0 for times in self._counts[sent:])


class Loader:
    """A thread that keeps tasks in flight: IN_FLIGHT at most."""

    def __init__(self, publish: Publish, done: Callable[[], int]) -> None:
        self._publish, self._done = publish, done
        self._over, self._gives_up = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.accepted = self.sent = self.refused = 0

    def begin(self) -> None:
        """Publish from now on."""
        self._thread.start()

    def end(self) -> None:
        """Nothing new; what was not confirmed is tried again for a while."""
        self._over.set()
        self._thread.join(GIVE_UP_SECONDS)
        self._gives_up.set()
        self._thread.join(2 * PATIENCE_SECONDS)

    def _work(self) -> None:
        while not self._gives_up.is_set():
            confirmed = self.accepted == self.sent
            if confirmed and self._over.is_set():
                return
            if confirmed and self.accepted - self._done() > IN_FLIGHT - BATCH:
                self._over.wait(AGAIN_SECONDS / 10)
                continue
            self.sent = self.accepted + BATCH
            try:
                self._publish(range(self.accepted, self.sent))
            except Exception:  # whatever a client raises: not confirmed
                self.refused += 1
                self._gives_up.wait(AGAIN_SECONDS)
            else:
                self.accepted = self.sent


class _Soaking:
    """One soak, while it goes on."""

    def __init__(self, plan: SoakPlan, field: Field) -> None:
        from celeriac.workbench import soak as task

        self._plan, self._field, self._now = plan, field, field.clock.now
        self._first_half = secrets.randbits(_HALF)
        self._effects, self._bodies = task.effects_key(field.run), task.bodies_key(field.run)
        self._client = field.broker()
        self._audit = Audit()
        self._loader = Loader(_publish(field, self._first_half), lambda: self._audit.done)
        self._memory = Memory(field)
        (self._service,) = field.stage.worker_services()
        self._chance = random.Random(1)  # noqa: S311  # the same run again
        self._kills = self._redis_kills = 0
        self._slowest_redis = 0.0
        self._begun = self._moved = self._told = self._now()
        self._pause = 0.0
        self._next = self._begun + plan.every_seconds
        self._victim = self._choose()
        self._waits = 0.0
        self._redis_at: float | None = None

    def play(self) -> None:
        """Until there were enough kills and enough tasks."""
        self._field.afterwards.append(self._tell_all)
        self._loader.begin()
        try:
            while self._kills < self._plan.kills or self._audit.done < self._plan.least_tasks or self._redis_at:
                self._look()
                self._strike()
                self._field.sleep(LOOK_SECONDS)
        except KeyboardInterrupt:
            self._field.interrupted = True
        finally:
            self._loader.end()

    def _look(self) -> None:
        """What is done by now, and how much memory it takes."""
        before, now = self._audit.done, self._now()
        with suppress(redis.RedisError):  # it is being killed
            self._audit.read(self._client, self._effects)
        if self._audit.done > before:
            self._pause = max(self._pause, now - self._moved)
            self._moved = now
        elif now - self._moved > STALL_SECONDS:
            raise DevctlError(f"nothing was done for {STALL_SECONDS:.0f} s")
        with suppress(redis.RedisError):
            self._memory.look(self._client, self._service, now)
        if now - self._told >= TELL_SECONDS:
            self._told = now
            self._tell(now)

    def _tell(self, now: float) -> None:
        plan, done = self._plan, self._audit.done
        rate = done / max(0.1, now - self._begun)
        left = max(
            (plan.kills - self._kills) * max(plan.every_seconds, (now - self._begun) / max(1, self._kills)),
            (plan.least_tasks - done) / max(1.0, rate),
        )
        self._field.emit(events.Soaking(self._kills, plan.kills, done, plan.least_tasks, rate, left))

    def _strike(self) -> None:
        now = self._now()
        if self._redis_at and now >= self._redis_at:
            self._redis_at = None
            self._kill_redis()
        due = (self._kills + 1) * self._plan.least_tasks // (self._plan.kills + 1)
        if self._kills >= self._plan.kills or now < self._next or self._audit.done < due:
            return
        working = [one for one in self._field.working(self._service) if one.name == self._victim]
        if not working:
            self._waits = self._waits or now
            if now - self._waits > READY_SECONDS:
                raise DevctlError(f"{self._victim} works again: not within {READY_SECONDS:.0f} s")
            return
        self._waits = 0.0
        with self._field.strike(fired=0):
            ended = self._field.kill(working[0])
        self._field.fired += ended
        self._kills += ended
        self._next = now + self._plan.every_seconds
        self._victim = self._choose()
        if ended and self._kills % min(REDIS_EVERY, max(1, self._plan.kills // 2)) == 0:
            self._redis_at = now + self._plan.every_seconds / 2

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

    def _tell_all(self) -> None:
        """When everything is over."""
        field, loader, audit = self._field, self._loader, self._audit
        audit.read(self._client, self._effects)
        missing = set(audit.missing(loader.accepted))
        dead = {
            number: letter.reason
            for letter in remains.letters(self._client, field.stage.queues)
            for number in missing & self._numbers([letter.task_id])
        }
        left = missing - dead.keys()
        waiting = left & self._numbers(remains.ids(self._client, field.stage.queues)) if left else set()
        began = cast("bytes | None", field.stage.ledger().get(self._bodies)) or b""
        field.tally = Tally(
            accepted=loader.accepted,
            done=loader.accepted - len(missing),
            dead=Counter(dead.values()),
            waiting=len(waiting),
            lost=len(left - waiting),
            doubled=audit.doubled(loader.sent),
            repeated=sum(times > 1 for times in began),
            unconfirmed=loader.sent - loader.accepted,
            refused=loader.refused,
        )
        curves = self._memory.curves(self._service)
        seconds = max(0.1, self._moved - self._begun)
        field.soak = Soak(
            self._kills, self._redis_kills, sum(began), audit.done / seconds, self._pause, curves=tuple(curves)
        )
        if self._redis_kills:
            field.check(
                f"Redis is back within {BACK_SECONDS:.0f} s each time ({self._slowest_redis:.1f})",
                self._slowest_redis <= BACK_SECONDS,
            )
        for curve in curves:
            if curve.flat is not None:
                field.check(f"the memory of {curve.name} is flat", curve.flat)

    def _numbers(self, ids: Iterable[str]) -> set[int]:
        """The numbers of those tasks of this run that are among these ids."""
        found = set()
        for id_ in ids:
            with suppress(ValueError):
                whole = UUID(id_).int
                if whole >> _HALF == self._first_half:
                    found.add(whole & (1 << _HALF) - 1)
        return found


class Memory:
    """The memory of the workers and of Redis, once a second."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self._begun = self._looked = field.clock.now()
        self._redis: list[int] = []
        self._workers: list[dict[str, tuple[int, int]]] = []
        """Worker -> process id, bytes."""

    def look(self, client: redis.Redis, service: str, now: float) -> None:
        """Take a sample, if it is time."""
        if now - self._looked < SAMPLE_SECONDS:
            return
        self._looked = now
        self._workers.append(
            {
                one.name: (one.pid, used)
                for one in self._field.replicas(service)
                if one.pid is not None and one.state == "running" and (used := _used(one))
            }
        )
        self._redis.append(int(client.info("memory")["used_memory"]))

    def curves(self, service: str) -> Iterator[Curve]:
        """Of all workers together, of the one that lives longest at the end, of Redis."""
        seconds = (self._looked - self._begun) / max(1, len(self._workers))
        all_ = [sum(used for _, used in sample.values()) for sample in self._workers]
        settled = round(SETTLE_SECONDS / max(seconds, 0.01))
        last = f"{service}-2"
        life: list[int] = []
        pid = self._workers[-1].get(last, (0, 0))[0] if self._workers else 0
        for sample in reversed(self._workers):
            if sample.get(last, (0, 0))[0] != pid or not pid:
                break
            life.append(sample[last][1])
        young = round(WORKER_SETTLE_SECONDS / max(seconds, 0.01))
        yield Curve("all workers", seconds, tuple(all_), settled)
        yield Curve(f"{last}, spared", seconds, tuple(reversed(life)), young)
        yield Curve("Redis", seconds, tuple(self._redis), settled)


def _used(replica: Replica) -> int:
    """Bytes of a replica's processes, memory that they share divided among them; 0 where it cannot be read."""
    import psutil

    try:
        process = psutil.Process(replica.pid)
        family = [process, *process.children(recursive=True)]
        return sum(getattr(info, "pss", 0) or info.rss for info in (one.memory_full_info() for one in family))
    except psutil.Error:
        return 0


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
