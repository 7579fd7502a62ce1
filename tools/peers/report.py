"""From runs to a table: medians, ratios to ours of the same round, and whether each target is met."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from devctl.bench.statistics import paired_ratios
from measure import Run
from peers import BY_NAME, LATE, OURS
from rows import BY_LETTER, FLOORS, Figure, Row, target

BEHIND_SECONDS = 0.1
WIDE = 110  # columns, for those that only explain
Runs = Mapping[str, Sequence[Run]]  # peer -> its runs, by round


@dataclass(frozen=True)
class Line:
    """One peer in one figure."""

    peer: str
    values: tuple[float, ...]
    times: float | None
    """Ours over this peer's: the median over the rounds."""
    must_be: str
    met: bool | None
    broken: bool
    tasks: str
    redis: str
    not_run: str = ""


def lines(figure: Figure, runs: Runs) -> list[Line]:
    """All peers of a figure, ours first."""
    ours = _values(runs.get(OURS, ()), figure.key)
    broken = _problem(runs.get(OURS, ()))
    found = []
    for name, its in runs.items():
        values = _values(its, figure.key)
        base = _values(its, figure.of or figure.key)
        wanted = target(figure, name)
        if absent := _not_run(its):
            found.append(Line(name, (), None, "", None, False, "", "", absent))
            continue
        if not values and wanted is None:
            continue
        problem = _problem(its)
        times = None
        if name != OURS and figure.compared and not problem and not broken and len(ours) == len(base) and base:
            times = median(paired_ratios(ours, base))
        if name == OURS:
            must_be, met = _bound(figure, values, broken)
        else:
            must_be = "" if wanted is None else f"{'≥' if figure.more_is_better else '≤'} {wanted:.4g} ×"
            met = None if wanted is None or times is None else _reaches(figure, times, wanted)
        drained = (_tasks(its), _redis(its)) if figure.key == "rate" else ("", "")
        found.append(Line(name, values, times, must_be, met, bool(problem), *drained))
    return found


def _reaches(figure: Figure, times: float, wanted: float) -> bool:
    return times >= wanted if figure.more_is_better else times <= wanted


def _bound(figure: Figure, values: Sequence[float], problem: str) -> tuple[str, bool | None]:
    middle = median(values) if values and not problem else None
    if figure.least is not None:
        return f"≥ {figure.least:,.4g}{figure.unit}", None if middle is None else middle >= figure.least
    if figure.most is not None:
        return f"≤ {figure.most:,.4g}{figure.unit}", None if middle is None else middle <= figure.most
    return "", None


def _values(runs: Sequence[Run], key: str) -> tuple[float, ...]:
    return tuple(run.figures[key] for run in runs if key in run.figures)


def _problem(runs: Sequence[Run]) -> str:
    return next((run.problem for run in runs if run.problem), "")


def _not_run(runs: Sequence[Run]) -> str:
    return next((run.not_run for run in runs if run.not_run), "")


def _tasks(runs: Sequence[Run]) -> str:
    counts = sorted({run.detail["count"] for run in runs if "count" in run.detail})
    return " ".join(f"{count:,}" for count in counts)


def _redis(runs: Sequence[Run]) -> str:
    """The server's share of a core and its time for one task; what runs too short did not say is left out."""
    shares, each = _values(runs, "redis"), _values(runs, "redis_us")
    return f"{median(shares):.0%} · {median(each):.1f} µs" if shares else ""


def notes(runs: Runs) -> list[str]:
    """What the figures of a row do not say, a line for each peer."""
    found = []
    for name, its in runs.items():
        said = [f"broken: {problem}"] if (problem := _problem(its)) else []
        if absent := _not_run(its):
            said.append(f"not run: {absent}")
        if any(run.detail.get("idle_processes") for run in its):
            said.append("not all of its processes worked in each run")
        if doubled := sum(run.detail.get("doubled", 0) for run in its):
            said.append(f"ran {doubled:,} tasks twice")
        if early := [run.detail["early_ms"] for run in its if "early_ms" in run.detail]:
            said.append(f"starts tasks with a due time up to {max(early):.0f} ms early")
        if behind := [run.detail["producer"]["behind_seconds"] for run in its if "producer" in run.detail]:
            said += [f"its producer was {max(behind):.1f} s behind at the end"] if max(behind) > BEHIND_SECONDS else []
        if sizes := {run.detail["tree"] for run in its if "tree" in run.detail} - {1}:
            said.append(f"{max(sizes)} processes")
        found += [f"{BY_NAME[name].title}: {'; '.join(said)}"] if said else []
    return found


