"""Workers of the tests: ours with its real committer and no threads; a stock one, in kombu's own steps; and what both
leave in Redis."""

import json
import re
import select
import socket
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import hiredis
import redis
from celeriac.tests.life.model import Copy, End, result_of
from celeriac.tests.life.world import Claimed, claim, committer_of, queue_of, tag_of

from celeriac.broker import keys
from celeriac.broker.connection import BrokerConnection
from celeriac.broker.lists import list_of
from celeriac.errors import PermanentError
from celeriac.lease.leases import Lease
from celeriac.lease.starts import next_start
from celeriac.life.scribe import Scribe
from celeriac.life.unpack import records
from celeriac.outcome.commit import Commit, Sent
from celeriac.outcome.committer import OUTCOME
from celeriac.outcome.unclaimed import commit_unclaimed

HOUR_US = 3_600_000_000
SCRIBE = Scribe("w", 1_000_000)
TAKEN = re.compile(rb'\[(.*),\s*"",\s*"[^"]*"\]', re.DOTALL)


def commit_of(end: End, tag: str) -> Commit:
    """As an execution puts it together."""
    copy = end.copy
    commit = Commit(tag, copy.id)
    if copy.recorded and end.ran:
        commit.record_key = keys.once(copy.work_id)
        commit.apart = bool(copy.work)
    if end.how == "retry":
        assert end.again is not None
        commit.add_due(end.again.list, end.again.raw, 0 if end.ripe else HOUR_US, _sent(end.again))
        commit.note(state="RETRY")
    elif end.how == "letter":
        commit.bury(keys.dead(copy.queue), json.dumps({"reason": end.reason}))
        commit.result_key, commit.result = f"celery-task-meta-{copy.id}", result_of(end)
        if end.child is not None:  # an errback
            commit.add_child(end.child.list, end.child.raw, _sent(end.child))
    elif end.how == "success":
        if copy.recorded:
            commit.record, commit.record_ms = f"done:{copy.print}", 3_600_000
            commit.result_key, commit.result = f"celery-task-meta-{copy.id}", result_of(end)
        if end.effect:
            commit.effects = [("HINCRBY", "effects", copy.work_id, 1)]
        if end.child is not None:
            commit.add_child(end.child.list, end.child.raw, _sent(end.child))
            commit.of_the_work = 1
    if commit.apart:
        commit.note(apart=commit.of_the_work)
    return commit


def _sent(copy: Copy) -> Sent:
    return copy.id, copy.tag, "tasks.x", {}


def answers(sock: socket.socket) -> int:
    """How many have arrived and are not read."""
    reader = hiredis.Reader(notEnoughData=...)
    reader.feed(sock.recv(1 << 20, socket.MSG_PEEK))
    return sum(1 for _ in iter(reader.gets, ...))


