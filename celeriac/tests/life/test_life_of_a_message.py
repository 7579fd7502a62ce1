"""Publishing, claiming, starting, finishing, stalling, crashing, expiring, stopping, replaying in any order, with a
stock worker beside: Redis holds what the model says, no message is lost, nothing has its effect twice.

A few hundred histories in every run, always the same ones. Many, and others each time, take minutes:

    HISTORIES=10000 .venv/bin/pytest celeriac/tests/life/test_life_of_a_message.py -s
"""

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import redis
from celeriac.tests.life.model import AHEAD, GARBAGE, PROVEN, Copy, End, Model
from celeriac.tests.life.workers import HOUR_US, SCRIBE, History, OurWorker, StockRun, StockWorker, commit_of, seen
from celeriac.tests.life.world import tag_of
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from celeriac.broker import connection, keys
from celeriac.broker.lists import SEPARATOR, STEPS, list_of, lists
from celeriac.broker.removal import purge
from celeriac.dead_letter import replay as replaying
from celeriac.dead_letter.letters import drop, find, read
from celeriac.dead_letter.replay import replay
from celeriac.lease import restore as restoring
from celeriac.message import frame as messages
from celeriac.message.frame import frame
from celeriac.outcome import committer
from celeriac.publish.outgoing import Outgoing, words
from celeriac.publish.publisher import SCRIPT as PUBLISH
from celeriac.run import ends, intake

HISTORIES = int(os.environ.get("HISTORIES", "0"))
STEPS_OF_A_HISTORY = 30

QUEUES = ["orders", "mail"]
NAMES = [list_of(queue, priority) for priority in (0, 3) for queue in QUEUES]
MAX_STARTS, LETTERS_BOUND, QUEUE_BOUND = 3, 3, 12
LATER = "2099-01-01T00:00:00+00:00"

any_one = st.integers(0, 30)
WORKS = [*"abcdefghijkl", "n1", "n2", "n3"]  # those with n have no record
OTHERS = ["q1", "q2", "q3"]  # of messages that carry the work of another id
IDS = [*WORKS, *OTHERS]
ids = st.sampled_from(WORKS)
prints = st.sampled_from(["x", "x", "x", "y"])  # y: other work under the same id
queues = st.sampled_from(QUEUES)
priorities = st.sampled_from([0, 0, 3])
hows = st.sampled_from(
    ["effect", "effect, child", "child", "plain", "retry", "retry later", "letter", "letter, errback"]
)
messages_ = st.lists(st.tuples(ids, prints, queues, priorities), min_size=1, max_size=4)


class Choice(NamedTuple):
    """Of one step: which of those that are possible, with which message, how it ends, and something more or not."""

    step: int
    which: int
    how: str
    then: bool


Step = tuple[str, Callable[[], object]]


class Answers:
    """What a worker will read: how many are refused and repeated, and the letters of what conflicts."""

    def __init__(self) -> None:
        self.refused = self.repeated = 0
        self.letters: list[tuple[End, int]] = []


choices = st.builds(Choice, any_one, any_one, hows, st.booleans())


def new(
    id_: str,
    print_: str,
    queue: str,
    priority: int = 0,
    *,
    eta: str | None = None,
    noted: bool = False,
    work: str = "",
) -> Copy:
    headers = {"fingerprint": print_} if noted else {}
    raw = frame("tasks.x", queue, [print_], task_id=id_, priority=priority, eta=eta, headers=headers)
    return Copy(tag_of(raw), raw, id_, print_, queue, priority, AHEAD if eta else "readable", noted, work)


