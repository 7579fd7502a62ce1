"""One part of a scenario, from its stack to what was observed."""

from __future__ import annotations

import secrets
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import cast

import redis

from devctl.chaos import events, remains
from devctl.chaos.api import Api
from devctl.chaos.compose_file import CONTROL_PORT, PROXY
from devctl.chaos.field import Field
from devctl.chaos.hands import Hands
from devctl.chaos.ledger import Ledger
from devctl.chaos.link import Link
from devctl.chaos.load import Traffic
from devctl.chaos.observation import Check, Observation, Sent
from devctl.chaos.publishing import Contracted, Publisher, StockClient, Task
from devctl.chaos.scenario import DRAIN_SECONDS, Part, Size
from devctl.chaos.stage import Stage
from devctl.chaos.verdict import PUBLISHED
from devctl.clock import Clock
from devctl.errors import DevctlError

STALL_SECONDS, STOCK_STALL_SECONDS = 25.0, 12.0
"""Nothing moves for so long: it will not be empty. Longer than a lease and the start of a worker take."""
WARM_SECONDS = 20.0
_POLL_SECONDS, _TICK_SECONDS = 0.1, 0.25
_LETTERS = "bcdfghjkmnpqrstvwxz23456789"
CHILD = "tasks.chaos_child"

Emit = Callable[[events.Event], None]


