"""What became of the tests, and what it means."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

GOOD = ("passed", "skipped", "xfailed")
BAD = ("failed", "hung", "died", "not run")


@dataclass
class Found:
    """What became of one test."""

    outcome: str = "not run"
    why: str = ""
    seconds: float = 0.0
    reruns: int = 0
    unsteady: str = ""  # what became of it among the others, before it ran once more alone


@dataclass
class Run:
    """All tests of one kind, by their node ids."""

    name: str
    found: dict[str, Found] = field(default_factory=dict)


def short(node: str) -> str:
    """Without the folder that all have."""
    return node.removeprefix("t/integration/").removeprefix("t/unit/transport/")


def tell(run: Run, node: str) -> None:
    """While it goes on: what is not as one would wish."""
    found = run.found[node]
    if found.outcome not in ("passed", "skipped") or found.reruns:
        again = f" after {found.reruns} reruns" if found.reruns else ""
        print(f"{run.name}: {short(node)}: {found.outcome}{again} {found.why}", file=sys.stderr, flush=True)


def report(runs: Sequence[Run], known: Mapping[str, str]) -> int:
    """Print all of it; the exit code: 1 where the first run, if it is stock's, passes what another one does not, and
    nobody knows why. `known`: reasons by the short name of a test, without its parameters."""
    nodes = list(dict.fromkeys(node for run in runs for node in run.found))
    wide = max((len(short(node)) for node in nodes), default=4)
    print(" ".join(["test".ljust(wide), *(run.name.ljust(9) for run in runs)]).rstrip())
    for node in nodes:
        cells = (run.found.get(node, Found()).outcome.ljust(9) for run in runs)
        print(" ".join([short(node).ljust(wide), *cells]).rstrip())
    stock = runs[0].found if runs[0].name == "stock" else {}
    return int(sum(_one(run, stock, known) for run in runs) > 0)


def _one(run: Run, stock: Mapping[str, Found], known: Mapping[str, str]) -> int:
    """Of one run; how many tests are wrong."""
    counts = {outcome: sum(one.outcome == outcome for one in run.found.values()) for outcome in (*GOOD, *BAD)}
    print(f"\n{run.name}: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count))
    wrong = 0
    for node, found in run.found.items():
        passes = run.found is not stock and stock.get(node, Found()).outcome == "passed"
        reason = known.get(short(node).partition("[")[0], "") if run.found is not stock else ""
        if found.outcome in GOOD:
            if found.unsteady:
                print(f"  {short(node)}: {found.outcome} alone; among the others {found.unsteady}")
            elif reason and passes:
                print(f"  {short(node)}: known, and passes")
            continue
        wrong += passes and not reason
        mark = ("known: " if reason else "STOCK PASSES: ") if passes else ""
        print(f"  {short(node)}: {found.outcome}: {mark}{reason if passes and reason else found.why}")
    return wrong