class Life(RuleBasedStateMachine):
    client: redis.Redis

    def __init__(self) -> None:
        super().__init__()
        self.client.flushdb()
        self.model = Model(LETTERS_BOUND, QUEUE_BOUND)
        self.ours = [self.worker(), self.worker()]
        self.finished: list[list[End]] = [[], []]  # and not delivered
        self.under_way: list[Answers] = [Answers(), Answers()]  # done, and no answer is read yet
        self.unknown: list[list[tuple[End, int]]] = [[], []]  # sent, and no answer came
        self.stock = StockWorker(self.client, NAMES)
        self.history = History(self.client)
        self.copies: dict[str, Copy] = {}  # by tag: everything that was ever accepted
        self.ended: Counter[str] = Counter()  # tags of those that are done, or that went on under another tag
        self.bodies: Counter[str] = Counter()  # by tag: runs in our workers
        self.children: Counter[str] = Counter()
        self.sound = True

    def worker(self) -> OurWorker:
        return OurWorker(self.client, NAMES, MAX_STARTS)

    def accept(self, copy: Copy) -> Copy:
        assert copy.tag not in self.copies
        self.copies[copy.tag] = copy
        return copy

    # What can happen. Hypothesis leaves rules out at random, so those that need each other are one.

    @initialize(several=messages_)
    def something_to_do(self, several: list[tuple[str, str, str, int]]) -> None:
        self.publish_once(several, waits=False)

    @rule(several=st.lists(choices, min_size=1, max_size=5))
    def one_worker(self, several: list[Choice]) -> None:
        for choice in several:
            self.take("worker 0", self.steps_of_ours(0, choice), choice)

    @rule(several=st.lists(choices, min_size=1, max_size=5))
    def another_worker(self, several: list[Choice]) -> None:
        for choice in several:
            self.take("worker 1", self.steps_of_ours(1, choice), choice)

    def steps_of_ours(self, number: int, choice: Choice) -> list[Step]:
        worker, which, how, then = self.ours[number], choice.which, choice.how, choice.then
        steps: list[Step] = []
        if any(self.model.lists.values()) or self.model.due:
            steps.append(("claims", lambda: self.claim(number, 1 + which % 4)))
        if self.held(number, which, running=False):
            steps += 2 * [("begins", lambda: self.begin(number, which))]
            steps += 2 * [("runs one", lambda: self.begin(number, which, how, send=then))]
            steps.append(("gives one back", lambda: self.give_back(number, which)))
        if self.held(number, which, running=True):
            steps += 3 * [("ends one", lambda: self.end(number, which, how, send=then))]
            steps.append(("commits one at once", lambda: self.commit_now(number, which, how)))
            steps.append(("tells a chord", lambda: self.store(number, which, how)))
        if worker.committer.leases.held:
            steps.append(("renews", lambda: self.renewed(number, over=False)))
            steps += 2 * [("stalls", lambda: self.stall(number, restored=then))]
            steps.append(("crashes", lambda: self.crash(number, restored=then)))
            steps.append(("stops", lambda: self.stop(number, which, culprit=then)))
        if self.finished[number]:
            steps.append(("delivers", lambda: self.deliver(number)))
        if self.finished[number] or worker.committer.leases.held:
            steps += 2 * [("sends", lambda: self.send(number, which, how))]
            steps += 2 * [("loses its line", lambda: self.lose_the_line(number, which, how))]
        return steps

    @rule(choice=choices)
    def a_stock_worker(self, choice: Choice) -> None:
        which, how, then = choice.which, choice.how, choice.then
        steps: list[Step] = []
        if any(self.model.lists.values()):
            steps.append(("claims", self.stock_claim))
        if self.stock_run(which, committed=False):
            steps += 2 * [("runs one", lambda: self.stock_commit(which, how, acknowledged=then))]
        if self.stock_run(which, committed=True):
            steps.append(("acknowledges", lambda: self.stock_acknowledge(which)))
        if self.stock.runs:
            steps.append(("forgets one", lambda: self.stock_crash(which)))
        if self.model.index:
            steps.append(("restores", lambda: self.stock_restore(which)))
        self.take("stock worker", steps, choice)

    @rule(choice=choices)
    def something_else(self, choice: Choice) -> None:
        steps: list[Step] = [("scripts are flushed", self.scripts_are_flushed)]
        if self.model.due:
            steps += 2 * [("time passes", self.time_passes)]
        if any(lease.over for lease in self.model.leases.values()):
            steps += 2 * [("leases are restored", self.restore)]
        if any(self.model.letters.values()):
            steps += 2 * [("a letter is replayed", lambda: self.replay(choice.which))]
            steps.append(("a letter is dropped", lambda: self.drop(choice.which)))
        steps.append(("a queue is purged", lambda: self.purge(QUEUES[choice.then])))
        self.take("", steps, choice)

    def take(self, who: str, steps: list[Step], choice: Choice) -> None:
        if steps:
            name, step = steps[choice.step % len(steps)]
            note(f"{who} {name}".strip())
            COUNTED[f"{who[:6]} {name}".strip()] += 1
            step()
            self.redis_holds_what_the_model_says()

    # Publishing

    @rule(several=messages_, waits=st.booleans())
    def publish_once(self, several: list[tuple[str, str, str, int]], waits: bool) -> None:
        for what in several:
            copy = new(*what, noted=True)
            due_us = self.now_us() + HOUR_US if waits else 0
            message = Outgoing("tasks.x", copy.id, copy.queue, copy.list, copy.print, 3_600_000, copy.raw, due_us)
            answer = PUBLISH(self.client, *words([message], QUEUE_BOUND, scribe=SCRIBE))[1]
            assert self.model.publish(copy, waits=waits) == answer
            COUNTED[f"published: {answer}"] += 1
            if answer == 1:
                self.accept(copy)
        self.redis_holds_what_the_model_says()

    @rule(several=messages_)
    def publish_as_stock_celery_does(self, several: list[tuple[str, str, str, int]]) -> None:
        for what in several:
            self.push(new(*what))

    @rule(several=messages_, id_=st.sampled_from(OTHERS))
    def a_stock_client_sends_work_under_another_id(self, several: list[tuple[str, str, str, int]], id_: str) -> None:
        for work, *rest in several:
            self.push(new(id_, *rest, work=work))

    @rule(queue=queues, garbage=st.booleans())
    def publish_what_nobody_can_read_or_what_says_itself_that_it_waits(self, queue: str, garbage: bool) -> None:
        tag = f"garbage {len(self.copies)}"
        unreadable = Copy(tag, b"\xff" + tag.encode(), "n", "x", queue, kind=GARBAGE)
        self.push(unreadable if garbage else new("n0", "x", queue, eta=LATER))

    def push(self, copy: Copy) -> None:
        self.client.lpush(copy.list, copy.raw)
        self.model.push(self.accept(copy))

    def time_passes(self) -> None:
        """For all that waits, up to now."""
        for member in self.client.zrange(keys.DUE, 0, -1):
            self.client.zadd(keys.DUE, {member: 1})
        self.model.time_passes()

    def now_us(self) -> int:
        seconds, microseconds = self.client.time()
        return seconds * 1_000_000 + microseconds

    # Our workers

    def claim(self, number: int, want: int) -> None:
        worker = self.ours[number]
        members = self.client.zrange(keys.DUE, 0, -1)
        by_member = {f"{copy.list}\n".encode() + copy.raw: copy for copy in self.model.due}
        order = [by_member[member] for member in members]
        claimed = worker.claim(want, LETTERS_BOUND)
        taken, starts, full, left = self.model.claim(NAMES, want, claimed.fence, number, order)
        assert ([(copy.list, copy.raw) for copy in taken], starts, full, left) == claimed[2:]
        COUNTED["queues not claimed from"] += len(full)

    def held(self, number: int, which: int, *, running: bool) -> Copy | None:
        worker = self.ours[number]
        over = {end.copy.tag for end in self.finished[number]}
        tags = [tag for tag in worker.committer.leases.held if (tag in worker.running) == running and tag not in over]
        return self.copies[tags[which % len(tags)]] if tags else None

    def begin(self, number: int, which: int, how: str = "", *, send: bool = False) -> None:
        """One of those that it has claimed; it may end at once."""
        worker = self.ours[number]
        copy = self.held(number, which, running=False)
        if copy is None:
            return
        tag, expected = copy.tag, "runs"
        if tag in worker.came_back:
            self.deliver(number)
            expected = self.start_of_what_came_back(copy, worker, worker.fences.get(tag))
        assert expected == worker.begin(tag)
        COUNTED[f"starts: {expected}"] += 1
        if expected == "runs":
            self.bodies[tag] += 1
        if expected == "poison":
            self.finish(number, End(copy, "letter", reason="poison", child=self.errback(copy) if send else None))
        if expected == "runs" and how:
            self.finish(number, self.end_of(copy, how))
        if send:
            self.deliver(number)

    def start_of_what_came_back(self, copy: Copy, worker: OurWorker, fence: int | None) -> str:
        """The last start that it may have is one alone: if its worker dies, that was its own death."""
        stored = worker.came_back[copy.tag]
        before, proven = stored % PROVEN + 1, stored >= PROVEN
        if before >= MAX_STARTS and proven:
            return "poison"
        if not self.model.start(copy, fence, alone=before >= MAX_STARTS - 1):
            return "lost"
        return "runs"

    def end(self, number: int, which: int, how: str, *, send: bool) -> None:
        copy = self.held(number, which, running=True)
        if copy is not None:
            self.finish(number, self.end_of(copy, how))
        if send:
            self.deliver(number)

    def end_all(self, number: int, how: str) -> None:
        while self.held(number, 0, running=False):
            self.begin(number, 0, how)
        while self.held(number, 0, running=True):
            self.end(number, 0, how, send=False)

    def end_of(self, copy: Copy, how: str) -> End:
        if how in ("retry", "retry later"):
            again = new(copy.id, copy.print, copy.queue, copy.priority, noted=copy.noted, work=copy.work)
            return End(copy, "retry", again=again, ripe=how == "retry")
        if how in ("letter", "letter, errback"):
            return End(copy, "letter", child=self.errback(copy) if "errback" in how else None)
        return self.success(copy, how)

    def success(self, copy: Copy, how: str) -> End:
        child = new(f"n-of-{copy.work_id}", "x", "mail") if "child" in how and copy.recorded else None
        return End(copy, "success", "effect" in how, child)

    def errback(self, copy: Copy) -> Copy:
        return new("n3", f"of {copy.tag}", "mail")

    def commit_now(self, number: int, which: int, how: str) -> None:
        """With what was finished before; this thread waits for the answer."""
        self.deliver(number)
        copy = self.held(number, which, running=True)
        if copy is None:
            return
        end, worker = self.end_of(copy, how), self.ours[number]
        fence = worker.fences.get(copy.tag)
        assert fence is not None
        verdict = worker.commit(copy.tag, commit_of(end, copy.tag))
        refused, repeated, left = self.applied([(end, fence)])
        expected = "refused" if refused else "repeated" if repeated else "impossible" if left else "committed"
        assert expected == verdict
        COUNTED[f"at once: {verdict}"] += 1
        if left:
            letter = End(copy, "letter", reason="conflict")
            worker.deliver()
            self.applied([(letter, fence)])

    def store(self, number: int, which: int, how: str) -> None:
        """Its result, ahead of its outcome, which follows. Not ours any more: it has no outcome."""
        self.deliver(number)
        copy = self.held(number, which, running=True)
        if copy is None:
            return
        worker, end = self.ours[number], self.end_of(copy, how if how.startswith("letter") else "plain")
        fence, commit = worker.fences.get(copy.tag), commit_of(end, copy.tag)
        if not commit.result_key:
            return
        ours = self.model.store(end, fence)
        assert ours == worker.committer.store(commit)
        COUNTED[f"chord told: {ours}"] += 1
        if ours:
            self.finish(number, end)
        else:
            worker.running.discard(copy.tag)

    def finish(self, number: int, end: End) -> None:
        self.ours[number].finish(end.copy.tag, commit_of(end, end.copy.tag))
        self.finished[number].append(end)

    def deliver(self, number: int) -> None:
        """Everything that is finished is committed: first what had no answer, then the rest."""
        self.read(number)
        worker = self.ours[number]
        counters = worker.committer.counters
        before = (counters.refused, counters.repeated)
        unknown, finished = self.unknown[number], self.with_fences(number)
        local = len(self.finished[number]) - len(finished)  # lost at a renewal: never sent
        self.unknown[number], self.finished[number] = [], []
        worker.deliver()
        letters: list[tuple[End, int]] = []  # of what conflicts: behind what was finished meanwhile
        refused = repeated = 0
        for batch in (unknown, finished, []):
            letters, more_refused, more_repeated = self.commit(batch + letters)
            refused, repeated = refused + more_refused, repeated + more_repeated
        assert [] == letters
        assert (before[0] + refused + local, before[1] + repeated) == (counters.refused, counters.repeated)

    def with_fences(self, number: int) -> list[tuple[End, int]]:
        fences = self.ours[number].fences
        return [(end, fences[end.copy.tag]) for end in self.finished[number] if end.copy.tag in fences]

    def commit(self, batch: list[tuple[End, int]]) -> tuple[list[tuple[End, int]], int, int]:
        """In the model: the letters of what conflicts, how many were refused, and repeated."""
        refused, repeated, left = self.applied(batch)
        conflicts = [(end.copy, fence) for end, fence in batch if end.copy.tag in left]
        letters = [(End(copy, "letter", reason="conflict"), fence) for copy, fence in conflicts]
        return letters, len(refused), len(repeated)

    def applied(self, batch: list[tuple[End, int]]) -> tuple[list[str], list[str], list[str]]:
        answer = refused, repeated, left = self.model.outcome(batch)
        COUNTED["outcomes"] += len(batch)
        COUNTED["refused by the fence"] += len(refused)
        COUNTED["known by the record"] += len(repeated)
        COUNTED["conflicts"] += len(left)
        for end, _ in batch:
            tag = end.copy.tag
            if tag in refused or tag in left:
                continue
            if end.how != "letter" or tag in repeated:
                self.ended[tag] += 1
            if tag not in repeated or (end.how in ("retry", "letter") and end.copy.work):
                self.born(end)
        return answer

    def born(self, end: End) -> None:
        if end.again is not None:
            self.accept(end.again)
        if end.child is not None:
            self.accept(end.child)
            if end.how == "success":
                self.children[end.child.id] += 1

    def send(self, number: int, which: int, how: str) -> None:
        """All ends, and outcomes are sent in several calls. Redis has done them, and the answers are read later."""
        self.end_all(number, how)
        self.deliver_unknown(number)
        before = self.ours[number].committer.counters.refused
        calls, local = self.calls(number, which)
        self.ours[number].send([len(call) for call in calls], len(calls))
        assert before + local == self.ours[number].committer.counters.refused
        under_way = self.under_way[number]
        for call in calls:
            letters, refused, repeated = self.commit([(end, fence) for end, fence in call if fence is not None])
            under_way.letters += letters
            under_way.refused += refused
            under_way.repeated += repeated
        COUNTED["calls under way"] += len(calls)

    def read(self, number: int) -> None:
        """What else speaks on this connection reads its answers first. What conflicts is finished with a letter."""
        worker, expected = self.ours[number], self.under_way[number]
        counters = worker.committer.counters
        before = (counters.refused, counters.repeated)
        worker.committer.read_answers()
        assert (before[0] + expected.refused, before[1] + expected.repeated) == (counters.refused, counters.repeated)
        self.finished[number] += [end for end, _ in expected.letters]
        self.under_way[number] = Answers()

    def calls(self, number: int, which: int) -> tuple[list[list[tuple[End, int | None]]], int]:
        """What is finished, with its fences, in few calls; and how many of it were lost at a renewal. The rest stays
        finished."""
        fences, size = self.ours[number].fences, 1 + which % 3
        most = size * committer.MOST_CALLS
        sent, self.finished[number] = self.finished[number][:most], self.finished[number][most:]
        ends = [(end, fences.get(end.copy.tag)) for end in sent]
        local = sum(fence is None for _, fence in ends)
        return [ends[at : at + size] for at in range(0, len(ends), size)], local

    def lose_the_line(self, number: int, which: int, how: str) -> None:
        """All ends, outcomes are sent in several calls, and no answer comes: Redis has done the first ones, and has
        never heard of the others."""
        self.end_all(number, how)
        self.deliver_unknown(number)
        before = self.ours[number].committer.counters.refused
        calls, local = self.calls(number, which)
        heard = which // 3 % (len(calls) + 1)
        self.ours[number].send([len(call) for call in calls], heard)
        self.ours[number].lose_the_line()
        sent = [[(end, fence) for end, fence in call if fence is not None] for call in calls]
        for call in sent[:heard]:
            self.applied(call)
        self.unknown[number] = [one for call in sent for one in call]
        COUNTED["without an answer"] += len(self.unknown[number])
        assert before + local == self.ours[number].committer.counters.refused

    def deliver_unknown(self, number: int) -> None:
        """What else speaks on this connection sends it first."""
        self.read(number)
        if self.unknown[number]:
            self.deliver(number)

    def stall(self, number: int, *, restored: bool) -> None:
        """Past its leases; it does not know. Others may have noticed."""
        self.renewed(number, over=True)
        if restored:
            self.restore()

    def renewed(self, number: int, *, over: bool) -> None:
        worker = self.ours[number]
        self.deliver_unknown(number)
        held, before = worker.fences, worker.committer.leases.lost
        if not held:
            return
        worker.committer.connection._away_until = 0.0
        if over:
            worker.stall()
        else:
            worker.committer.leases.renew()
        new_fences = set(worker.fences.values())
        assert len(new_fences) <= 1
        lost = self.model.renew(held, max(new_fences, default=0), over=over)
        assert held.keys() - lost == worker.fences.keys()
        assert before + len(lost) == worker.committer.leases.lost
        COUNTED["lost at a renewal"] += len(lost)

    def crash(self, number: int, *, restored: bool) -> None:
        """It forgets everything, what was finished and not sent included; its leases will be over."""
        dead = self.ours[number]
        unsettled = self.unknown[number] + self.under_way[number].letters
        fences = dead.fences | {end.copy.tag: fence for end, fence in unsettled}
        for tag, fence in fences.items():
            if self.model.ours(tag, fence):
                self.client.zadd(keys.LEASES, {tag: 1})
                self.model.leases[tag].fence, self.model.leases[tag].over = 1, True
        self.ours[number] = dead.successor()
        self.finished[number], self.unknown[number], self.under_way[number] = [], [], Answers()
        if restored:
            self.restore()

    def restore(self) -> None:
        back = restoring.restore(self.client, SEPARATOR, STEPS)
        assert self.model.restore() == back
        COUNTED["restored"] += back

    def give_back(self, number: int, which: int) -> None:
        """Others could start it sooner."""
        copy = self.held(number, which, running=False)
        if copy is not None:
            self.deliver_unknown(number)
            fence = self.ours[number].fences[copy.tag]
            self.ours[number].committer.connection._away_until = 0.0
            assert self.model.release([(copy.tag, fence, "")]) == self.ours[number].committer.leases.release([copy.tag])

    def stop(self, number: int, which: int, *, culprit: bool) -> None:
        """In order, or for a body that hangs: then its start counts, and no other one."""
        self.deliver(number)
        worker, fences = self.ours[number], self.ours[number].fences
        running = [tag for tag in fences if tag in worker.running]
        guilty = running[which % len(running)] if culprit and running else None
        counted = worker.committer.leases.counted
        given = [(guilty, fences[guilty], "culprit")] if guilty else []
        rest = [tag for tag in fences if tag != guilty]
        given += [(tag, fences[tag], "counted" if tag in counted else "") for tag in rest]
        for tag, fence, how in given:
            if self.model.ours(tag, fence) and tag in self.model.unacked and tag in worker.running:
                self.bodies[tag] -= how != "culprit"  # a stop is no death
        worker.stop(guilty)
        self.model.release(given)
        self.ours[number] = worker.successor()

    def scripts_are_flushed(self) -> None:
        self.client.script_flush()

    # A stock worker beside

    def stock_run(self, which: int, *, committed: bool) -> StockRun | None:
        runs = [run for run in self.stock.runs if run.committed == committed]
        return runs[which % len(runs)] if runs else None

    def stock_claim(self) -> None:
        heads = [self.model.lists[name][0] for name in NAMES if self.model.lists[name]]
        if heads and heads[0].kind != "readable":
            return  # it would throw it away, or wait for its time in its memory
        copy = self.model.stock_claim(NAMES)
        assert (copy.raw if copy else None) == self.stock.claim()

    def stock_commit(self, which: int, how: str, *, acknowledged: bool) -> None:
        run = self.stock_run(which, committed=False)
        if run is None:
            return
        end = self.success(self.copies[run.tag], how)
        before = self.model.applied(end)
        if before != "conflict" and (end.copy.recorded or end.effect or end.child):  # else there is nothing to commit
            self.model.wrote("repeated" if before == "done" else "committed", run.tag)
        assert {None: "done", "done": "repeated", "conflict": "conflict"}[before] == self.stock.commit(run, end)
        if before is None:
            self.born(end)
        if acknowledged:
            self.stock_end(run)

    def stock_acknowledge(self, which: int) -> None:
        """Also when its message was given to others meanwhile: it does not know."""
        run = self.stock_run(which, committed=True)
        if run is not None:
            self.stock_end(run)

    def stock_end(self, run: StockRun) -> None:
        COUNTED["stale stock acknowledgements"] += run.tag not in self.model.index
        COUNTED["which erase a registration"] += run.tag in self.model.leases
        self.stock.acknowledge(run)
        self.model.stock_acknowledge(run.tag)
        self.ended[run.tag] += 1

    def stock_crash(self, which: int) -> None:
        if self.stock.runs:
            self.stock.runs.pop(which % len(self.stock.runs))

    def stock_restore(self, which: int) -> None:
        if self.model.index:
            tag = sorted(self.model.index)[which % len(self.model.index)]
            self.model.stock_restore(tag, self.stock.restore(tag))

    # Dead letters

    def replay(self, which: int) -> None:
        letters = [letter for letter in read(self.client) if letter.reason == "permanent"]
        if not letters:
            return
        chosen = letters[which % len(letters)]
        ids_there = [one.id for one in read(self.client, queue=chosen.queue)]
        number = ids_there.index(chosen.id)
        _, _, old = self.model.letters[chosen.queue][number]
        found = find(self.client, chosen.id)
        assert found is not None
        if not found.raw:
            return  # a stock worker had erased it: see `place`
        assert replay(self.client, found)
        raw: Any = self.client.lindex(old.list, 0)
        copy = replace(old, tag=tag_of(raw), raw=raw, kind="readable")
        assert json.loads(raw)["headers"]["id"] == old.id
        assert not replay(self.client, found)
        self.ended[old.tag] += 1
        COUNTED["replayed"] += 1
        self.model.replay(chosen.queue, number, self.accept(copy))

    def drop(self, which: int) -> None:
        letters = list(read(self.client))
        chosen = letters[which % len(letters)]
        number = [one.id for one in read(self.client, queue=chosen.queue)].index(chosen.id)
        assert 1 == drop(self.client, [chosen.id])
        self.ended[self.model.drop(chosen.queue, number).tag] += 1

    def purge(self, queue: str) -> None:
        gone = self.model.purge(queue)
        assert len(gone) == purge(self.client, lists(queue))
        self.ended.update(copy.tag for copy in gone)
        COUNTED["purged"] += len(gone)

    # What holds at every step

    def redis_holds_what_the_model_says(self) -> None:
        self.sound = False
        written = self.history.read()
        if self.model.steps != written:
            print("DIFF missing", self.model.steps - written, "too many", written - self.model.steps)
        assert self.model.steps == written
        expected, found = self.model.redis(), seen(self.client, NAMES, QUEUES, IDS)
        expected["results"] = {id_: result for id_, result in expected["results"].items() if id_ in IDS}
        for part, what in found.items():
            assert (part, expected[part]) == (part, what)
        self.sound = True

    @invariant()
    def every_message_is_in_one_place_or_has_ended(self) -> None:
        model = self.model
        places = Counter(copy.tag for copies in model.lists.values() for copy in copies)
        places.update(copy.tag for copy in model.due)
        places.update(model.unacked.keys())
        places.update(copy.tag for ones in model.letters.values() for _, _, copy in ones)
        for tag in self.copies:
            # A stock worker that acknowledges late may have run what is still somewhere: at least once, there.
            assert places[tag] == 1 or (places[tag] == 0 and self.ended[tag])
        assert places.keys() <= self.copies.keys()

    @invariant()
    def claims_and_leases_agree(self) -> None:
        claimed = self.model.leases.keys() | self.model.index
        assert self.model.unacked.keys() <= claimed
        assert all(self.ended[tag] for tag in claimed - self.model.unacked.keys())

    @invariant()
    def no_record_has_two_effects_or_two_children(self) -> None:
        assert all(number == 1 for id_, number in self.model.effects.items() if id_[0] != "n")
        assert all(number == 1 for number in self.children.values())

    @invariant()
    def nothing_starts_more_often_than_it_may(self) -> None:
        assert all(number <= MAX_STARTS for number in self.bodies.values())

    @invariant()
    def who_holds_a_message_knows_its_fence(self) -> None:
        for number, worker in enumerate(self.ours):
            for tag, lease in self.model.leases.items():
                if lease.owner == number and lease.fence > 1_000_000 and tag in worker.fences:
                    assert lease.fence == worker.fences[tag]

    # The end

    def teardown(self) -> None:
        try:
            if self.sound:  # or the first difference is what to look at
                self.account()
        finally:
            for worker in self.ours:
                worker.retire()

    def account(self) -> None:
        """Everybody dies; a last worker does all that is left. Then everything is accounted for."""
        self.crash(0, restored=False)
        self.crash(1, restored=False)
        self.stock.runs.clear()
        for tag in sorted(self.model.index):
            self.model.stock_restore(tag, self.stock.restore(tag))
        for tag, lease in self.model.leases.items():  # of messages, too, whose claim a stock worker had erased
            self.client.zadd(keys.LEASES, {tag: 1})
            lease.fence, lease.over = 1, True
        self.restore()
        self.time_passes()
        for _ in range(200):
            for queue in QUEUES:  # room for more of them
                self.client.delete(keys.dead(queue))
                self.ended.update(copy.tag for _, _, copy in self.model.letters.pop(queue, []))
            self.claim(0, 4)
            while self.ours[0].waiting:
                before = len(self.ours[0].waiting)
                self.begin(0, 0, "effect, child", send=True)
                assert len(self.ours[0].waiting) < before
            if not any(self.model.lists.values()):
                break
        self.redis_holds_what_the_model_says()
        self.every_message_is_in_one_place_or_has_ended()
        assert {AHEAD} >= {copy.kind for copy in self.model.due}
        left = self.model.redis()
        assert ({}, {}, {}, set()) == (left["lists"], left["unacked"], left["leases"], left["index"])
        COUNTED["histories"] += 1
        COUNTED["messages"] += len(self.copies)
        COUNTED["runs"] += self.bodies.total()