class OurWorker:
    """Claims, begins and finishes as the intake and the runners do."""

    def __init__(self, client: redis.Redis, names: list[str], max_starts: int) -> None:
        self.client, self.names, self.max_starts = client, names, max_starts
        self.committer = committer_of(client, HOUR_US / 1e6, SCRIBE)
        self.came_back: dict[str, int] = {}
        self.running: set[str] = set()

    @property
    def fences(self) -> dict[str, int]:
        return {tag: int(held.fence) for tag, held in self.committer.leases.held.items()}

    @property
    def waiting(self) -> list[str]:
        """Claimed, not started."""
        return [tag for tag in self.committer.leases.held if tag not in self.running]

    def claim(self, want: int, bound: int) -> Claimed:
        claimed = claim(self.client, *self.names, want=want, lease_us=HOUR_US, bound=bound, scribe=SCRIBE)
        for name, raw in claimed.messages:
            self.committer.leases.held[tag_of(raw)] = Lease(claimed.fence, name)
        self.came_back.update(claimed.starts)
        return claimed

    def begin(self, tag: str) -> str:
        """runs, lost, poison: what a runner does with it."""
        if tag in self.came_back:
            start = next_start(self.came_back[tag], self.max_starts)
            if start.poison:
                self.came_back.pop(tag)
                return "poison"
            self.committer.commit_all(1.0)
            counted, _ = self.committer.leases.started(tag, by=start.by(alone=bool(start.alone_seconds)))
            self.came_back.pop(tag)
            if counted < 0:
                self.committer.leases.held.pop(tag, None)
                return "lost"
        self.running.add(tag)
        return "runs"

    def finish(self, tag: str, commit: Commit) -> None:
        self.running.discard(tag)
        self.committer.submit(commit)

    def commit(self, tag: str, commit: Commit) -> str:
        """This one at once, as before hooks that look at what it has done."""
        self.running.discard(tag)
        return self.committer.commit(commit).value

    def deliver(self) -> None:
        """Send what is finished until nothing is left to say."""
        committer = self.committer
        while not committer.everything_committed:
            committer.connection._away_until = 0.0
            committer.flush()
            committer.read_answers()

    def send(self, sizes: list[int], heard: int) -> None:
        """Send what is finished in calls of these sizes, and read no answer. Redis hears of the first calls only."""
        committer, connection = self.committer, self.committer.connection
        self.client.script_load(OUTCOME.text)  # or Redis would only say that it does not know it
        connection._away_until = 0.0
        connection.open()
        finished = list(committer._done)
        committer._done.clear()
        with patch.object(BrokerConnection, "arrived", False), ExitStack() as swallowing:
            calls = 0
            for number, size in enumerate(sizes):
                if number == heard:
                    swallowing.enter_context(patch.object(connection, "send"))
                committer._done.extend(finished[:size])
                del finished[:size]
                committer.flush()
                calls = len(committer._under_way) if number < heard else calls
        committer._done.extend(finished)
        while calls and answers(connection._connection._sock) < calls:
            assert select.select([connection._connection._sock], [], [], 5)[0]

    def lose_the_line(self) -> None:
        """The connection breaks before we read an answer."""
        self.committer.connection._connection.disconnect()
        self.committer.read_answers()

    def stall(self) -> None:
        """Nothing is renewed any more, and the leases pass."""
        lease_us, self.committer.leases.lease_us = self.committer.leases.lease_us, 1
        self.committer.leases.renew()
        self.committer.leases.lease_us = lease_us

    def stop(self, culprit: str | None) -> None:
        """As the guard ends: commit, give back the rest. No start counts, but of the one for which it ends."""
        self.deliver()
        self.committer.leases.release([culprit] if culprit else [], started=True)
        self.committer.leases.release(list(self.committer.leases.held))

    def successor(self) -> "OurWorker":
        """This one died; what it knew is gone. (The connection goes on: its answers are all read.)"""
        new = OurWorker(self.client, self.names, self.max_starts)
        old = self.committer
        old.read_answers()
        new.committer.connection._client = old.connection._client
        new.committer.connection._connection = old.connection._connection
        return new

    def retire(self) -> None:
        """Its connection goes to the next one."""
        if self.committer.connection._connection is not None:
            self.client.connection_pool.release(self.committer.connection._connection)


@dataclass
class StockRun:
    tag: str
    raw: bytes
    committed: bool = False


