"""From runs to a table: medians, ratios to ours of the same round, and whether each target is met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from devctl.bench.statistics import paired_ratios
from measure import Run
from peers import BY_NAME, LATE
from rows import BY_LETTER, Figure, Row, target

OURS = "ours"
Runs = Mapping[str, Sequence[Run]]  # peer -> its runs, by round


@dataclass(frozen=True)
class Line:
    """One peer in one figure."""

    peer: str
    values: tuple[float, ...]
    times: float | None
    """How many times as good as this peer ours is: the median over the rounds."""
    must_be: str
    met: bool | None
    note: str


def lines(figure: Figure, runs: Runs) -> list[Line]:
    """All peers of a figure, ours first."""
    ours = _values(runs.get(OURS, ()), figure.key)
    broken = _problem(runs.get(OURS, ()))
    found = []
    for name, its in runs.items():
        values = _values(its, figure.key)
        base = _values(its, figure.of or figure.key)
        wanted = target(figure, name)
        if not values and wanted is None:
            continue
        problem = _problem(its)
        times = None
        if name != OURS and not problem and not broken and len(ours) == len(base) and base:
            # Never below zero; an idle CPU may well be 0.
            pairs = (ours, base) if figure.more_is_better else (base, ours)
            times = median(paired_ratios(*(tuple(max(value, 1e-9) for value in one) for one in pairs)))
        if name == OURS:
            must_be, met = _bound(figure, values, broken)
        else:
            must_be = "" if wanted is None else f"≥ {wanted:.4g} ×"
            met = None if wanted is None or times is None else times >= wanted
        found.append(Line(name, values, times, must_be, met, _note(name, its, figure, problem)))
    return found


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


def _note(name: str, runs: Sequence[Run], figure: Figure, problem: str) -> str:
    if problem:
        return f"broken: {problem}"
    parts = []
    if figure.key == "rate" and (shares := _values(runs, "redis")):
        parts.append(f"Redis {median(shares):.0%} of a core")
    counts = {run.detail["count"] for run in runs if "count" in run.detail}
    parts += [f"{count:,} tasks" for count in sorted(counts)]
    if any(run.detail.get("processes", 2) < 2 for run in runs) and figure.key == "rate" and "count" in runs[0].detail:
        parts.append("one process worked")
    if figure.key == "pss":
        parts.append(f"{max(run.detail['processes'] for run in runs)} processes")
    parts += sorted({run.detail["caution"] for run in runs if "caution" in run.detail})
    if BY_NAME[name].guarantee != LATE:
        parts.append(BY_NAME[name].guarantee)
    return ", ".join(parts)


def number(value: float) -> str:
    """Three digits or all of them."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def mark(met: bool | None) -> str:
    """✔, ✘ or nothing."""
    return "" if met is None else "✔" if met else "✘"


def show(console: Console, row: Row, runs: Runs) -> None:
    """A table for each figure of the row."""
    for figure in row.figures:
        table = Table(title=f"{row.letter} · {figure.title}", title_justify="left", title_style="bold")
        table.add_column("peer", no_wrap=True)
        for heading in ("median", "min – max", "ours is", "must be"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("")
        table.add_column("", overflow="fold", style="dim")
        for line in lines(figure, runs):
            middle = f"{number(median(line.values))}{figure.unit}" if line.values else "–"
            span = f"{number(min(line.values))} – {number(max(line.values))}" if line.values else ""
            times = "" if line.times is None else f"{number(line.times)} ×"
            style = {True: "green", False: "red", None: ""}[line.met]
            title = BY_NAME[line.peer].title
            table.add_row(
                title, middle, span, times, line.must_be, f"[{style}]{mark(line.met)}[/]" if style else "", line.note
            )
        console.print(table)


def markdown(results: Mapping[str, Runs]) -> str:
    """One table: figures down, peers across; medians, with the ratio and its mark where there is a target."""
    names = [name for name in BY_NAME if any(name in runs for runs in results.values())]
    out = ["| | " + " | ".join(BY_NAME[name].title for name in names) + " |", "|---" * (len(names) + 1) + "|"]
    for letter, runs in results.items():
        for figure in BY_LETTER[letter].figures:
            cells = {line.peer: _cell(line, figure) for line in lines(figure, runs)}
            out.append(f"| {figure.title} | " + " | ".join(cells.get(name, "–") for name in names) + " |")
    return "\n".join(out)


def _cell(line: Line, figure: Figure) -> str:
    if line.note.startswith("broken"):
        return "broken"
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
                        "note": line.note,
                    }
                    for line in lines(figure, runs)
                ],
            }
            for figure in row.figures
        ]
        raw = {
            name: [{"figures": run.figures, "problem": run.problem, "detail": run.detail} for run in its]
            for name, its in runs.items()
        }
        rows.append({"row": letter, "title": row.title, "figures": figures, "runs": raw})
    return {"schema": "peers/1", "environment": environment, "rows": rows}
