"""Redis is killed, frozen, stopped, filled, made to forget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from signal import SIGCONT, SIGKILL, SIGSTOP

import redis

from devctl.chaos.compose_file import DISK, RESULTS
from devctl.chaos.field import READY_SECONDS, Field
from devctl.stack.port import Replica

BACK_SECONDS = 5.0
_FULL = "1mb"
"""Less than an empty Redis uses."""


def kill(field: Field) -> None:
    """kill -9 Redis under load; its append-only file brings everything back."""
    times = field.pick(2, 5)
    for number in range(times):
        field.doing(f"SIGKILL {number + 1} of {times}")
        field.sleep(1.5)
        with field.strike(fired=0):
            field.fired += field.kill(_redis(field), SIGKILL)
            seconds = field.until(field.answers, READY_SECONDS, "Redis answers again")
        field.check(f"Redis is back within {BACK_SECONDS:.0f} s ({seconds:.1f})", seconds <= BACK_SECONDS)


def freeze(*lengths: float) -> Callable[[Field], None]:
    """SIGSTOP Redis: connections stand, and nobody answers."""

    def fault(field: Field) -> None:
        for seconds in lengths:
            field.doing(f"SIGSTOP for {seconds:.0f} s")
            victim = _redis(field)
            with field.strike():
                field.hands.signal(victim, SIGSTOP)
                field.sleep(seconds)
                field.check("Redis does not answer meanwhile", not field.answers())
                field.hands.signal(victim, SIGCONT)
            field.until(field.answers, READY_SECONDS, "Redis answers again")
            field.sleep(3.0)

    return fault


def stop(field: Field) -> None:
    """Redis is stopped for a while, and started again."""
    seconds = field.pick(6.0, 60.0)
    field.doing(f"stopped for {seconds:.0f} s")
    probed = field.api if field.api and field.api.status("/ready") == 200 else None  # not every service has this probe
    with field.workers_live():
        with field.strike():
            field.runtime.stop([field.broker_name])
            field.sleep(seconds / 2)
            if probed:
                field.check("/ready answers 503", probed.status("/ready") == 503)
                field.check("/health answers 200", probed.status("/health") == 200)
            field.sleep(seconds / 2)
            field.runtime.start(field.broker_name)
            field.until(field.answers, READY_SECONDS, "Redis answers again")
        if probed:
            field.until(lambda: probed.status("/ready") == 200, 10.0)
            field.check("/ready answers 200 again", probed.status("/ready") == 200)


def fill(field: Field) -> None:
    """maxmemory is reached: Redis refuses whatever writes."""
    client, seconds = field.broker(), field.pick(4.0, 8.0)
    field.doing(f"maxmemory reached for {seconds:.0f} s")
    with field.workers_live(), _full(client), field.strike():
        field.sleep(seconds)
        field.check("Redis refuses writes meanwhile", _refuses(client))


def flush_scripts(field: Field) -> None:
    """Redis forgets all scripts, and throws all clients out."""
    client, times = field.broker(), field.pick(4, 10)
    for number in range(times):
        field.doing(f"SCRIPT FLUSH, CLIENT KILL {number + 1} of {times}")
        with field.strike(fired=0):
            client.script_flush()
            killed = sum(client.client_kill_filter(_type=kind, skipme=True) for kind in ("normal", "pubsub"))
            field.fired += killed > 0
        field.sleep(0.8)


def lose_results(field: Field) -> None:
    """The results' Redis goes away, then it is full. The broker is another one."""
    seconds = field.pick(3.0, 6.0)
    with field.workers_live():
        field.doing(f"results away for {seconds:.0f} s")
        with field.strike():
            field.runtime.stop([RESULTS])
            field.sleep(seconds)
            field.runtime.start(RESULTS)
            field.until(lambda: bool(field.working(RESULTS)), READY_SECONDS, "the results' Redis is back")
        field.sleep(3.0)
        client = field.stage.results()
        assert client is not None
        field.doing(f"results full for {seconds:.0f} s")
        with _full(client), field.strike():
            field.sleep(seconds)
            field.check("the results' Redis refuses writes meanwhile", _refuses(client))


def fill_disk(field: Field) -> None:
    """The disk under the append-only file has no room left."""
    victim, client, seconds = _redis(field), field.broker(), field.pick(3.0, 6.0)
    folder = DISK if field.runtime.name == "compose" else field.stage.place.disk
    field.doing("filling the disk")
    field.hands.run(victim, f"cat /dev/zero > {folder}/filler 2>/dev/null; true")
    with field.workers_live():
        with field.strike(fired=0):
            field.until(lambda: _refuses(client), 10.0)
            field.fired += _refuses(client)
            field.doing(f"full for {seconds:.0f} s")
            field.sleep(seconds)
            field.hands.run(victim, f"rm {folder}/filler")
        field.until(lambda: not _refuses(client), 10.0, "Redis takes writes again")


def _redis(field: Field) -> Replica:
    (replica,) = field.replicas(field.broker_name)
    return replica


@contextmanager
def _full(client: redis.Redis) -> Iterator[None]:
    before = str(dict(client.config_get("maxmemory"))["maxmemory"])
    client.config_set("maxmemory", _FULL)
    try:
        yield
    finally:
        client.config_set("maxmemory", before)


def _refuses(client: redis.Redis) -> bool:
    try:
        client.set("chaos:probe", "x", px=1_000)
    except redis.ResponseError:
        return True
    return False