@dataclass
class StockWorker:
    """Celery's prefork pool over kombu's transport: pop and registration, the body's part, acknowledgement."""

    client: redis.Redis
    names: list[str]
    runs: list[StockRun] = field(default_factory=list)

    def claim(self) -> bytes | None:
        for name in self.names:
            raw: Any = self.client.rpop(name)
            if raw is not None:
                run = StockRun(tag_of(raw), raw)
                self.client.zadd("unacked_index", {run.tag: 1})
                self.client.hset(keys.UNACKED, run.tag, json.dumps([json.loads(raw), "", queue_of(name)]))
                self.runs.append(run)
                return run.raw
        return None

    def commit(self, run: StockRun, end: End) -> str:
        """done, repeated, conflict."""
        app: Any = SimpleNamespace(unclaimed_client=self.client, scribe=SCRIBE)
        run.committed = True
        commit = commit_of(end, "")
        commit.note(tag=run.tag)
        try:
            return "done" if commit_unclaimed(app, commit) else "repeated"
        except PermanentError:
            return "conflict"

    def acknowledge(self, run: StockRun) -> None:
        self.runs.remove(run)
        self.client.pipeline().zrem("unacked_index", run.tag).hdel(keys.UNACKED, run.tag).execute()

    def restore(self, tag: str) -> bytes:
        """What any stock worker does with a claim that was not acknowledged in time; the message as it is now."""
        pipe = self.client.pipeline()
        entry = self.client.hget(keys.UNACKED, tag)
        pipe.zrem("unacked_index", tag).hdel(keys.UNACKED, tag)
        raw = b""
        if entry:
            frame, _, queue = json.loads(entry)
            frame["headers"]["redelivered"] = frame["properties"]["delivery_info"]["redelivered"] = True
            raw = json.dumps(frame).encode()
            pipe.rpush(list_of(queue, frame["properties"]["priority"]), raw)
        pipe.execute()
        return raw


def seen(client: redis.Redis, names: list[str], queues: list[str], ids: list[str]) -> dict[str, Any]:
    """All of the transport that is in Redis."""
    pipe = client.pipeline(transaction=False)
    for name in names:
        pipe.lrange(name, 0, -1)
    for queue in queues:
        pipe.xrange(keys.dead(queue))
    pipe.zrange(keys.DUE, 0, -1)
    pipe.hgetall(keys.UNACKED).zrange(keys.LEASES, 0, -1, withscores=True).zrange("unacked_index", 0, -1)
    pipe.hgetall(keys.STARTS).hgetall("effects")
    pipe.mget([keys.once(id_) for id_ in ids]).mget([f"celery-task-meta-{id_}" for id_ in ids])
    answers = pipe.execute()
    lists, answers = answers[: len(names)], answers[len(names) :]
    letters, answers = answers[: len(queues)], answers[len(queues) :]
    due, unacked, leases, index, starts, effects, once, results = answers
    return {
        "lists": {name: raws[::-1] for name, raws in zip(names, lists, strict=True) if raws},
        "due": set(due),
        "unacked": {tag.decode(): _taken(entry) for tag, entry in unacked.items()},
        "leases": {tag.decode(): int(score) for tag, score in leases},
        "index": {tag.decode() for tag in index},
        "starts": {tag.decode(): int(number) for tag, number in starts.items()},
        "once": {id_: value.decode() for id_, value in zip(ids, once, strict=True) if value},
        "results": {id_: value.decode() for id_, value in zip(ids, results, strict=True) if value},
        "effects": {name.decode(): int(number) for name, number in effects.items()},
        "letters": {
            queue: [(one[b"raw"], json.loads(one[b"about"])["reason"]) for _, one in found]
            for queue, found in zip(queues, letters, strict=True)
            if found
        },
    }


class History:
    """What is written down: how often each step, by the tag of its message."""

    def __init__(self, client: redis.Redis) -> None:
        self._client, self._last = client, "-"
        self.steps: Counter[tuple[str, str]] = Counter()

    def read(self) -> Counter[tuple[str, str]]:
        entries: Any = self._client.xrange(keys.LIFE, self._last)
        for entry, fields in entries:
            self._last = f"({entry.decode()}"
            found = records(entry, fields)
            assert found or fields[b"l"], fields  # of a conflict, the dead letter follows
            for one in found:
                purged = one.kind == "dropped" and not one.tag
                self.steps[(str(one.kind), one.tag)] += int(one.note) if purged and one.note else 1
        return self.steps


def _taken(entry: bytes) -> bytes:
    found = TAKEN.fullmatch(entry)
    assert found, entry
    return found[1]
