"""The messages themselves are the fault: they kill, hang, eat memory, cannot be read, come a thousand times."""

from __future__ import annotations

import random
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from devctl.chaos import raw, remains
from devctl.chaos.field import Field
from devctl.chaos.load import PUBLISHERS
from devctl.chaos.observation import Fate, Sent
from devctl.chaos.publishing import QUEUE, Task
from devctl.chaos.verdict import NO_ANSWER, PUBLISHED, REFUSED

NEIGHBOURS = 5
"""Good messages on each side of a bad one, in one batch."""
SETTLE_SECONDS = 30.0
_FUZZ_CHUNK = 100
_TWO_HOURS = 2 * 3600.0


def misbehaving(quick: float, full: float) -> Callable[[Field], None]:
    """Some tasks of the load misbehave; this waits, and counts at the end those that began to."""

    def fault(field: Field) -> None:
        seconds = field.pick(quick, full)
        field.doing(f"load with bad tasks for {seconds:.0f} s")
        with field.strike(fired=0):
            field.sleep(seconds)

        def count() -> None:
            field.fired += len({line.task_id for line in field.ledger.lines()} & field.bad())

        field.afterwards.append(count)

    return fault


def clocks(field: Field) -> None:
    """The workers' clocks are wrong from their start; this waits, and looks whether they are."""
    seconds = field.pick(6.0, 12.0)
    field.doing(f"tasks with due times for {seconds:.0f} s")
    with field.strike(fired=0):
        field.sleep(seconds)
    off = {line.by: round((line.said - line.at) / _TWO_HOURS) for line in field.ledger.lines()}
    field.fired += sum(by != 0 for by in off.values())
    if not field.stock:  # of which the one behind takes messages for two hours to come, and starts none
        field.check("one clock is ahead, one behind", {-1, 1} <= set(off.values()))


def storm(field: Field) -> None:
    """The same requests again and again, many at a time, through both doors."""
    times, ids, keys = field.pick((20, 100, 20), (50, 1_000, 100))
    field.doing(f"{ids:,} tasks, each published {times} times")
    wanted = [str(uuid.uuid4()) for _ in range(ids)]
    with field.strike(fired=0):
        begun = field.clock.now()
        refused: Counter[str] = Counter()
        accepted: dict[str, float] = {}

        def publish(order: Sequence[str]) -> None:
            for id_ in order:
                try:
                    field.publisher.publish(Task(id_, notify=False))
                    accepted.setdefault(id_, field.clock.now())
                except Exception as problem:  # whatever a client raises
                    refused[type(problem).__name__] += 1

        _at_once([partial(publish, order) for order in _shuffled(wanted, times)], PUBLISHERS)
        answers = tuple(f"{REFUSED}{name}" for name, count in refused.items() for _ in range(count))
        field.sent += [
            Sent(id_, begun, accepted.get(id_), (id_,) if id_ in accepted else (), 0.0, (PUBLISHED,)) for id_ in wanted
        ]
        field.check(f"no publish is refused ({', '.join(sorted(set(answers))) or 'none was'})", not answers)
        field.fired += times * ids
        if field.api:
            field.doing(f"{keys} requests, each posted {times} times")
            field.fired += _post(field, keys, times)


