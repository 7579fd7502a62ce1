"""Draws the page of `devctl dash --web` in a real Chromium, light and dark: pictures for the documents, of a real run.

python tools/page_picture.py docs     writes docs/dash-light.png and docs/dash-dark.png; takes two minutes

The stack is the one of tools/story.py: orders come in waves, then the warehouse is away, and one of them dies."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from story import ROOT, Story, staged

sys.path.insert(0, str(ROOT / "devctl/tests/integration"))  # the browser is driven as in the tests

import browser  # noqa: E402  it is found there only now

WIDTH, HEIGHT = 1280, 820
WAVES_SECONDS = 90
AT_ONCE = (1, 2, 4, 7, 9, 7, 4, 2)  # orders, one step of a wave after the other
STEP_SECONDS = 0.5
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


def draw(story: Story, folder: Path) -> None:
    """Play it before the open page, and draw what is seen then."""
    story.away.unlink(missing_ok=True)
    with served(story) as address, browser.chromium(WIDTH, HEIGHT) as page:
        page.size(WIDTH, HEIGHT)
        page.open(address)
        page.see("#services", "worker", "healthy")
        end, step = time.monotonic() + WAVES_SECONDS, 0
        while time.monotonic() < end:
            for _ in range(AT_ONCE[step % len(AT_ONCE)]):
                story.order()
            step += 1
            time.sleep(STEP_SECONDS)
        story.away.touch()
        story.order()
        page.see("#failures", "retried", seconds=30)
        page.click("#failures button", "Replay")  # it is dead by then
        page.keys("Escape")
        page.click("#failures button", "Trace")
        page.see("#detail", "dead")
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
