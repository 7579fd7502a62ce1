"""One run of one peer: a drain, a publishing, a latency, a footprint."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import environments
from children import Children, Failed
from peers import OURS, Peer, Setup
from server import Server
from tally import LATE, TICKS
from ticks import Tick, audit, between, steady

FIRST_SECONDS = 60.0  # until the first completion: start-up of two processes on a busy machine
STALL_SECONDS = 10.0
LOOK_SECONDS = 0.1
QUIET_SECONDS = 0.3  # after the last expected completion, for those that come twice
SMALL = 1_000  # tasks: enough for a first look at a rate
WARM_UP = 500
WAIT_TASKS = 32
DUE_TASKS = 100
EARLY_SECONDS = -0.001  # clocks of two processes
MANY_WORKERS = 10
POOLS = {"threads": 2, "prefork": 2, "solo": 1}
"""Celery's pools, and how many tasks a worker of the plain app runs at a time in them."""


@dataclass
class Run:
    """Figures by name, and what makes them worthless."""

    figures: dict[str, float] = field(default_factory=dict)
    problem: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    not_run: str = ""
    """Why there are no figures: what it needs is not here."""


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    count: int = 100_000
    drain_seconds: float = 3.0
    per_second: float = 1_000
    latency_seconds: float = 4.0
    loop: int = 4_000
    bulk: int = 30_000
    waits: int = 10_000
    idle_seconds: float = 4.0
    plain: int = 30_000
    few: int = 500
    """Waits of 10 ms for one worker that runs one at a time; ten get as many as that for each, and for their start."""


