"""Run a command on a terminal of its own and draw the screen it leaves as SVG: pictures for the README, from real runs.

python tools/terminal_picture.py docs/demo.svg --columns 80 -- devctl demo --runtime local
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from copy import deepcopy
from html import escape
from pathlib import Path

import pexpect
import pyte

FONT = 14
WIDTH, HEIGHT = 8.43, 19  # of a cell; the usual monospace fonts are 0.602 em wide
COLOURS = {
    "default": "#d0d7de",
    "black": "#6e7681",
    "red": "#ff7b72",
    "green": "#56d364",
    "brown": "#e3b341",  # pyte's name for yellow
    "blue": "#79c0ff",
    "magenta": "#d2a8ff",
    "cyan": "#76e3ea",
    "white": "#ffffff",
}
Style = tuple[str, bool]


class Screen(pyte.Screen):
    """A screen that knows which cells are dim, which pyte itself drops."""

    def select_graphic_rendition(self, *attributes: int, **options: bool) -> None:
        super().select_graphic_rendition(*attributes, **options)
        if 2 in attributes and self.cursor.attrs.fg == "default":
            self.cursor.attrs = self.cursor.attrs._replace(fg="black")


def run(
    command: list[str],
    columns: int,
    rows: int,
    timeout: int,
    *,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
    until: Callable[[Screen], bool] | None = None,
    leave: str = "q",
) -> Screen:
    """Run it to its end; SystemExit where it fails, since a picture of a failure is not wanted. With `until`: to the
    moment when that is true of the screen. Then `leave` is typed, and the screen of that moment is what counts."""
    screen = Screen(columns, rows)
    stream = pyte.ByteStream(screen)
    environment = {**(variables or os.environ), "TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": str(rows)}
    environment.pop("NO_COLOR", None)
    child = pexpect.spawn(
        command[0],
        command[1:],
        cwd=folder,
        dimensions=(rows, columns),
        timeout=timeout,
        env=environment,  # type: ignore[arg-type]
    )
    seen = screen
    while True:
        try:
            stream.feed(child.read_nonblocking(65536))
        except pexpect.EOF:
            break
        if until is not None and until(screen):
            seen, until = deepcopy(screen), None
            child.send(leave)
    child.close()
    if child.exitstatus != 0:
        sys.exit(f"{' '.join(command)} ended with {child.exitstatus}; no picture was made")
    return seen


def spans(screen: Screen, row: int) -> list[tuple[int, str, Style]]:
    """The row as runs of one style: column, text, (colour, bold)."""
    found: list[tuple[int, str, Style]] = []
    for column in range(screen.columns):
        cell = screen.buffer[row][column]
        style = (COLOURS.get(cell.fg, f"#{cell.fg}"), cell.bold)
        if cell.data == " ":  # words are placed one by one: viewers differ in what they make of spaces
            continue
        start, text, before = found[-1] if found else (0, "", style)
        if found and before == style and start + len(text) == column:
            found[-1] = (start, text + cell.data, style)
        else:
            found.append((column, cell.data, style))
    return found


def draw(screen: Screen, title: str) -> str:
    """The screen as an SVG document; trailing empty rows are left out."""
    rows = [spans(screen, row) for row in range(screen.lines)]
    while rows and not rows[-1]:
        rows.pop()
    width, height = screen.columns * WIDTH + 32, len(rows) * HEIGHT + 66
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img"',
        f'aria-label="{escape(title)}">',
        f'<rect width="{width:.0f}" height="{height:.0f}" rx="9" fill="#161b22"/>',
        '<g fill="#484f58">' + "".join(f'<circle cx="{x}" cy="18" r="5"/>' for x in (20, 38, 56)) + "</g>",
        f'<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="{FONT}">',
        f'<text x="16" y="50" fill="#8b949e">$ <tspan fill="#ffffff">{escape(title)}</tspan></text>',
    ]
    for number, row in enumerate(rows, start=1):
        y = 50 + number * HEIGHT
        for column, text, (colour, bold) in row:
            weight = ' font-weight="bold"' if bold else ""
            length = f' textLength="{len(text) * WIDTH:.1f}" lengthAdjust="spacingAndGlyphs"'
            lines.append(
                f'<text x="{16 + column * WIDTH:.1f}" y="{y}" fill="{colour}"{weight}{length}>{escape(text)}</text>'
            )
    return "\n".join([*lines, "</g></svg>", ""])


def main() -> None:
    """Parse, run, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--columns", type=int, default=80)
    parser.add_argument("--rows", type=int, default=60)
    parser.add_argument("--timeout", type=int, default=180)
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    screen = run(arguments.command, arguments.columns, arguments.rows, arguments.timeout)
    title = " ".join([Path(arguments.command[0]).name, *arguments.command[1:]])
    arguments.picture.write_text(draw(screen, title), encoding="utf-8")


if __name__ == "__main__":
    main()