@dataclass
class Play:
    """What every part needs."""

    stage: Stage
    hands: Hands
    clock: Clock
    emit: Emit
    size: Size

    def part(self, part: Part) -> Observation:
        """Play it; what goes wrong with the stack itself is a check that did not hold."""
        stage, clock = self.stage, self.clock
        stage.set(part.setup, self.emit)
        run = "".join(secrets.choice(_LETTERS) for _ in range(10))
        publisher = self._publisher(run, part)
        field = self._field(run, publisher)
        before = self._orders() if field.api else frozenset()
        traffic = Traffic(part.load, publisher, field.api, clock)
        field.bad = lambda: set(traffic.fates)
        begun = clock.now()
        problem = ""
        self._warm(run, part)
        try:
            with nullcontext() if part.tells else self._ticking(traffic, field.ledger):
                if part.load.backlog:
                    self.emit(events.Doing(f"publishing {part.load.backlog:,} tasks"))
                    traffic.backlog()
                traffic.begin()
                try:
                    clock.sleep(part.before_seconds)
                    part.fault(field)
                    clock.sleep(0.0 if field.interrupted else part.after_seconds)
                except (DevctlError, redis.RedisError) as broken:
                    problem = getattr(broken, "problem", "") or f"Redis: {broken}"
                finally:
                    self.emit(events.Doing("the load ends"))
                    traffic.end()
                self.emit(events.Doing("draining"))
                drained, patience = (None, "") if field.interrupted else self._drain(field.ledger)
                for look in field.afterwards:
                    look()
            return self._observe(part, field, traffic, before, (drained, patience), begun, problem)
        except redis.RedisError as away:
            unread = f"Redis can be read at the end: {away}"
            checks = tuple(Check(what, held=False) for what in (problem, unread) if what)
            return Observation(clock.now() - begun, field.fired, (), checks=checks, drained_seconds=0.0)

    def _publisher(self, run: str, part: Part) -> Publisher:
        touch = self.stage.runtime.name == "compose"  # there only real use meets a limit
        kind = StockClient if self.stage.place.stock else Contracted
        return kind(self.stage.broker_url(), run, touch=touch and part.load.bad == "memory")

    def _field(self, run: str, publisher: Publisher) -> Field:
        stage, place = self.stage, self.stage.place
        setup = stage.current
        api = link = None
        if place.request and not place.stock:
            api = Api("127.0.0.1", place.ports[place.request.service, place.request.port], place.request)
        if setup and setup.proxy:
            link = Link("127.0.0.1", place.ports[PROXY, CONTROL_PORT])
        return Field(
            size=self.size,
            run=run,
            stage=stage,
            hands=self.hands,
            clock=self.clock,
            ledger=Ledger(stage.ledger(), run, self.clock.now()),
            publisher=publisher,
            api=api,
            link=link,
            doing=lambda what: self.emit(events.Doing(what)),
            bad=set,
            emit=self.emit,
        )

    def _warm(self, run: str, part: Part) -> None:
        """One task through everything, counted nowhere: what is slow at its first use is not the fault's doing."""
        warm, id_ = f"{run}-warm", str(uuid.uuid4())
        self._publisher(warm, part).publish(Task(id_))
        ledger, end = Ledger(self.stage.ledger(), warm, self.clock.now()), self.clock.now() + WARM_SECONDS
        while not any(line.what == "finish" for line in ledger.lines()):
            if self.clock.now() > end:
                raise DevctlError(
                    f"the chaos stack runs no tasks: one was published, and not done in {WARM_SECONDS:.0f} s",
                    hint="devctl logs worker --stack chaos",
                )
            self.clock.sleep(_POLL_SECONDS / 5)

    @contextmanager
    def _ticking(self, traffic: Traffic, ledger: Ledger) -> Iterator[None]:
        over = threading.Event()

        def tick() -> None:
            while not over.wait(_TICK_SECONDS):
                try:
                    self.emit(events.Tick(traffic.accepted, ledger.length() // 2))
                except redis.RedisError:
                    continue

        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        try:
            yield
        finally:
            over.set()
            ticker.join()

    def _drain(self, ledger: Ledger) -> tuple[float | None, str]:
        """Seconds until nothing is left to do; None, and what was waited for, where that does not happen."""
        clock, client = self.clock, self.stage.broker()
        begun = moved = clock.now()
        last: object = None
        stall = STOCK_STALL_SECONDS if self.stage.place.stock else STALL_SECONDS
        while True:
            depth = remains.depth(client, self.stage.queues)
            now = clock.now()
            if depth.empty:
                return now - begun, ""
            if (depth, ledger.length()) != last:
                last, moved = (depth, ledger.length()), now
            if now - begun > DRAIN_SECONDS:
                return None, f"{DRAIN_SECONDS:.0f} s: {depth}"
            if now - moved > stall:
                return None, f"{stall:.0f} s without any progress: {depth}"
            clock.sleep(_POLL_SECONDS)

    def _observe(
        self,
        part: Part,
        field: Field,
        traffic: Traffic,
        before: frozenset[str],
        drain: tuple[float | None, str],
        begun: float,
        problem: str,
    ) -> Observation:
        (drained, patience), client, results = drain, self.stage.broker(), self.stage.results()
        sent = (*traffic.sent(), *field.sent)
        # What waits first: where work still goes on it may be done or dead by the next look, never the other way round.
        waiting = field.waiting | remains.ids(client, self.stage.queues) if drained is None else frozenset()
        letters = {
            letter.task_id: letter.reason for letter in remains.letters(client, self.stage.queues) if letter.task_id
        }
        effects = remains.effects(client, field.run)
        orders = {id_ for one in sent for id_ in one.ids if one.answers and not _published(one)}
        done_orders = remains.finished(client, orders, results)
        done = frozenset(effects) | done_orders | field.done
        children = {_child(id_, CHILD) for id_ in traffic.notifying & done}
        if (request := self.stage.place.request) and request.follow_up:
            children |= {_child(id_, request.follow_up) for id_ in done_orders}
        missing = children - self._children_done(field.run, children) - letters.keys() - waiting
        strays = 0
        if field.api:
            keys = sum(not _published(one) for one in sent)
            strays = max(0, len(self._orders() - before) - keys)
        checks = [*field.checks, *([Check(problem, held=False)] if problem else [])]
        return Observation(
            seconds=self.clock.now() - begun,
            fired=field.fired,
            sent=sent,
            fates={**traffic.fates, **field.fates},
            done=done,
            dead={**letters, **field.dead},
            waiting=frozenset(waiting),
            effects=effects,
            runs=field.ledger.runs(),
            retried=frozenset(traffic.retried),
            followups=frozenset(missing),
            strays=strays,
            drained_seconds=drained,
            patience=patience,
            strikes=tuple(field.strikes),
            backlog=part.load.backlog > 0,
            checks=tuple(checks),
            tally=field.tally,
            soak=field.soak,
            interrupted=field.interrupted,
        )

    def _orders(self) -> frozenset[str]:
        request = self.stage.place.request
        assert request is not None
        return remains.orders(self.stage.broker(), request.id, self.stage.results())

    def _children_done(self, run: str, children: set[str]) -> frozenset[str]:
        client = self.stage.broker()
        if self.stage.place.stock:
            notified = cast("set[bytes]", client.smembers(f"chaos:{run}:notified"))
            return frozenset(id_.decode() for id_ in notified)
        return remains.finished(client, children, self.stage.results())


def _child(task_id: str, name: str) -> str:
    """The id of a task's first follow-up."""
    return str(uuid.uuid5(uuid.UUID(task_id), f"{name}:0"))


def _published(one: Sent) -> bool:
    return any(answer == PUBLISHED or answer.startswith("refused") for answer in one.answers)