COUNTED: Counter[str] = Counter()


@pytest.fixture
def life(redis_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Life]]:
    monkeypatch.setattr(committer, "FLUSH_SECONDS", math.inf)  # what is finished is sent when the test says so
    monkeypatch.setattr(connection, "FIRST_PAUSE_SECONDS", 60.0)  # and again when the test says so
    monkeypatch.setattr(committer, "emit", lambda *_, **__: None)
    monkeypatch.setattr(intake, "emit", lambda *_, **__: None)
    monkeypatch.setattr(committer, "transition", lambda *_, **__: None)
    monkeypatch.setattr(ends, "transition", lambda *_, **__: None)
    # Redis breaks ties by tag, so tags have the same order in every run.
    monkeypatch.setattr(messages._process, "prefix", "00000000-0000-4000-8000-")
    monkeypatch.setattr(replaying, "uuid4", messages._process.tag)
    with redis.Redis(port=redis_server.port, db=7) as client:
        Life.client = client
        yield Life


@pytest.mark.integration
@pytest.mark.timeout(0 if HISTORIES else 600)
def test_nothing_is_lost_and_nothing_has_its_effect_twice(life: type[Life]) -> None:
    COUNTED.clear()
    run_state_machine_as_test(
        life,
        settings=settings(
            max_examples=HISTORIES or 200,
            stateful_step_count=STEPS_OF_A_HISTORY,
            derandomize=not HISTORIES,
            database=None,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        ),
    )
    print("; ".join(f"{number:,} {what}" for what, number in COUNTED.items()))
    assert COUNTED["histories"] >= (HISTORIES or 200)