def bad_messages(fuzz_quick: int, fuzz_full: int) -> Callable[[Field], None]:
    """Every bad message alone, then each within a batch of good ones; then those that chance made."""

    def fault(field: Field) -> None:
        size = field.pick(5 * 10**6, 50 * 10**6)
        pushed = _Pushed(field)
        with field.workers_live():
            with field.strike(fired=0):
                for case in raw.cases(large_bytes=size):
                    field.doing(f"alone: {case.name}")
                    pushed.push(case.make(field.run), case.fate, case.name)
                    field.until(
                        lambda: remains.depth(field.broker(), field.stage.queues).empty, 5.0 if not field.stock else 1.0
                    )
                for case in raw.cases(large_bytes=size // 10):
                    field.doing(f"in a batch: {case.name}")
                    pushed.push(case.make(field.run), case.fate, case.name, neighbours=NEIGHBOURS)
                field.until(lambda: remains.depth(field.broker(), field.stage.queues).empty, SETTLE_SECONDS)
                fuzz = 0 if field.stock else field.pick(fuzz_quick, fuzz_full)
                for chunk in _chunks(list(raw.fuzzed(field.run, fuzz)), _FUZZ_CHUNK):
                    field.doing(f"spoiled by chance: {len(pushed.bad):,}")
                    pushed.push(chunk, "either", "fuzzed", neighbours=NEIGHBOURS)
                field.until(lambda: remains.depth(field.broker(), field.stage.queues).empty, SETTLE_SECONDS)
            pushed.account()

    return fault


class _Pushed:
    """The raw messages of this row, and what became of each."""

    def __init__(self, field: Field) -> None:
        self._field, self._client = field, field.broker()
        self.bad: list[tuple[str, bytes, str]] = []
        """Key, message, name of the case."""

    def push(self, bad: Sequence[bytes], fate: Fate, name: str, neighbours: int = 0) -> None:
        """All of these as one batch, good ones before and behind them."""
        field, now = self._field, self._field.clock.now()
        around = [str(uuid.uuid4()) for _ in range(2 * neighbours)]
        batch = [raw.good(field.run, id_) for id_ in around]
        batch[neighbours:neighbours] = bad
        pipe = self._client.pipeline(transaction=True)
        for message in batch:
            pipe.lpush(QUEUE, message)
        pipe.execute()
        field.sent += [Sent(id_, now, now, (id_,), 0.0, (PUBLISHED,)) for id_ in around]
        for message in bad:
            key = f"bad-{len(self.bad)}"
            self.bad.append((key, message, name))
            field.sent.append(Sent(key, now, now, (key,), 0.0, (PUBLISHED,)))
            field.fates[key] = fate
        field.fired += len(bad)

    def account(self) -> None:
        """Find each bad one again: among the dead letters by its bytes, else by a trace of its id."""
        field = self._field
        waiting = remains.raws(
            self._client, field.stage.queues
        )  # first: what waits now may be done or dead by the next look
        letters = Counter((letter.raw, letter.reason) for letter in remains.letters(self._client, field.stage.queues))
        reasons: dict[bytes, list[str]] = {}
        for (message, reason), count in letters.items():
            reasons.setdefault(message, []).extend([reason] * count)
        left = [one for one in self.bad if not reasons.get(one[1])]
        for key, message, _ in self.bad:
            if reasons.get(message):
                field.dead[key] = reasons[message].pop()
        ids = {key: remains.task_id(message) or remains.payload_id(message) for key, message, _ in left}
        known = remains.stored(self._client, set(ids.values()) - {""})
        effects, runs = remains.effects(self._client, field.run), field.ledger.runs()
        vanished: Counter[str] = Counter()
        for key, message, name in left:
            traces = {ids[key], remains.payload_id(message)} - {""}
            if any(id_ in known or id_ in effects or id_ in runs for id_ in traces):
                field.done.add(key)
                if field.fates[key] == "dead":
                    field.check(f"it becomes a dead letter: {name}", held=False)
            elif waiting[message]:
                field.waiting.add(key)
            else:
                vanished[name] += 1
        for name, count in vanished.items():
            field.check(f"none of these vanishes: {name} ({count})", held=False)


def _post(field: Field, keys: int, times: int) -> int:
    api = field.api
    assert api is not None
    wanted = [f"storm-{uuid.uuid4().hex}" for _ in range(keys)]
    begun, lock = field.clock.now(), threading.Lock()
    seen: dict[str, Sent] = {key: Sent(key, begun, None) for key in wanted}

    def post(order: Sequence[str]) -> None:
        for key in order:
            answer = api.order(key)
            with lock:
                before, now = seen[key], field.clock.now()
                new = (answer.task_id,) if answer.task_id and answer.task_id not in before.ids else ()
                seen[key] = Sent(
                    key,
                    begun,
                    before.accepted_at or (now if answer.task_id else None),
                    (*before.ids, *new),
                    max(before.slowest_seconds, answer.seconds),
                    (*before.answers, str(answer.status) if answer.status else NO_ANSWER),
                )

    _at_once([partial(post, order) for order in _shuffled(wanted, times)], times)
    field.sent += seen.values()
    return keys * times


def _shuffled(items: Sequence[str], times: int) -> Iterator[list[str]]:
    chance = random.Random(1)  # noqa: S311  # the same order again
    for _ in range(times):
        yield chance.sample(list(items), len(items))


def _at_once(works: Sequence[Callable[[], None]], threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work) for work in works]:
            done.result()


def _chunks(items: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]
