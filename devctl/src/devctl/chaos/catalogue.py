"""The fault matrix of docs/reliability.md: every row, what it takes, and what must hold."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import replace

from devctl.chaos.faults import brokers, messages, network, processes
from devctl.chaos.faults.soak import soak
from devctl.chaos.field import Field
from devctl.chaos.scenario import (
    LEASE_SECONDS,
    MOST_STARTS,
    Conditions,
    Expect,
    Load,
    Needs,
    Part,
    Scenario,
    Setup,
    Size,
)
from devctl.errors import UsageError

ALL = "all"
SOAK = "soak"
BACK_SECONDS = LEASE_SECONDS + 10.0
_ANSWERED = frozenset({"202", "503"})
_SIZES: tuple[Size, ...] = ("quick", "full")
_BASE, _PROXY = Setup(), Setup(proxy=True)
_LIMITED = Setup(memory=True, max_run_seconds=2)

NOT_TESTED = (
    "a power cut: what Redis had not yet written to the disk itself (appendfsync everysec: about a second) is gone",
    "loss of a disk, failover to a replica, Sentinel, Redis Cluster",
    "workers on several machines; loss, reordering and corruption of packets below TCP",
    "effects outside Redis (mail, payments): at least once, by design",
    "Redis versions other than the one that runs here",
)


def scenarios() -> tuple[Scenario, ...]:
    """All rows, in the order of the matrix."""
    return (
        Scenario(
            1,
            "worker-kill",
            {"quick": "SIGKILL worker", "full": "SIGKILL worker, 100,000"},
            _worker_kill,
            in_quick=True,
        ),
        _row(
            2,
            "scale",
            ("SIGTERM, 1-4-1 workers", "SIGTERM, 1-4-1 workers ×2"),
            processes.scale,
            load=Load(milliseconds=30),
            expect=Expect(fired=3, repeated=0, back_seconds=BACK_SECONDS),
        ),
        Scenario(
            3,
            "stop-hard",
            _same("Ctrl-C twice, SIGQUIT"),
            lambda conditions: tuple(
                Part(
                    processes.stop_hard,
                    Load(tasks=5, orders=2, milliseconds=300),
                    Expect(fired=2, back_seconds=BACK_SECONDS),
                    Setup(pool=pool),
                )
                for pool in (("threads",) if conditions.stock else ("threads", "prefork", "solo"))
            ),
        ),
        _row(
            4,
            "worker-freeze",
            _both("SIGSTOP worker, 2 leases"),
            processes.freeze_worker,
            load=Load(milliseconds=20),
            expect=Expect(fired=1, back_seconds=BACK_SECONDS),
            in_quick=True,
        ),
        _row(
            5,
            "redis-kill",
            ("kill -9 Redis ×2, AOF", "kill -9 Redis ×5, AOF"),
            brokers.kill,
            expect=Expect(fired=2, back_seconds=BACK_SECONDS),
            in_quick=True,
        ),
        _row(
            6,
            "redis-freeze",
            ("SIGSTOP Redis 5 s", "SIGSTOP Redis 10, 30 s"),
            lambda field: brokers.freeze(*field.pick((5.0,), (10.0, 30.0)))(field),
            expect=Expect(fired=1, answer_seconds=6.0, back_seconds=BACK_SECONDS),
        ),
        _row(
            7,
            "redis-down",
            ("Redis down 6 s", "Redis down 60 s"),
            brokers.stop,
            expect=Expect(answers=_ANSWERED, back_seconds=BACK_SECONDS),
        ),
        _row(
            8,
            "lost-packets",
            _both("requests, replies lost 1%"),
            network.lose,
            expect=Expect(fired=5, back_seconds=BACK_SECONDS),
            setup=_PROXY,
            in_quick=True,
        ),
        _row(
            9,
            "slow-link",
            _both("replies +50 ms"),
            network.delay,
            load=Load(flaky=0),
            expect=Expect(fired=100, repeated=0),
            setup=_PROXY,
        ),
        _row(
            10,
            "silent-link",
            _both("half-open link"),
            network.stall,
            expect=Expect(fired=1, back_seconds=25.0),
            setup=_PROXY,
        ),
        Scenario(11, "api-kill", _same("SIGKILL API"), _api_kill, frozenset({"api"}), in_quick=True),
        Scenario(
            12,
            "poison",
            {"quick": "poison, 1 task", "full": "poison, 1 in 1,000"},
            _poison,
            in_quick=True,
        ),
        _row(
            13,
            "bad-messages",
            ("bad messages, fuzz ×500", "bad messages, fuzz ×10,000"),
            messages.bad_messages(500, 10_000),
            load=Load(tasks=20, orders=2),
            expect=Expect(fired=60),
            in_quick=True,
        ),
        _row(
            14,
            "storm",
            ("repeats, 100 tasks × 20", "repeats, 1,000 tasks × 50"),
            messages.storm,
            load=Load(tasks=0, orders=0),
            in_quick=True,
        ),
        _row(
            15,
            "redis-full",
            _both("maxmemory reached"),
            brokers.fill,
            expect=Expect(answers=_ANSWERED, back_seconds=BACK_SECONDS),
            in_quick=True,
        ),
        _row(
            16,
            "disk-full",
            _both("disk full"),
            brokers.fill_disk,
            expect=Expect(answers=_ANSWERED, back_seconds=BACK_SECONDS),
            setup=Setup(small_disk=True),
            needs=("disk",),
        ),
        Scenario(17, "out-of-memory", _same("task out of memory"), _limited("memory")),
        Scenario(18, "hang", _same("task hangs"), _limited("hang")),
        _row(
            19,
            "clocks",
            _both("clocks ±2 h"),
            messages.clocks,
            load=Load(tasks=50, orders=5, countdown=4.0, flaky=0),
            expect=Expect(fired=2, repeated=0, due_seconds=4.0),
            setup=Setup(clocks=True),
            needs=("faketime",),
        ),
        _row(
            20,
            "results-lost",
            _both("result store away, full"),
            brokers.lose_results,
            load=Load(tasks=50, orders=5, flaky=0),
            expect=Expect(fired=2, repeated=0, publish_seconds=1.0),
            setup=Setup(results=True),
        ),
        _row(
            21,
            "redis-forgets",
            ("scripts, clients gone ×4", "scripts, clients gone ×10"),
            brokers.flush_scripts,
            expect=Expect(fired=4, back_seconds=BACK_SECONDS),
            in_quick=True,
        ),
        Scenario(22, SOAK, _same("kill -9 for a long time"), _soak, in_all=False),
    )


def choose(names: Sequence[str]) -> tuple[Scenario, ...]:
    """Those named, by name or number, in the order of the matrix; none: the quick ones; UsageError for an unknown."""
    every = scenarios()
    if ALL in names:
        return tuple(one for one in every if one.in_all or one.name in names)
    if not names:
        return tuple(one for one in every if one.in_quick)
    known = {one.name: one for one in every} | {str(one.number): one for one in every}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise UsageError(
                f"no scenario {name!r}" + (f": did you mean {near[0]}?" if near else ""),
                hint="devctl chaos --list shows them",
            )
    wanted = {known[name].number for name in names}
    return tuple(one for one in every if one.number in wanted)


def _worker_kill(conditions: Conditions) -> tuple[Part, ...]:
    """In the long loop what one dying worker held is held by the next one when it dies: there the backlog must be done,
    and how soon a dead worker's messages are back is seen from a few kills with time between them."""
    few = 3 if conditions.containers else 6
    if conditions.size == "quick":
        return (Part(processes.kill_workers(few), Load(), Expect(fired=few, back_seconds=BACK_SECONDS)),)
    times = 12 if conditions.containers else 50
    backlog = Load(backlog=100_000, notify=10, milliseconds=0.0)
    alone = Part(processes.kill_workers(3, LEASE_SECONDS + 1.0), Load(), Expect(fired=3, back_seconds=BACK_SECONDS))
    return Part(processes.kill_workers(times), backlog, Expect(fired=times)), alone


