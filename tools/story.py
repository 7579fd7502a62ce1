"""An order whose handler fails twice, dies, is replayed and done: what `devctl trace` and `devctl dash` are shown with.

python tools/story.py                  play it in a stack of its own, and show its trace after each step
python tools/story.py --pictures docs  the same, and draw what is seen

The checkout is copied, and its worker asks a warehouse that is away: a file says so. Nothing else is changed."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
HANDLERS, FIRST_LINE = "worker/src/worker/handlers.py", '    """Where the business goes.'
AWAY = """    if Path({away!r}).exists():
        raise TransientError("the warehouse does not answer")
"""
WHY = "TransientError: the warehouse does not answer"  # as a trace tells it
ORDER = {"customer_id": "c-1", "items": [{"product_id": "book", "quantity": 2}], "total_amount": "59.90"}
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"  # the one of W3C's own example
POLICY = "limit=1,base=0.5"  # one retry: it fails twice


class Story:
    """A copy of this checkout, and the stack that runs from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.away = folder / "the-warehouse-is-away"
        self.api = ""
        self._copy()
        self._break()
        self._borrow()

    def _copy(self) -> None:
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
        for name in filter(None, names):
            if (ROOT / name).is_file():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.folder / name)
        for compiled in ROOT.glob("*/src/**/__pycache__"):  # two seconds sooner; what is edited is compiled anew
            shutil.copytree(compiled, self.folder / compiled.relative_to(ROOT))

    def _break(self) -> None:
        """Let the order's handler fail while the file is there."""
        file = self.folder / HANDLERS
        text = file.read_text()
        assert text.count(FIRST_LINE) == 1, f"{HANDLERS}: the story does not find its handler any more"
        body = text.index(FIRST_LINE)
        begin = text.index("\n", body) + 1
        text = text[:begin] + AWAY.format(away=str(self.away)) + text[begin:]
        text = text.replace("from celeriac import ", "from celeriac import TransientError, ", 1)
        file.write_text(text.replace("import platform\n", "import platform\nfrom pathlib import Path\n", 1))
        self.away.touch()

    def _borrow(self) -> None:
        """An environment whose own packages are the copy's, and all others this checkout's."""
        venv = self.folder / ".venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        (site,) = venv.glob("lib/python*/site-packages")
        theirs = next(Path(sys.prefix).glob("lib/python*/site-packages"))
        (site / "borrowed.pth").write_text(
            "\n".join([*map(str, sorted(self.folder.glob("*/src"))), str(theirs)]) + "\n"
        )

    def command(self, *arguments: str) -> list[str]:
        return [str(self.folder / ".venv/bin/python"), "-m", "devctl", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """On free ports, in local processes."""
        ports = [line.partition("=")[0] for line in (self.folder / ".env.example").read_text().splitlines()]
        free = {name: "0" for name in ports if name.endswith("_PORT") and name.isupper()}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CELERY_", "DEVCTL_"))}
        return kept | free | {"DEVCTL_RUNTIME": "local", "RETRY_TASKS_PROCESS_ORDER": POLICY}

    def devctl(self, *arguments: str, code: int | None = 0, **variables: str) -> str:
        """What it prints. AssertionError where it ends with another code."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert code in (None, done.returncode), (
            f"devctl {' '.join(arguments)}: {done.returncode}\n{done.stderr[-3000:]}"
        )
        return done.stdout

    def read(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.devctl(*arguments, "--json", code=code))

    def ask(self, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Any:
        """What the API answers."""
        request = urllib.request.Request(self.api + path, body, headers or {})  # noqa: S310  our own, on 127.0.0.1
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  the same
            return json.load(answer)

    # The steps

    def up(self) -> None:
        self.devctl("up")
        (ports,) = (one["ports"] for one in self.read("ps")["services"] if one["name"] == "service1")
        self.api = "http://" + ports[0].partition("->")[0]

    def order(self) -> str:
        """Its id. The request brings a trace of its own."""
        headers = {"Content-Type": "application/json", "traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}
        return str(self.ask("/api/orders", json.dumps(ORDER).encode(), headers)["order_id"])

    def dead(self, order: str) -> str:
        """Wait until the order is a dead letter; the letter's id."""

        def found() -> str | None:
            letters = self.read("dead-letters", "list")["letters"]
            return next((one["id"] for one in letters if one["task_id"] == order), None)

        return str(wait(found, "the order is no dead letter"))

    def repair(self) -> None:
        self.away.unlink()

    def replay(self, letter: str) -> None:
        self.devctl("dead-letters", "replay", letter)

    def done(self, order: str) -> None:
        def answered() -> bool:
            return bool(self.ask(f"/api/orders/{order}")["status"] == "succeeded")

        wait(answered, "the order is not done")

    def down(self) -> None:
        self.devctl("down", "--volumes", code=None)


def wait(look: Callable[[], Any], else_say: str, seconds: float = 30.0) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{else_say} after {seconds:g} s")


@contextmanager
def staged(folder: Path) -> Iterator[Story]:
    story = Story(folder)
    try:
        story.up()
        yield story
    finally:
        story.down()


def draw(story: Story, folder: Path, name: str, size: tuple[int, int], *arguments: str, until: Any = None) -> None:
    """A command on a terminal of this size, as it is there in the end, or when `until` is true of its screen."""
    import terminal_picture  # it needs more than the story does

    columns, rows = size
    screen = terminal_picture.run(
        story.command(*arguments), columns, rows, 120, folder=story.folder, variables=story.environment, until=until
    )
    title = " ".join(["devctl", *arguments])
    (folder / name).write_text(terminal_picture.draw(screen, title), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path)
    pictures = parser.parse_args().pictures
    with tempfile.TemporaryDirectory() as folder, staged(Path(folder)) as story:
        order = story.order()
        letter = story.dead(order)
        print(story.devctl("trace", order, "--logs", code=None))
        if pictures:
            story.devctl("send-task", "send_notification", "--count", "2000")
            wanted = ("retries-exhausted", "worker@", "/s")
            draw(story, pictures, "dash.svg", (100, 30), "dash", until=lambda screen: shows(screen, *wanted))
        story.repair()
        story.replay(letter)
        story.done(order)
        print(story.devctl("trace", order))
        if pictures:
            draw(story, pictures, "trace.svg", (80, 40), "trace", order)


def shows(screen: Any, *texts: str) -> bool:
    """Whether all of these are on it."""
    shown = "\n".join(screen.display)
    return all(text in shown for text in texts)


if __name__ == "__main__":
    main()
