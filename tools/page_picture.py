"""Draws the page of `devctl dash --web` in a real Chromium, light and dark: pictures for the documents, of a real run.

python tools/page_picture.py docs     writes docs/dash-light.png and docs/dash-dark.png; takes two minutes

The stack is the one of tools/story.py: orders come in waves, then the warehouse is away, and one of them dies."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from story import ORDER, ROOT, Story, staged

sys.path.insert(0, str(ROOT / "devctl/tests/integration"))  # the browser is driven as in the tests

import browser

WIDTH, HEIGHT = 1280, 820
WAVES = (400, 1500, 900, 3000, 200, 2400, 1200, 3600)  # orders at once
WAVE_SECONDS = 12
MOST_BYTES = 200_000


@contextmanager
def served(story: Story) -> Iterator[str]:
    """The address of the page."""
    command = story.command("dash", "--web", "--no-open", "--port", "0")
    process = subprocess.Popen(
        command, cwd=story.folder, env=story.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()


def order(story: Story) -> None:
    """A request with a trace of its own."""
    story.ask("/api/orders", json.dumps(ORDER).encode(), {"Content-Type": "application/json"})


def draw(story: Story, folder: Path) -> None:
    """Play it before the open page, and draw what is seen then."""
    story.away.unlink(missing_ok=True)
    with served(story) as address, browser.chromium(WIDTH, HEIGHT) as page:
        page.size(WIDTH, HEIGHT)
        page.open(address)
        page.see("#services", "worker", "healthy")
        for orders in WAVES:
            end = time.monotonic() + WAVE_SECONDS
            story.devctl("send-task", "process_order", "--count", str(orders))
            while time.monotonic() < end:
                order(story)
                time.sleep(0.25)
        story.away.touch()
        order(story)
        page.see("#failures", "retried", seconds=30)
        page.click("#failures button", "Replay")  # it is dead by then
        page.keys("Escape")
        page.click("#failures button", "Trace")
        page.see("#detail", "dead")
        page.see("#failures", "Replay")
        page.see("#queues", "/s")  # rates are known again after the last wave
        for colours in ("light", "dark"):
            page.prefer(color_scheme=colours)
            file = folder / f"dash-{colours}.png"
            page.picture(file)
            assert file.stat().st_size < MOST_BYTES, f"{file} is larger than {MOST_BYTES} bytes"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, staged(Path(folder)) as story:
        draw(story, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