def _api_kill(conditions: Conditions) -> tuple[Part, ...]:
    times = 3 if conditions.size == "quick" or conditions.containers else 8
    expect = Expect(fired=times, back_seconds=BACK_SECONDS)
    return (Part(processes.kill_api(times), Load(tasks=20, orders=40), expect),)


def _poison(conditions: Conditions) -> tuple[Part, ...]:
    """In a pool of threads it takes the worker along, in prefork a child of it."""
    expect, one = Expect(starts=MOST_STARTS), Load(bad="poison", bad_every=400, bad_most=1)
    few = Part(messages.misbehaving(8.0, 8.0), one, expect)
    if conditions.size == "quick":
        return (few,)
    load = Load(tasks=150, bad="poison", bad_every=1_000, bad_most=1 if conditions.containers else 0)
    many = Part(messages.misbehaving(30.0, 30.0), load, expect)
    return (many,) if conditions.stock else (many, replace(few, setup=Setup(pool="prefork")))


def _soak(conditions: Conditions) -> tuple[Part, ...]:
    expect = Expect(fired=conditions.soak.kills)
    return (Part(soak(conditions.soak), Load(tasks=0, orders=0), expect, Setup(synced=True), tells=True),)


def _limited(kind: str) -> Callable[[Conditions], tuple[Part, ...]]:
    """Two tasks that a limit has to end."""

    def parts(conditions: Conditions) -> tuple[Part, ...]:
        load = Load(bad=kind, bad_every=200, bad_most=1 if conditions.containers else 2)
        expect = Expect(fired=load.bad_most, starts=MOST_STARTS)
        return (Part(messages.misbehaving(8.0, 10.0), load, expect, _LIMITED),)

    return parts


def _same(title: str) -> dict[Size, str]:
    return dict.fromkeys(_SIZES, title)


def _both(title: str) -> tuple[str, str]:
    return title, title


def _row(
    number: int,
    name: str,
    titles: tuple[str, str],
    fault: Callable[[Field], None],
    *,
    load: Load | None = None,
    expect: Expect | None = None,
    setup: Setup = _BASE,
    needs: Sequence[Needs] = (),
    in_quick: bool = False,
) -> Scenario:
    """A scenario of one part, the same for both sizes but for what its fault makes of them."""
    part = Part(fault, load or Load(), expect or Expect(), setup)
    title: dict[Size, str] = {"quick": titles[0], "full": titles[1]}
    return Scenario(number, name, title, lambda *_: (part,), frozenset(needs), in_quick)
