"""Compare with others: `make bench-peers`, or parts of it:

    python tools/peers --rows a,b --peers celery,dramatiq --count 20000 --runs 3
    python tools/peers --quick

Runs of the peers take turns, so that a machine that slows down slows all. Exit 1 if a run lost or doubled a task. A
peer that needs what is not here (another Python, a newer Redis) is "not run", which is no failure.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

import environments
from children import Failed
from devctl.measurement.machine import machine
from devctl.measurement.store import Store
from measure import Bench, Run, Sizes
from peers import PEERS, Peer
from report import document, footnotes, headline, markdown, number, show, summary
from rows import BY_LETTER, ROWS, Row
from server import Server, running

QUICK = Sizes(1_000, 2.0, 200, 1.0, 200, 1_000, 200, 1.0, 1_000, 20)
Results = dict[str, dict[str, list[Run]]]


def main(words: Sequence[str]) -> int:
    """Measure what is asked for; the exit code."""
    asked = arguments(words)
    rows = [BY_LETTER[letter] for letter in asked.rows]
    peers = [peer for peer in PEERS if peer.name in {"ours", *asked.peers}]
    sizes = QUICK if asked.quick else Sizes(count=asked.count, drain_seconds=asked.seconds)
    for name in sorted({peer.environment for peer in peers}):
        environments.prepare(name)
    talk, store = Console(stderr=True, highlight=False), Store.new(asked.state, time.time())
    results: Results = {}
    with tempfile.TemporaryDirectory(prefix="peers-") as temporary, running(Path(temporary)) as server:
        around = surroundings(server, peers)
        talk.print(fingerprint(around), soft_wrap=True)
        results = earlier(asked.resume, around)
        for row in rows:
            if row.letter in results:
                continue
            bench, begun = Bench(server, Path(temporary), sizes), time.monotonic()
            results[row.letter] = measure(
                row, [one for one in peers if row.letter in one.rows], bench, asked.runs, talk
            )
            talk.print(f"  {time.monotonic() - begun:.0f} s")
            store.report(document(around, results))  # after each row, so that a later failure costs none
            for file in Path(temporary).glob("*.backlog"):
                file.unlink()
            if not asked.json and not asked.markdown:
                show(Console(), row, results[row.letter])
    for line in footnotes(peer.name for peer in peers):
        talk.print(line, markup=False)
    if asked.json:
        print(json.dumps(document(around, results), indent=2))
    else:
        print(*([markdown(results), ""] if asked.markdown else []), *summary(results), *headline(results), sep="\n")
    talk.print(f"all runs: {store.folder}/report.json", soft_wrap=True)
    return int(any(run.problem for runs in results.values() for its in runs.values() for run in its))


def measure(row: Row, peers: Sequence[Peer], bench: Bench, runs: int, talk: Console) -> dict[str, list[Run]]:
    """Every peer once a round, forwards and backwards in turn; one that broke is not run again."""
    redis = bench.server.version()
    found: dict[str, list[Run]] = {
        peer.name: [Run(not_run=why)] if (why := peer.missing(redis)) else [] for peer in peers
    }
    talk.print(f"{row.letter} · {row.title}", style="bold")
    for round_ in range(min(runs, row.most_rounds)):
        for peer in peers if round_ % 2 == 0 else reversed(peers):
            if any(run.problem or run.not_run for run in found[peer.name]):
                continue
            try:
                run = row.measure(bench, peer)
            except Failed as failure:
                run = Run(problem=str(failure))
            found[peer.name].append(run)
            said = ", ".join(
                f"{number(run.figures[one.key])}{one.unit}" for one in row.figures if one.key in run.figures
            )
            talk.print(f"  {round_ + 1}/{runs} {peer.title}: {said} {run.problem or ''}", markup=False)
    return found


def surroundings(server: Server, peers: Sequence[Peer]) -> dict[str, Any]:
    """What the figures hold for."""
    here = machine(environments.ROOT)
    return {
        "cpu": here.cpu_model,
        "cpus": here.cpus,
        "load_average": here.load_average,
        "os": here.os,
        "python": here.python,
        "git_revision": here.git_revision + ("+" if here.git_dirty else ""),
        "server": server.name(),
        "transport": os.environ.get("CELERY_TRANSPORT", ""),
        "packages": {
            name: environments.versions(name)
            for name in sorted({peer.environment for peer in peers})
            if not environments.missing(name)
        },
    }


def earlier(report: Path | None, around: Mapping[str, Any]) -> Results:
    """The rows that an earlier command has finished, of the same revision on the same server."""
    if report is None:
        return {}
    saved = json.loads(report.read_text())
    for what in ("git_revision", "server", "cpu"):
        if saved["environment"][what] != around[what]:
            raise SystemExit(f"{report}: its {what} is {saved['environment'][what]}, and here it is {around[what]}")
    return {
        row["row"]: {peer: [Run(**one) for one in its] for peer, its in row["runs"].items()} for row in saved["rows"]
    }


def fingerprint(around: Mapping[str, Any]) -> str:
    """On a few lines."""
    packages = {
        name: ", ".join(f"{package} {version}" for package, version in its.items())
        for name, its in around["packages"].items()
    }
    first = f"{around['cpu']}, {around['cpus']} cores, load {around['load_average']}; {around['server']}"
    second = f"Python {around['python']}; revision {around['git_revision']}"
    return "\n".join([f"{first}; {second}", *(f"{name}: {text}" for name, text in packages.items())])


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make bench-peers", description="Ours beside other task queues on one Redis.")
    letters, names = [row.letter for row in ROWS], [peer.name for peer in PEERS if peer.name != "ours"]

    def some(known: Sequence[str]) -> Any:
        def parse(text: str) -> list[str]:
            chosen = [word.strip() for word in text.split(",") if word.strip()]
            if unknown := set(chosen) - {*known, "ours"}:
                raise argparse.ArgumentTypeError(f"no such: {', '.join(unknown)}; there are {', '.join(known)}")
            return chosen

        return parse

    described = ", ".join(f"{row.letter} {row.title.partition(' (')[0]}" for row in ROWS)
    parser.add_argument("--rows", type=some(letters), default=letters, help=described)
    parser.add_argument("--peers", type=some(names), default=names, help=", ".join(names))
    parser.add_argument("--runs", type=int, default=5, help="of each; medians are shown (5)")
    parser.add_argument("--count", type=int, default=100_000, help="tasks in a drain, at most (100000)")
    parser.add_argument(
        "--seconds", type=float, default=3, help="a drain of a slow peer has as many tasks as this takes (3)"
    )
    parser.add_argument("--quick", action="store_true", help="tiny: shows that it works, not how fast anything is")
    state = environments.FOLDER.parent
    parser.add_argument("--state", type=Path, default=state, help="where the report is saved, in runs/ (.devctl)")
    parser.add_argument("--resume", type=Path, metavar="REPORT", help="a report.json: measure only the rows it lacks")
    parser.add_argument("--json", action="store_true", help="print the report as JSON; it is saved in any case")
    parser.add_argument("--markdown", action="store_true", help="print one table, peers across")
    return parser.parse_args(words)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything that was started is ended
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
