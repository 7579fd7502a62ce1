"""Draw the panels of Grafana's dashboard as SVG, from a real Prometheus beside a stack that is given a minute of work.

    .venv/bin/python tools/dashboard_picture.py docs/monitoring.svg

It is not Grafana's own drawing: Grafana is not here. Titles, places, units and queries are those of
monitoring/grafana/dashboards/stack.json; the answers are Prometheus's."""

from __future__ import annotations

import argparse
import itertools
import json
import math
import re
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from local_prometheus import MONITORING, Prometheus
from story import Story, staged

DASHBOARD = json.loads((MONITORING / "grafana/dashboards/stack.json").read_text())
COLUMN, ROW, GAP, MARGIN, HEAD = 50, 22, 8, 12, 44
POINTS = 60
COLOURS = ("#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#b877d9", "#f2495c", "#8ab8ff", "#c0d8ff")
PAPER, PANEL, LINE, TEXT, DIM = "#111217", "#181b1f", "#2c3235", "#d8d9da", "#8e8e8e"
SMALL = (("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("min", 60.0), ("h", 3600.0))
LARGE = (("", 1.0), ("K", 1e3), ("M", 1e6))
BYTES = (("B", 1.0), ("KiB", 2.0**10), ("MiB", 2.0**20), ("GiB", 2.0**30))

Series = tuple[str, list[tuple[float, float]]]
"""A name, and its points: seconds and value."""


# The work


@contextmanager
def orders(story: Story, a_second: float) -> Iterator[None]:
    """Meanwhile orders come in at this rate."""
    ended = threading.Event()

    def send() -> None:
        while not ended.wait(1 / a_second):
            story.order()

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        ended.set()
        sender.join()


def work(story: Story) -> None:
    """A usual quarter of a minute; the warehouse away; everything replayed; more than one worker gets done."""
    story.repair()
    with orders(story, 20):
        time.sleep(15)
        story.away.touch()
        time.sleep(8)
        story.repair()
        time.sleep(5)
        story.devctl("dead-letters", "replay", "--all", code=None)
        time.sleep(7)
        story.devctl("send-task", "process_order", "--count", "6000")
        time.sleep(20)


# The drawing


def amount(value: float, unit: str) -> str:
    steps = {"s": SMALL, "bytes": BYTES}.get(unit, LARGE)
    name, size = next((one for one in reversed(steps) if abs(value) >= one[1]), steps[0])
    number = f"{value / size:.3g}" if value else "0"
    return f"{number} {name}{'/s' if unit == 'reqps' else ''}".strip().replace(" /s", "/s")


def asked(prometheus: Prometheus, panel: dict[str, Any], begin: float, end: float) -> list[Series]:
    """All series of a panel, with the names that its legend has."""
    found: list[Series] = []
    for target in panel["targets"]:
        text = target["expr"].replace("$__rate_interval", "5s").replace("$task", ".*").replace("$queue", ".*")
        answer = prometheus.ask("query_range", query=text, start=begin, end=end, step=(end - begin) / POINTS)
        for one in answer["result"]:
            labels = one["metric"]
            name = re.sub(r"\{\{(\w+)\}\}", lambda word: labels.get(word[1], ""), target["legendFormat"])  # noqa: B023  used at once
            points = [(float(at), float(value)) for at, value in one["values"]]
            found.append((name, [point for point in points if math.isfinite(point[1])]))
    return found


def nice(highest: float, unit: str) -> float:
    """The end of an axis, not below: 1, 2 or 5 times a power of ten, of bytes a power of two."""
    if highest <= 0:
        return 1.0
    if unit == "bytes":
        return float(2 ** math.ceil(math.log2(highest)))
    power = 10.0 ** math.floor(math.log10(highest))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= highest * 0.999)


def text(x: float, y: float, words: str, colour: str = TEXT, size: float = 11, more: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" fill="{colour}" font-size="{size:g}"{more}>{escape(words)}</text>'


def stat(panel: dict[str, Any], series: list[Series], x: float, y: float, width: float, height: float) -> Iterator[str]:
    values = [points[-1][1] for _, points in series if points]
    shown = amount(values[0], panel["fieldConfig"]["defaults"]["unit"]) if values else "–"
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    reached = [one["color"] for one in steps if one["value"] is None or (values and values[0] >= one["value"])]
    colour = {"green": "#73bf69", "orange": "#ff780a", "red": "#f2495c"}.get(reached[-1], TEXT)
    yield text(x + width / 2, y + height / 2 + 20, shown, colour, 26, ' text-anchor="middle"')


def chart(
    panel: dict[str, Any],
    series: list[Series],
    place: tuple[float, float, float, float],
    begin: float,
    end: float,
) -> Iterator[str]:
    x, y, width, height = place
    defaults = panel["fieldConfig"]["defaults"]
    stacked = "stacking" in defaults["custom"]
    left, top, right, bottom = x + 56, y + 30, x + width - 10, y + height - 26
    if stacked:
        series = pile(series)
    highest = nice(max((value for _, points in series for _, value in points), default=0.0), defaults["unit"])
    for part in (0.0, 0.5, 1.0):
        level = bottom - part * (bottom - top)
        yield f'<path d="M{left:.0f} {level:.0f}H{right:.0f}" stroke="{LINE}"/>'
        yield text(left - 6, level + 4, amount(part * highest, defaults["unit"]), DIM, 10, ' text-anchor="end"')
    colours = list(itertools.islice(itertools.cycle(COLOURS), len(series)))
    drawn = [*zip(series, colours, strict=True)]
    for (_, points), colour in reversed(drawn) if stacked else drawn:
        if not points:
            continue
        spots = [
            (left + (at - begin) / (end - begin) * (right - left), bottom - value / highest * (bottom - top))
            for at, value in points
        ]
        line = "L".join(f"{across:.0f} {up:.1f}" for across, up in spots)
        if stacked:
            yield f'<path d="M{spots[0][0]:.0f} {bottom:.0f}L{line}V{bottom:.0f}Z" fill="{colour}" fill-opacity=".55"/>'
        yield f'<path d="M{line}" stroke="{colour}" fill="none" stroke-width="1.4"/>'
    across = x + 12
    for (name, _), colour in drawn:
        if across + 8 + 5.6 * len(name) > x + width - 12:
            yield text(across, y + height - 8, "…", DIM, 10)
            break
        yield f'<rect x="{across:.0f}" y="{y + height - 14:.0f}" width="8" height="3" fill="{colour}"/>'
        yield text(across + 12, y + height - 9, name, DIM, 10)
        across += 24 + 5.6 * len(name)
    if not any(points for _, points in series):
        yield text((left + right) / 2, (top + bottom) / 2, "no data", DIM, 11, ' text-anchor="middle"')


def pile(series: list[Series]) -> list[Series]:
    """Each on top of those before it."""
    below: dict[float, float] = {}
    found = []
    for name, points in series:
        found.append((name, [(at, value + below.get(at, 0.0)) for at, value in points]))
        below |= dict(found[-1][1])
    return found


def draw(prometheus: Prometheus, begin: float, end: float) -> str:
    panels = DASHBOARD["panels"]
    width = 24 * COLUMN + 2 * MARGIN
    height = HEAD + ROW * max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in panels) + MARGIN
    title = f"{DASHBOARD['title']}: {end - begin:.0f} seconds of a stack, asked from Prometheus"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"',
        f'aria-label="{escape(title)}" font-family="Inter, Helvetica, Arial, sans-serif">',
        f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
        text(MARGIN + 4, 28, DASHBOARD["title"], TEXT, 17),
        text(width - MARGIN, 28, f"{end - begin:.0f} s", DIM, 12, ' text-anchor="end"'),
    ]
    for panel in panels:
        grid = panel["gridPos"]
        x, y = MARGIN + grid["x"] * COLUMN, HEAD + grid["y"] * ROW
        if panel["type"] == "row":
            lines.append(text(x + 4, y + 15, f"⌄ {panel['title']}", TEXT, 13))
            continue
        wide, high = grid["w"] * COLUMN - GAP, grid["h"] * ROW - GAP
        lines.append(f'<rect x="{x}" y="{y}" width="{wide}" height="{high}" rx="3" fill="{PANEL}" stroke="{LINE}"/>')
        lines.append(text(x + 10, y + 18, panel["title"], TEXT, 12, ' font-weight="500"'))
        series = asked(prometheus, panel, begin, end)
        if panel["type"] == "stat":
            lines += stat(panel, series, x, y, wide, high)
        else:
            lines += chart(panel, series, (x, y, wide, high), begin, end)
    return "\n".join([*lines, "</svg>", ""])


def each_second(config: dict[str, Any], rules: dict[str, Any]) -> None:
    config["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    given = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as there, staged(Path(here)) as story:
        story.devctl("up", "exporter")
        prometheus = Prometheus(Path(there), port, lambda: story.read("ps")["services"], each_second)
        prometheus.start()
        try:
            time.sleep(6)  # rates need some seconds before the first
            begin = time.time()
            work(story)
            given.picture.write_text(draw(prometheus, begin, time.time()), encoding="utf-8")
        finally:
            prometheus.stop()


if __name__ == "__main__":
    main()
