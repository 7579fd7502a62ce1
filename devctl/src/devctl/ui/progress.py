"""A start as it goes on: redrawn in place on a terminal; in a pipe a build is told, the rest by the result."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import IO, TYPE_CHECKING

from devctl.clock import Clock, SystemClock
from devctl.stack.port import BuildProgress
from devctl.stack.report import Building, Built, Event, Step
from devctl.ui.console import sign, talk
from devctl.ui.paint import Colour, Paint
from devctl.ui.units import duration

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

SIGNS: Mapping[str, tuple[str, Colour]] = {
    "waiting": ("·", "dim"),
    "starting": ("●", "yellow"),
    "building": ("●", "yellow"),
    "ready": ("✔", "green"),
    "finished": ("✔", "green"),
    "built": ("✔", "green"),
    "crashed": ("✘", "red"),
    "timed out": ("✘", "red"),
}
_REDRAWS_PER_SECOND = 8
_PHASE_WIDTH = len("timed out")
_BUILD_NOISE = re.compile(
    r"^#\d+ (?:\.\.\.|(?:\d+\.\d+|DONE|CACHED|sha256:|transferring|extracting|writing|naming|exporting)\b.*)?$"
)


class Progress:
    """Shows the events of a start, as its `emit`. Leaving the context takes the live view away: the result follows."""

    def __init__(self, services: Sequence[str], *, clock: Clock | None = None, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock or SystemClock()
        self._paint = Paint(self._stream)
        self._width = max((len(name) for name in services), default=0)
        self._rows: dict[str, Step] = {name: Step(name, "waiting", 0.0) for name in services}
        self._since: dict[str, float] = {}
        self._begun: float | None = None
        self._building: dict[str, str] = {}
        """Service -> the last thing its build said."""
        self._build_begun = 0.0
        self._live: Live | None = None

    def __enter__(self) -> Progress:
        if self._stream.isatty():
            from rich.live import Live

            self._live = Live(
                console=talk(), get_renderable=self._frame, transient=True, refresh_per_second=_REDRAWS_PER_SECOND
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case Building(services):
                self._build_begun = self._clock.now()
                self._building = dict.fromkeys(services, "")
                self._say(f"{self._sign('building')} building {', '.join(services)}")
            case BuildProgress(service, text):
                self._built_on(service, text)
            case Built(services, seconds):
                self._building = {}
                self._say(f"{self._sign('built')} built    {', '.join(services)} in {duration(seconds)}")
            case Step():
                if self._begun is None:
                    self._begun = self._clock.now() - event.seconds
                self._rows[event.service] = event

    def _built_on(self, service: str, text: str) -> None:
        if service in self._building and not _BUILD_NOISE.match(text):
            self._building[service] = text

    def _say(self, line: str) -> None:
        if not self._live:
            self._stream.write(line + "\n")
            self._stream.flush()

    def _frame(self) -> Text:
        from rich.text import Text

        width = talk().width - 1
        if self._building:
            seconds = self._clock.now() - self._build_begun
            lines = [self._build_row(name, text, seconds, width) for name, text in self._building.items()]
        elif self._begun is None:
            lines = []
        else:
            now = self._clock.now() - self._begun
            lines = [
                self._row(step, now if step.phase == "starting" else step.seconds, width)
                for step in self._rows.values()
            ]
        return Text("\n").join([Text.from_ansi(line) for line in lines])

    def _build_row(self, name: str, text: str, seconds: float, width: int) -> str:
        said = re.sub(r"^#\d+ (?:\[\S+ )?", "", text).replace("]", "", 1)
        detail = _cut(said, width - self._width - 22)
        return f"{self._sign('building')} {name.ljust(self._width)} {duration(seconds):>6}  building   {detail}"

    def _row(self, step: Step, seconds: float, width: int = 0) -> str:
        time = "" if step.phase == "waiting" else duration(seconds)
        head = f"{step.service.ljust(self._width)} {time:>6}  {step.phase.ljust(_PHASE_WIDTH)}"
        detail = _cut(step.detail, width - len(head) - 4) if width else step.detail
        return f"{self._sign(step.phase)} {head}  {self._paint(detail, 'dim')}".rstrip()

    def _sign(self, phase: str) -> str:
        symbol, colour = SIGNS[phase]
        return self._paint(sign(symbol, self._stream), colour)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 2)] + ".."
