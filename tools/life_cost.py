"""What the records of steps cost: the same backlog drained with them and without, by turns.

    .venv/bin/python tools/life_cost.py                    no-ops, no-ops with results, orders: six pairs of each
    .venv/bin/python tools/life_cost.py --only order --pairs 10
    .venv/bin/python tools/life_cost.py publish            the same of one process that publishes

Two workers on a Redis of its own, in memory; `make bench-peers` measures its rows a to d in the same way. Each pair is
with and without, and without and with in the next one: a machine that slows down, slows both. Printed are the rates of
each run and the CPU of a message; and the median of what more it costs (of a publish: time), the smallest and largest.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "peers"))

from children import Children
from measure import Bench, Run, Sizes, _cpu
from peers import BY_NAME, OURS, Peer, Setup
from server import running
from tally import TICKS
from ticks import Tick

KINDS = {"noop": ("noop", Setup()), "result": ("noop", Setup(results=True)), "order": ("order", Setup())}


def peer(length: str) -> Peer:
    """Ours, with so many entries of records."""
    ours = BY_NAME[OURS]
    return replace(ours, variables={**ours.variables, "CELERY_LIFE_LENGTH": length})


WITHOUT, WITH = peer("0"), peer("100000")


class Costs(Bench):
    """Also what a message of a drain costs: CPU of the workers and of Redis's main thread, from the first completion
    on. It says more than the rate where something else runs on the machine."""

    def _watch(self, workers: Children, count: int) -> tuple[list[Tick], list[tuple[float, float]]]:
        while not self.server.side.llen(TICKS):
            workers.check()
            time.sleep(0.005)
        begun = self._cpu(workers)
        found = super()._watch(workers, count)
        self.us = 1e6 * (self._cpu(workers) - begun) / count
        return found

    def _cpu(self, workers: Children) -> float:
        return _cpu(workers.tree()) + self.server.cpu_seconds()

    def costs(self, one: Peer, task: str, setup: Setup) -> Run:
        run = self.drain(one, task, setup)
        run.figures["us"] = self.us
        return run


def pairs(measure: Callable[[Peer], Run], figure: str, count: int) -> list[float]:
    """How much more a message costs with records, of each pair."""
    ratios = []
    for number in range(count):
        turn = (WITHOUT, WITH) if number % 2 else (WITH, WITHOUT)
        runs = {}
        for one in turn:
            run = runs[one.variables["CELERY_LIFE_LENGTH"]] = measure(one)
            if run.problem:
                raise SystemExit(f"a run that counts for nothing: {run.problem}")
        without, with_ = runs["0"].figures, runs["100000"].figures
        ratios.append(with_["us"] / without["us"] if "us" in without else without[figure] / with_[figure])
        rates = f"{without[figure]:10,.0f}/s without {with_[figure]:10,.0f}/s with"
        cpu = f"{without['us']:7.1f} us {with_['us']:7.1f} us" if "us" in without else ""
        print(f"  {rates} {cpu} {ratios[-1] - 1:+7.1%}", flush=True)
    return ratios


def tell(title: str, ratios: list[float]) -> None:
    low, high = min(ratios) - 1, max(ratios) - 1
    print(f"{title}: {statistics.median(ratios) - 1:+.1%} ({low:+.1%} to {high:+.1%})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["drain", "publish"], default="drain")
    parser.add_argument("--only", choices=[*KINDS], action="append")
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--count", type=int, default=60_000, help="messages of a backlog, at most")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as server:
        bench = Costs(server, Path(folder), Sizes(count=asked.count))
        if asked.what == "publish":
            for figure in ("loop", "bulk"):
                tell(f"publish, {figure}", pairs(bench.publish, figure, asked.pairs))
            return
        for name in asked.only or KINDS:
            task, setup = KINDS[name]
            bench.drain(WITHOUT, task, setup)  # the backlog is published without records, and the first look is made

            def drain(one: Peer, task: str = task, setup: Setup = setup) -> Run:
                return bench.costs(one, task, setup)

            tell(name, pairs(drain, "rate", asked.pairs))


if __name__ == "__main__":
    main()