def number(value: float) -> str:
    """Three digits or all of them."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def mark(met: bool | None) -> str:
    """✔, ✘ or nothing."""
    return "" if met is None else "✔" if met else "✘"


def footnotes(peers: Iterable[str]) -> list[str]:
    """Who does not give what the others give."""
    return [f"{BY_NAME[name].title}: {BY_NAME[name].guarantee}" for name in peers if BY_NAME[name].guarantee != LATE]


def show(console: Console, row: Row, runs: Runs) -> None:
    """A table for each figure of the row, and below them what they do not say."""
    for figure in row.figures:
        its = lines(figure, runs)
        wide = console.width >= WIDE and any(line.tasks for line in its)
        table = Table(title=f"{row.letter} · {figure.title}", title_justify="left", title_style="bold")
        table.add_column("", no_wrap=True)
        for heading in ("median", "min – max", "ours is", "must be", "", *(("tasks", "Redis") if wide else ())):
            table.add_column(heading, justify="right", no_wrap=True)
        for line in its:
            middle = f"{number(median(line.values))}{figure.unit}" if line.values else "–"
            span = f"{number(min(line.values))} – {number(max(line.values))}" if len(set(line.values)) > 1 else ""
            times = "" if line.times is None else f"{number(line.times)} ×"
            style = "" if line.met is None else "green" if line.met else "red"
            middle = "broken" if line.broken else "not run" if line.not_run else middle
            cells = [BY_NAME[line.peer].title, middle, span, times, line.must_be]
            cells += [mark(line.met), *((line.tasks, line.redis) if wide else ())]
            table.add_row(*cells, style=style)
        console.print(table)
    for text in notes(runs):
        console.print(text, style="dim", markup=False)


def best(figure: Figure, runs: Runs, guarantee: str = "") -> Line | None:
    """The best peer in a figure, no floor; with `guarantee`, the best of those that promise it."""
    among = [
        line
        for line in lines(figure, runs)
        if line.peer not in (OURS, *FLOORS) and line.values and not line.broken
        if guarantee in ("", BY_NAME[line.peer].guarantee)
    ]
    return (max if figure.more_is_better else min)(among, key=lambda line: median(line.values), default=None)


def summary(results: Mapping[str, Runs]) -> list[str]:
    """A line for each figure: ours, the best that promises as much, and the best of all."""
    found = []
    for letter, runs in results.items():
        for figure in BY_LETTER[letter].figures:
            ours = next((line for line in lines(figure, runs) if line.peer == OURS and line.values), None)
            rivals = [LATE, best(figure, runs, LATE)], ["of all", best(figure, runs)]
            if ours is None or ours.broken or rivals[1][1] is None:
                continue
            told = [f"best {of}: {_beside(line, figure)}" for of, line in rivals if line]
            found.append(f"{letter} · {figure.title}: ours {_said(ours, figure)}; {'; '.join(told)}")
    return found


def headline(results: Mapping[str, Runs]) -> list[str]:
    """The sentence for the README: an order's work of ours beside the best peers, not beside the slowest."""
    if "c" not in results:
        return []
    (figure,), runs = BY_LETTER["c"].figures, results["c"]
    ours = next((line for line in lines(figure, runs) if line.peer == OURS), None)
    equal, first = best(figure, runs, LATE), best(figure, runs)
    if ours is None or not ours.values or equal is None or first is None or equal.times is None or first.times is None:
        return []
    than = f"{number(equal.times)} × the best of those that promise at least once ({_named(equal, figure)})"
    if first.peer != equal.peer:
        than += (
            f" and {number(first.times)} × the best of all ({_named(first, figure)}, {BY_NAME[first.peer].guarantee})"
        )
    return [f"An order with its result, record and notification: {_said(ours, figure)}, {than}."]


def _said(line: Line, figure: Figure) -> str:
    return f"{number(median(line.values))}{figure.unit}"


def _named(line: Line, figure: Figure) -> str:
    return f"{BY_NAME[line.peer].title}, {_said(line, figure)}"


def _beside(line: Line, figure: Figure) -> str:
    return _named(line, figure) + ("" if line.times is None else f", ours is {number(line.times)} ×")


def markdown(results: Mapping[str, Runs]) -> str:
    """One table: figures down, peers across; medians, with the ratio and its mark where there is a target."""
    names = [name for name in BY_NAME if any(name in runs for runs in results.values())]
    out = ["| | " + " | ".join(BY_NAME[name].title for name in names) + " |", "|---" * (len(names) + 1) + "|"]
    for letter, runs in results.items():
        for figure in BY_LETTER[letter].figures:
            cells = {line.peer: _cell(line, figure) for line in lines(figure, runs)}
            out.append(f"| {figure.title} | " + " | ".join(cells.get(name, "–") for name in names) + " |")
    absent = {
        BY_NAME[name].title: why for runs in results.values() for name, its in runs.items() if (why := _not_run(its))
    }
    return "\n".join([*out, *(f"\n{title}: not run: {why}" for title, why in absent.items())])


def _cell(line: Line, figure: Figure) -> str:
    if line.broken or line.not_run:
        return "broken" if line.broken else "not run"
    text = f"{number(median(line.values))}{figure.unit}" if line.values else "–"
    if line.times is not None and line.met is not None:
        text += f" ({number(line.times)} × {mark(line.met)})"
    elif line.met is not None:
        text += f" {mark(line.met)}"
    return text


def document(environment: Mapping[str, Any], results: Mapping[str, Runs]) -> dict[str, Any]:
    """All of it, as JSON."""
    rows = []
    for letter, runs in results.items():
        row = BY_LETTER[letter]
        figures = [
            {
                "figure": figure.title,
                "unit": figure.unit.strip(),
                "peers": [
                    {
                        "peer": line.peer,
                        "values": line.values,
                        "median": median(line.values) if line.values else None,
                        "ours_times": line.times,
                        "must_be": line.must_be,
                        "met": line.met,
                        "not_run": line.not_run,
                    }
                    for line in lines(figure, runs)
                ],
            }
            for figure in row.figures
        ]
        raw = {name: [dataclasses.asdict(run) for run in its] for name, its in runs.items()}
        rows.append({"row": letter, "title": row.title, "figures": figures, "notes": notes(runs), "runs": raw})
    said = {"summary": summary(results), "headline": headline(results)}
    return {"schema": "peers/1", "environment": environment, "rows": rows, **said}