class Bench:
    """A server, a folder for logs and backlogs, and how much is measured."""

    def __init__(self, server: Server, folder: Path, sizes: Sizes) -> None:
        self.server, self.folder, self.sizes = server, folder, sizes
        self._counts: dict[tuple[str, str, Setup], int] = {}

    def drain(self, peer: Peer, task: str, setup: Setup, most: int | None = None) -> Run:
        """A backlog from its first to its last message; sized, so that a slow peer's run takes no longer."""
        most = most or self.sizes.count
        known = (peer.name, task, setup)
        if known not in self._counts and most > SMALL:
            fast = (_strict(peer) and setup.pool in ("", "threads")) or peer.app == "bare"
            first = min(most, 10_000 if fast else SMALL)
            rate = self._drain(peer, task, setup, first).figures["rate"]
            self._counts[known] = min(most, max(first, round(rate * self.sizes.drain_seconds)))
        return self._drain(peer, task, setup, self._counts.get(known, most))

    def _drain(self, peer: Peer, task: str, setup: Setup, count: int) -> Run:
        backlog = self._backlog(peer, task, setup, count)
        self.server.empty()
        self.server.load(backlog)
        with self._workers(peer, setup) as workers:
            ticks, cpu = self._watch(workers, count)
            found = audit(ticks, count)
            problem = found.problem(doubled_too=_strict(peer))
            if not problem and setup.results:
                problem = self._wait_for(peer, "results stored", lambda: self._stored(peer), count)
            if not problem and task == "order":
                problem = self._wait_for(peer, "notifications", lambda: self.server.length(peer.children), count)
            commands = self.server.commands()
        window = steady(ticks)
        run = Run({"rate": window.rate}, problem)
        used = between(cpu, window.begin, window.end)
        if used is not None:
            run.figures["redis"] = used / (window.end - window.begin)
            run.figures["redis_us"] = 1e6 * used / window.count
        worked = len({tick.pid for tick in ticks})
        run.detail = {
            "count": count,
            "doubled": found.doubled,
            "window": {"seconds": round(window.end - window.begin, 4), "completions": round(window.count)},
            "idle_processes": max(0, setup.processes - worked),
            "commands": dict(sorted(commands.items(), key=lambda one: -one[1]["usec"])[:6]),
        }
        return run

    def _backlog(self, peer: Peer, task: str, setup: Setup, count: int) -> Path:
        """Published once, then kept in a file: the same messages in every run."""
        whose = peer.sender(setup) if setup.pool else peer.name
        file = self.folder / f"{whose}-{task}-{int(setup.results)}-{count}.backlog"
        if not file.exists():
            self.server.empty()
            self._produce(peer, setup, "fill", task, count)
            if (queued := self.server.length(peer.queue)) != count:
                raise Failed(f"{peer.name}: {queued} of {count} published")
            self.server.save(file)
        return file

    def _watch(self, workers: Children, count: int) -> tuple[list[Tick], list[tuple[float, float]]]:
        """Until all is done, or nothing more happens. Also the server's CPU seconds meanwhile."""
        ticks: list[Tick] = []
        cpu: list[tuple[float, float]] = []
        done: set[int] = set()
        moved, patience = time.monotonic(), FIRST_SECONDS
        while len(done) < count and time.monotonic() - moved < patience:
            time.sleep(LOOK_SECONDS)
            workers.check()
            cpu.append((time.time(), self.server.cpu_seconds()))
            for tick in self._ticks(len(ticks)):
                ticks.append(tick)
                done.update(tick.numbers)
                moved, patience = time.monotonic(), STALL_SECONDS
        time.sleep(QUIET_SECONDS)
        cpu.append((time.time(), self.server.cpu_seconds()))
        return ticks + self._ticks(len(ticks)), cpu

    def _ticks(self, since: int) -> list[Tick]:
        return [Tick.unpack(one) for one in self.server.side.lrange(TICKS, since, -1)]

    def _stored(self, peer: Peer) -> int:
        if peer.stored.startswith("hash:"):
            return self.server.length(peer.stored.removeprefix("hash:"))
        return self.server.count(peer.stored)

    def _wait_for(self, peer: Peer, what: str, look: Callable[[], int], expected: int) -> str | None:
        """What is written after the body has returned comes a moment later."""
        end = time.monotonic() + STALL_SECONDS
        while (found := look()) < expected and time.monotonic() < end:
            time.sleep(LOOK_SECONDS)
        return _wrong(peer, what, found, expected)

    def publish(self, peer: Peer) -> Run:
        """One process publishes: a loop, and many at once where the peer has a way for that."""
        run = Run()
        for verb, count in (("loop", self.sizes.loop), *((("bulk", self.sizes.bulk),) if peer.bulk else ())):
            self.server.empty()
            said = self._produce(peer, Setup(), verb, count)
            run.figures[verb] = count / said["seconds"]
            if (queued := self.server.length(peer.queue)) != said["published"]:
                run.problem = f"{queued:,} of {said['published']:,.0f} published"
        return run

    def latency(self, peer: Peer) -> Run:
        """From the intended time of a publishing to the start of the body, in ms, at a fixed rate."""
        with self._warm(peer, Setup()) as workers:
            said = self._produce(peer, Setup(), "rate", self.sizes.per_second, self.sizes.latency_seconds)
            late = self._late(workers, round(self.sizes.per_second * self.sizes.latency_seconds))
        run = Run(_quantiles(late), detail={"producer": said})
        run.problem = _wrong(peer, "starts", len(late), round(self.sizes.per_second * self.sizes.latency_seconds))
        return run

    def waits(self, peer: Peer) -> Run:
        """Tasks that wait 10 ms, in one process, 32 at a time."""
        return self.drain(peer, "wait10", Setup(processes=1, tasks=WAIT_TASKS), self.sizes.waits)

    def plain(self, peer: Peer) -> Run:
        """The plain app in each of Celery's pools, one worker, results stored; its memory with one thread."""
        run = Run()
        for pool, tasks in POOLS.items():
            drained = self.drain(peer, "noop", Setup(1, tasks, results=True, pool=pool), self.sizes.plain)
            run.figures[pool] = drained.figures["rate"]
            run.detail[pool] = drained.detail
            run.problem = run.problem or (f"{pool}: {drained.problem}" if drained.problem else None)
        with self._warm(peer, Setup(1, 1, results=True, pool="threads")) as workers:
            run.figures["pss"] = _memory(workers)
        return run

    def scaling(self, peer: Peer) -> Run:
        """Tasks that wait 10 ms: one worker, and ten; each runs one at a time."""
        run = Run()
        few = self.sizes.few
        for workers, count in ((1, few), (MANY_WORKERS, 2 * MANY_WORKERS * few)):
            drained = self._drain(peer, "wait10", Setup(workers, 1), count)
            run.figures[f"of_{workers}"] = drained.figures["rate"]
            run.detail[f"of_{workers}"] = drained.detail
            run.problem = run.problem or drained.problem
        run.figures["times"] = run.figures[f"of_{MANY_WORKERS}"] / run.figures["of_1"]
        return run

    def footprint(self, peer: Peer) -> Run:
        """Memory of one worker with its helpers, CPU while idle, and how late a task with a due time starts."""
        one = Setup().one()
        with self._warm(peer, one) as workers:
            tree, pss = workers.tree(), _memory(workers)
            time.sleep(1)
            before, redis, begun = _cpu(tree), self.server.cpu_seconds(), time.monotonic()
            time.sleep(self.sizes.idle_seconds)
            seconds = time.monotonic() - begun
            idle, server = (_cpu(tree) - before) / seconds, (self.server.cpu_seconds() - redis) / seconds
        with self._warm(peer, replace(one, due=True)) as workers:
            self._produce(peer, one, "due", DUE_TASKS)
            late = self._late(workers, DUE_TASKS, patience=5 + STALL_SECONDS)
        figures = {"pss": pss, "idle": 100 * idle, "idle_redis": 100 * server}
        figures |= {f"due_{name}": value for name, value in _quantiles(late).items()}
        problem = _wrong(peer, "starts of due tasks", len(late), DUE_TASKS)
        detail: dict[str, Any] = {"tree": len(tree)}
        if late and min(late) < EARLY_SECONDS:
            detail["early_ms"] = -min(late) * 1000
            if _strict(peer):  # others count whole seconds, and mean it
                problem = problem or f"a due task started {detail['early_ms']:.0f} ms early"
        return Run(figures, problem, detail)

    def _late(self, workers: Children, count: int, patience: float = STALL_SECONDS) -> list[float]:
        """Seconds of lateness, once all have started or nothing more happens."""
        seen, moved = 0, time.monotonic()
        while seen < count and time.monotonic() - moved < patience:
            time.sleep(LOOK_SECONDS)
            workers.check()
            if (now := self.server.side.llen(LATE)) != seen:
                seen, moved = now, time.monotonic()
        time.sleep(QUIET_SECONDS)
        return [float(one) for one in self.server.side.lrange(LATE, 0, -1)]

    def _workers(self, peer: Peer, setup: Setup) -> Children:
        children = Children(self.folder, grace_seconds=0)  # Redis is emptied before the next run
        for command in peer.commands(setup):
            children.start(command, peer.settings(self.server.port, setup))
        return children

    def _warm(self, peer: Peer, setup: Setup) -> Children:
        """Workers that have run some tasks and are idle again."""
        self.server.empty()
        workers = self._workers(peer, setup)
        try:
            self._produce(peer, setup, "fill", "noop", WARM_UP)
            ticks, _ = self._watch(workers, WARM_UP)
            if problem := audit(ticks, WARM_UP).problem(doubled_too=_strict(peer)):
                raise Failed(f"{peer.name}, warm-up: {problem}")
            time.sleep(1)
            self.server.side.flushdb()
        except BaseException:
            workers.close()
            raise
        return workers

    def _produce(self, peer: Peer, setup: Setup, verb: str, *words: object) -> dict[str, float]:
        with Children(self.folder) as children:
            command: list[str | Path] = [
                environments.python(peer.environment),
                environments.HERE / "producer.py",
                peer.sender(setup),
                verb,
            ]
            said = children.run([*command, *map(str, words)], peer.settings(self.server.port, setup))
        return dict(json.loads(said))


def _strict(peer: Peer) -> bool:
    """Whether a task that runs twice is a failure: the others promise at least once, or less."""
    return peer.name == OURS


def _wrong(peer: Peer, what: str, found: int, expected: int) -> str | None:
    if found < expected or (found > expected and _strict(peer)):
        return f"{found:,} {what}, not {expected:,}"
    return None


def _memory(workers: Children) -> float:
    """PSS of all their processes, in MiB."""
    return sum(float(process.memory_full_info().pss) for process in workers.tree()) / 2**20


def _cpu(tree: Sequence[Any]) -> float:
    """CPU seconds of all their threads, from the scheduler: `cpu_times` counts hundredths, too coarse for idle ones."""
    threads = [file for process in tree for file in Path(f"/proc/{process.pid}/task").glob("*/schedstat")]
    return sum(int(file.read_text().split()[0]) for file in threads) / 1e9


def _quantiles(late: Sequence[float]) -> dict[str, float]:
    """Seconds -> p50, p99 and the largest, in ms."""
    if len(late) < 2:
        return {}
    cuts = statistics.quantiles(late, n=100, method="inclusive")
    return {"p50": cuts[49] * 1000, "p99": cuts[98] * 1000, "max": max(late) * 1000}
