"""What the records of steps cost: the same backlog drained with them and without, by turns.

    .venv/bin/python tools/life_cost.py                    no-ops, no-ops with results, orders: six pairs of each
    .venv/bin/python tools/life_cost.py --only order --pairs 10
    .venv/bin/python tools/life_cost.py publish            the same of one process that publishes

Two workers on a Redis of its own, in memory; `make bench-peers` measures its rows a to d in the same way. Each pair is
with and without, and without and with in the next one: a machine that slows down, slows both. Printed are the rates of
each run, and the median of the ratios of the pairs with their smallest and largest.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "peers"))

from measure import Bench, Run, Sizes
from peers import BY_NAME, OURS, Peer, Setup
from server import running

KINDS = {"noop": ("noop", Setup()), "result": ("noop", Setup(results=True)), "order": ("order", Setup())}


def peer(length: str) -> Peer:
    """Ours, with so many entries of records."""
    ours = BY_NAME[OURS]
    return replace(ours, variables={**ours.variables, "CELERY_LIFE_LENGTH": length})


WITHOUT, WITH = peer("0"), peer("100000")


def pairs(measure: Callable[[Peer], Run], figure: str, count: int) -> list[float]:
    """The ratio of each pair: with, over without."""
    ratios = []
    for number in range(count):
        turn = (WITHOUT, WITH) if number % 2 else (WITH, WITHOUT)
        rates = {}
        for one in turn:
            run = measure(one)
            if run.problem:
                raise SystemExit(f"a run that counts for nothing: {run.problem}")
            rates[one.variables["CELERY_LIFE_LENGTH"]] = run.figures[figure]
        without, with_ = rates["0"], rates["100000"]
        ratios.append(with_ / without)
        print(f"  {without:10,.0f}/s without {with_:10,.0f}/s with {with_ / without - 1:+7.1%}", flush=True)
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
        bench = Bench(server, Path(folder), Sizes(count=asked.count))
        if asked.what == "publish":
            for figure in ("loop", "bulk"):
                tell(f"publish, {figure}", pairs(bench.publish, figure, asked.pairs))
            return
        for name in asked.only or KINDS:
            task, setup = KINDS[name]
            bench.drain(WITHOUT, task, setup)  # the backlog is published without records, and the first look is made

            def drain(one: Peer, task: str = task, setup: Setup = setup) -> Run:
                return bench.drain(one, task, setup)

            tell(name, pairs(drain, "rate", asked.pairs))


if __name__ == "__main__":
    main()
