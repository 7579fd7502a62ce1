"""Is it alive? A worker touches a file while it consumes; `python -m common_tasks.health` looks at it, or asks by HTTP.

Standard library only, and little of it: a container runs the probe every few seconds."""

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

TOUCH_SECONDS = 2.0
MAX_AGE_SECONDS = 15.0
HTTP_TIMEOUT_SECONDS = 3.0

USAGE = """usage: python -m common_tasks.health file PATH [--max-age SECONDS]
       python -m common_tasks.health http URL"""


class Heartbeat:
    """Touches `path` from a thread of its own while `alive()`: a long task in the main thread does not stop it."""

    def __init__(self, path: Path, alive: Callable[[], bool], interval_seconds: float = TOUCH_SECONDS) -> None:
        self.path, self.alive, self.interval_seconds = path, alive, interval_seconds
        self._wake = threading.Event()
        self._stopped = False

    def start(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)  # of a former run: this one has yet to show that it consumes
        threading.Thread(target=self._run, name="heartbeat", daemon=True).start()

    def beat(self) -> None:
        """Look now, not at the next turn."""
        self._wake.set()

    def stop(self) -> None:
        self._stopped = True
        self._wake.set()
        self.path.unlink(missing_ok=True)

    def _run(self) -> None:
        while not self._stopped:
            if self.alive():
                self.path.touch()
            self._wake.wait(self.interval_seconds)
            self._wake.clear()


def check_file(path: str, max_age_seconds: float) -> str | None:
    """What is wrong, or None."""
    try:
        age = time.time() - Path(path).stat().st_mtime
    except FileNotFoundError:
        return f"{path} is not there: the worker does not consume yet"
    if age > max_age_seconds:
        why = "the worker has lost its broker, or hangs"
        return f"{path} was touched {age:.0f} s ago, more than {max_age_seconds:g}: {why}"
    return None


def check_http(url: str) -> str | None:
    """What is wrong, or None."""
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=HTTP_TIMEOUT_SECONDS):  # noqa: S310  the URL is the operator's
            return None
    except HTTPError as exc:
        return f"{url} answered {exc.code}: {exc.read(500).decode(errors='replace')}"
    except (URLError, OSError, ValueError) as exc:
        return f"{url} does not answer: {getattr(exc, 'reason', exc)}"


def main(arguments: list[str]) -> int:
    match arguments:
        case ["file", path]:
            problem = check_file(path, MAX_AGE_SECONDS)
        case ["file", path, "--max-age", seconds] if seconds.replace(".", "", 1).isdigit():
            problem = check_file(path, float(seconds))
        case ["http", url]:
            problem = check_http(url)
        case _:
            print(USAGE, file=sys.stderr)  # noqa: T201  a command
            return 2
    print(problem or "ok")  # noqa: T201  a command; the container engine keeps it
    return 1 if problem else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
