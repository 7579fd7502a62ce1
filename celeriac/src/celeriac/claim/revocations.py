"""Revocations are stored in Redis. A countdown waits there, and may outlive all workers that were told of its
revocation.

A worker stores what it learns by remote control, and reads what others have stored: before its first claim, and every
two seconds. A client of ours that revokes stores it, too: perhaps no worker lives (`celeriac.app.control`)."""

import json
from collections import deque
from collections.abc import Iterable
from time import monotonic
from typing import Any, NamedTuple

import redis
from celery import signals
from celery.utils.functional import maybe_list
from celery.worker import state as celerys

from celeriac.broker import keys
from celeriac.broker.scripts import Script

state: Any = celerys  # celery-types knows half of it

REVOKE = Script("claim/revoke")
READ_SECONDS = 2.0
AT_ONCE = 1_000  # ids in one call of the script: Redis serves nobody else meanwhile


class Noted(NamedTuple):
    now_us: int  # by Redis's clock
    ids: list[str]
    stamps: list[str]  # each as `stamps_of` writes it


def stamps_of(headers: Any) -> list[str]:
    """Stamped headers to revoke, {header: stamp or stamps} or ["header=stamp", …], as members of the sorted set."""
    given = [one.split("=", 1) for one in headers] if isinstance(headers, list) else headers.items()
    return [json.dumps([header, stamp]) for header, stamps in given for stamp in maybe_list(stamps) or []]


def note(client: redis.Redis, ids: Iterable[str], stamps: Iterable[str] = (), since_us: int | str = "inf") -> Noted:
    """Store these as revoked. Returns what was stored since `since_us`."""
    named = list(ids)
    arguments = [int(state.REVOKE_EXPIRES * 1e6), state.REVOKES_MAX, since_us, len(named), *named, *stamps]
    now, found, stamped = REVOKE(client, [keys.REVOKED, keys.REVOKED_STAMPS], arguments)
    return Noted(int(now), [one.decode() for one in found], [one.decode() for one in stamped])


class Revocations:
    """The revocations of one worker. The guard reads and writes Redis. The consumer's thread changes Celery's own
    sets."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self.current = False  # whether this worker has read what others stored
        self.pending = False  # whether `apply` has something to do
        self._read_at = 0.0
        self._since_us = 0
        self._mark: Any = None
        self._known: dict[str, float] = {}  # ids that are in Redis -> when Celery's set got them
        self._stamps: dict[str, float] = {}  # stamps that are in Redis -> when they expire
        self._arrived: deque[Noted] = deque()
        signals.task_revoked.connect(self._ended, weak=False)

    def look(self, now: float) -> float:
        """Called by the guard: store what is new in Celery's sets, read what is new in Redis. Returns when to read
        again. Raises RedisError."""
        ids, stamps = self._news()
        if ids or stamps or now >= self._read_at or not self.current:
            self._exchange(ids, stamps)
            self._read_at = now + READ_SECONDS
        return self._read_at

    @property
    def told(self) -> bool:
        """Whether Celery's sets have changed since the last look: this worker was told by remote control."""
        return bool(self._mark_now() != self._mark)

    def start(self) -> None:
        """Called in the consumer's thread, before its first claim on a connection. Raises RedisError."""
        self.current = False
        self._exchange(*self._news())
        self.apply()

    def apply(self) -> None:
        """Called in the consumer's thread: put into Celery's sets what was read, and remove stamps that expired."""
        self.pending = False
        while self._arrived:
            noted = self._arrived.popleft()
            new = [one for one in noted.ids if one not in state.revoked]
            state.merge_revoked(new)
            data = _entries()
            self._known.update((one, data[one][0]) for one in new if one in data)
            for one in noted.stamps:
                header, stamp = json.loads(one)
                there = maybe_list(state.revoked_stamps.get(header) or [])
                if stamp not in there:
                    state.revoked_stamps[header] = [*there, stamp]
                self._stamps[one] = monotonic() + state.REVOKE_EXPIRES
        self._forget(monotonic())

    def _news(self) -> tuple[list[str], list[str]]:
        """What is new in Celery's sets: ids, stamps."""
        data, stamped = _entries(), state.revoked_stamps
        mark = self._mark_now()
        if mark is not None and mark == self._mark:
            return [], []
        self._mark = mark
        everything = list(data.items())
        if len(self._known) > 2 * state.REVOKES_MAX:
            self._known = {one: self._known[one] for one, _ in everything if one in self._known}
        ids = [one for one, entry in everything if self._known.get(one) != entry[0]]
        return ids, [one for one in stamps_of(dict(stamped)) if one not in self._stamps]

    def _mark_now(self) -> Any:
        data, stamped = _entries(), state.revoked_stamps
        try:
            return len(data), next(reversed(data.values()), None), sum(map(len, stamped.values()))
        except RuntimeError:  # it changes just now
            return None

    def _exchange(self, ids: list[str], stamps: list[str]) -> None:
        data, told = _entries(), monotonic()
        try:
            for at in range(0, max(1, len(ids), len(stamps)), AT_ONCE):
                part, stamped = ids[at : at + AT_ONCE], stamps[at : at + AT_ONCE]
                inserted = {one: data[one][0] for one in part if one in data}
                noted = note(self._client, map(str, part), stamped, self._since_us)
                self._known.update(inserted)
                self._stamps.update(dict.fromkeys(stamped, told + state.REVOKE_EXPIRES))
                # Redis's clock was set back: all of it is read again.
                self._since_us = noted.now_us if noted.now_us >= self._since_us else 0
                if noted.ids or noted.stamps:
                    self._arrived.append(noted)
        except BaseException:
            self._mark = None  # what was not stored is stored next time
            raise
        self.current = True
        self.pending = bool(self._arrived or self._stamps)

    def _forget(self, now: float) -> None:
        """Remove stamps that expired. While there is a revoked stamp, no message takes the short way of a runner."""
        for one in [one for one, over in list(self._stamps.items()) if over < now]:
            del self._stamps[one]
            header, stamp = json.loads(one)
            left = [other for other in maybe_list(state.revoked_stamps.get(header) or []) if other != stamp]
            if left:
                state.revoked_stamps[header] = left
            else:
                state.revoked_stamps.pop(header, None)

    def _ended(self, request: Any = None, expired: bool = False, **_: Any) -> None:
        """Celery adds the ids of expired messages to its set. Nobody revoked those, and there may be many: they are not
        stored."""
        entry = _entries().get(getattr(request, "id", None)) if expired else None
        if entry is not None:
            self._known[request.id] = entry[0]


def _entries() -> dict[Any, Any]:
    """The content of Celery's set: id -> (when it came, …), in this order. There is no public way to see what is
    new."""
    data: dict[Any, Any] = state.revoked._data  # noqa: SLF001  as the docstring says
    return data
