"""What is on the dashboard's screen and what each key does. Keys come in by name, and lines go out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from devctl.dash.actions import Actions
from devctl.dash.model import Failure, QueueRow, ServiceRow, Snapshot, WorkerRow
from devctl.errors import DevctlError
from devctl.ui.cells import fit
from devctl.ui.dash import PLAIN, Brush, Key, keys, page

SAID_SECONDS = 15.0
HELP = (
    "up, down        select a row               tab, shift-tab  the next, the last section",
    "Enter           the way of the selected task through all services; of a service or a queue, its logs",
    "l               logs of what is selected: a service, a worker's or a queue's service, a task",
    "s               scale the selected service",
    "r               restart the selected service, or that of the selected worker",
    "p               pause the selected queue: no worker takes from it; again: resume it",
    "R               replay the dead letter of the selected failure: back into its queue",
    "D               drop it for ever",
    "q               end;   Esc: back;   Ctrl-Z: into the background, fg: back",
    "",
    "Rates are of the last ten seconds, curves of the last two minutes. With celeriac, RUNS shows what has run for",
    "0.2 s. With stock workers on Redis or RabbitMQ no rates are known, and there are no dead letters.",
)


class Views(Protocol):
    """What is read only when somebody asks for it: lines as wide as the terminal, or DevctlError."""

    def trace(self, task_id: str) -> Sequence[str]:
        """The way of a task."""

    def logs(self, services: Sequence[str], task_id: str) -> Sequence[str]:
        """The last lines of these services, or of all that concern a task."""


@dataclass
class _View:
    """A text that covers the page."""

    title: str
    read: Callable[[], Sequence[str]]
    lines: Sequence[str] = ()
    known: bool = False
    first: int = 0
    follows: bool = False
    """The newest is at the end: it stays there."""


@dataclass
class _Question:
    text: str
    act: Callable[[], str]
    doing: str


@dataclass
class _Number:
    text: str
    then: Callable[[int], _Question]
    typed: str = ""


def _beside(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True).start()


@dataclass
class Desk:
    """Its state. `start` runs a function beside this; `wake` has the screen drawn again."""

    actions: Actions
    views: Views
    brush: Brush = PLAIN
    wake: Callable[[], None] = lambda: None
    soon: Callable[[], None] = lambda: None
    """Something was done: look again."""
    start: Callable[[Callable[[], None]], None] = _beside
    snapshot: Snapshot | None = None
    ended: bool = False
    _at: Key | None = None
    _place: int = 0
    _view: _View | None = None
    _asking: _Question | _Number | None = None
    _doing: str = ""
    _said: str = ""
    _said_at: float = 0.0
    _leaving: bool = False
    _reading: bool = False
    _body: int = 20

    def show(self, snapshot: Snapshot) -> None:
        """Take a new one; the selection stays where it was, or near it."""
        self.snapshot = snapshot
        found = keys(snapshot)
        if self._at in found:
            self._place = found.index(self._at)
        else:
            self._place = max(0, min(self._place, len(found) - 1))
            self._at = found[self._place] if found else None

    def refresh(self) -> None:
        """Read what is open anew, and forget what was said a while ago."""
        if time.monotonic() - self._said_at > SAID_SECONDS:
            self._said = ""
        if self._view and self._view.follows:
            self._read(self._view)

    def lines(self, columns: int, rows: int) -> list[str]:
        """The whole screen."""
        self._body = rows - 1
        body = self._page(columns, rows - 1) if self._view is None else self._opened(self._view, columns, rows - 1)
        body += [""] * (rows - 1 - len(body))
        return [*body, self._foot(columns)]

    def key(self, key: str) -> None:
        """Take a key in."""
        if not key:
            return
        self._said = ""
        if isinstance(self._asking, _Question):
            self._answer(self._asking, key)
        elif self._asking is not None:
            self._type(self._asking, key)
        elif key == "q":
            self._leave()
        elif self._view is not None:
            self._turn(self._view, key)
        elif work := _WORKS.get(key):
            work(self)

    def _page(self, columns: int, rows: int) -> list[str]:
        if self.snapshot is None:
            return [fit("reading what there is …", columns)]
        return page(self.snapshot, columns, rows, brush=self.brush, selected=self._at)

    def _opened(self, view: _View, columns: int, rows: int) -> list[str]:
        title = self.brush.pen(fit(view.title, columns), "bold")
        if not view.known:
            return [title, "", "reading …"]
        room = rows - 2
        last = max(0, len(view.lines) - room)
        view.first = max(0, min(view.first, last))
        more = f"  {view.first + 1} to {min(len(view.lines), view.first + room)} of {len(view.lines)}" if last else ""
        title = self.brush.pen(fit(view.title + more, columns), "bold")
        return [title, "", *view.lines[view.first : view.first + room]]

    def _foot(self, columns: int) -> str:
        if isinstance(self._asking, _Question):
            return self.brush.pen(fit(f"{self._asking.text}  y: yes, n: no", columns), "yellow")
        if self._asking is not None:
            return self.brush.pen(fit(f"{self._asking.text} {self._asking.typed}_  Enter, Esc", columns), "yellow")
        if self._said:
            return fit(self._said, columns)
        if self._doing:
            return fit(f"{self.brush.symbol('●')} {self._doing} …", columns)
        if self._view is not None:
            return self.brush.pen(fit("up, down, page up, page down: move   Esc: back   q: end", columns), "dim")
        return self.brush.pen(fit(self._possible(), columns), "dim")

    def _possible(self) -> str:
        """The keys that do something here."""
        of = {
            "services": "l: logs  s: scale  r: restart",
            "queues": "p: pause, resume  l: logs",
            "workers": "Enter: trace  l: logs  r: restart",
            "failures": "Enter: trace  l: logs  R: replay  D: drop",
        }
        return f"{of[self._at.section] if self._at else ''}  tab: next  ?: help  q: end".strip()

    def _leave(self) -> None:
        if self._doing and not self._leaving:
            self._leaving = True
            self._say("!", f"{self._doing}: it is not done yet; q again ends devctl all the same")
            return
        self.ended = True

    def _answer(self, question: _Question, key: str) -> None:
        self._asking = None
        if key in ("y", "Y"):
            self._do(question)
        else:
            self._say("·", "nothing was done")

    def _type(self, number: _Number, key: str) -> None:
        if key.isascii() and key.isdigit() and len(number.typed) < 3:
            number.typed += key
        elif key == "backspace":
            number.typed = number.typed[:-1]
        elif key == "enter" and number.typed:
            self._asking = number.then(int(number.typed))
        elif key in ("escape", "q", "enter"):
            self._asking = None
            self._say("·", "nothing was done")

    def _turn(self, view: _View, key: str) -> None:
        if key in ("escape", "enter", "backspace"):
            self._view = None
            return
        step = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": 3 - self._body, "page down": self._body - 3, " ": 10}
        far = {"home": -len(view.lines), "end": len(view.lines)}
        view.first += (step | far).get(key, 0)
        view.follows = view.follows and view.first >= len(view.lines) - self._body + 2

    def move(self, by: int) -> None:
        """Select another row."""
        found = keys(self.snapshot) if self.snapshot else []
        if found:
            self._place = max(0, min(self._place + by, len(found) - 1))
            self._at = found[self._place]

    def hop(self, by: int) -> None:
        """Select the first row of another section."""
        found = keys(self.snapshot) if self.snapshot else []
        sections = list(dict.fromkeys(one.section for one in found))
        if self._at and sections:
            wanted = sections[(sections.index(self._at.section) + by) % len(sections)]
            self._place = next(at for at, one in enumerate(found) if one.section == wanted)
            self._at = found[self._place]

    def help(self) -> None:
        """All keys."""
        self._view = _View("Keys", lambda: HELP, HELP, known=True)

    def enter(self) -> None:
        """The way of the selected task; for what is none, its logs."""
        run = self._at.more if self._at and self._at.section == "workers" else ""
        task_id = run or (failure.task_id if (failure := self._failure()) else "")
        if task_id:
            self._open(_View(f"Trace of {task_id}", lambda: self.views.trace(task_id), follows=True))
        else:
            self.logs()

    def logs(self) -> None:
        """What the selected one writes."""
        if failure := self._failure():
            self._open_logs((), failure.task_id)
        elif self._at and self._at.section == "workers" and self._at.more:
            self._open_logs((), self._at.more)
        elif service := self._service_name():
            self._open_logs((service,), "")
        else:
            self._say("!", "nothing tells whose logs these would be")

    def scale(self) -> None:
        """Another number of replicas."""
        service = self._service()
        if service is None:
            self._say("!", "select a service first: tab")
        elif not service.scalable:
            self._say("!", f"{service.name} is there once: it has a fixed port or name, or is the broker")
        else:
            name = service.name

            def ask(count: int) -> _Question:
                return _Question(
                    f"Scale {name} from {service.replicas} to {count}?",
                    lambda: self.actions.scale(name, count),
                    f"scaling {name} to {count}",
                )

            self._asking = _Number(f"Replicas of {name} (now {service.replicas}):", ask)

    def restart(self) -> None:
        """Of the selected service, or the worker's."""
        name = self._service_name() if self._at and self._at.section in ("services", "workers") else ""
        if not name:
            self._say("!", "select a service first: tab")
            return
        self._asking = _Question(f"Restart {name}?", lambda: self.actions.restart(name), f"restarting {name}")

    def pause(self) -> None:
        """Or resume."""
        queue = self._queue()
        if queue is None:
            self._say("!", "select a queue first: tab")
        elif queue.paused:
            self._asking = _Question(
                f"Have {queue.name} consumed again?", lambda: self.actions.resume(queue.name), f"resuming {queue.name}"
            )
        else:
            self._asking = _Question(
                f"Pause {queue.name}: no worker takes from it until it is resumed?",
                lambda: self.actions.pause(queue.name),
                f"pausing {queue.name}",
            )

    def replay(self) -> None:
        """The dead letter of the selected failure."""
        if failure := self._with_letter():
            letter = failure.letter_id
            self._asking = _Question(
                f"Put {failure.task or letter} back into {failure.queue}?",
                lambda: self.actions.replay(letter),
                f"replaying {letter}",
            )

    def drop(self) -> None:
        """For ever."""
        if failure := self._with_letter():
            letter = failure.letter_id
            self._asking = _Question(
                f"Drop the dead letter of {failure.task or letter} for ever?",
                lambda: self.actions.drop(letter),
                f"dropping {letter}",
            )

    def _with_letter(self) -> Failure | None:
        failure = self._failure()
        if failure and failure.letter_id:
            return failure
        self._say("!", "this one has no dead letter (any more)" if failure else "select a failure first: tab")
        return None

    def _failure(self) -> Failure | None:
        at, found = self._at, self.snapshot.failures if self.snapshot else ()
        if at is None or at.section != "failures":
            return None
        return next((one for one in found if one.task_id == at.name and at.more == f"{one.at:.3f} {one.kind}"), None)

    def _service(self) -> ServiceRow | None:
        at, found = self._at, self.snapshot.services if self.snapshot else ()
        return next((one for one in found if at == Key("services", one.name)), None)

    def _queue(self) -> QueueRow | None:
        at, found = self._at, self.snapshot.queues if self.snapshot else ()
        return next((one for one in found if at == Key("queues", one.name)), None)

    def _service_name(self) -> str:
        """The selected service, the worker's, or that of whoever consumes the selected queue."""
        if service := self._service():
            return service.name
        workers: Sequence[WorkerRow] = self.snapshot.workers if self.snapshot else ()
        if queue := self._queue():
            return next((one.service for one in workers if queue.name in one.queues and one.service), "")
        return next((one.service for one in workers if self._at and one.node == self._at.name), "")

    def _open_logs(self, services: Sequence[str], task_id: str) -> None:
        title = f"Logs of {task_id or ', '.join(services)}"
        self._open(_View(title, lambda: self.views.logs(services, task_id), follows=True, first=1_000_000))

    def _open(self, view: _View) -> None:
        self._view = view
        self._read(view)

    def _read(self, view: _View) -> None:
        if self._reading:
            return
        self._reading = True

        def work() -> None:
            try:
                lines = view.read()
            except DevctlError as problem:
                lines = _problem(problem)
            finally:
                self._reading = False
            at_end = view.first >= len(view.lines) - self._body + 2
            view.lines, known, view.known = lines, view.known, True
            if view.follows and at_end and (known or view.first):
                view.first = len(lines)
            self.wake()

        self.start(work)

    def _do(self, question: _Question) -> None:
        if self._doing:
            self._say("!", f"{self._doing}: wait until that is done")
            return
        self._doing, self._leaving = question.doing, False

        def work() -> None:
            try:
                said = question.act()
            except DevctlError as problem:
                self._doing = ""
                self._say("✘", problem.problem)
                if problem.details or problem.hint:
                    self._view = _View(problem.problem, lambda: (), _problem(problem), known=True)
            else:
                self._doing = ""
                self._say("✔", said)
            self.soon()
            self.wake()

        self.start(work)

    def _say(self, symbol: str, text: str) -> None:
        self._said, self._said_at = f"{self.brush.symbol(symbol)} {text}", time.monotonic()


_WORKS: dict[str, Callable[[Desk], None]] = {
    "up": lambda desk: desk.move(-1),
    "k": lambda desk: desk.move(-1),
    "down": lambda desk: desk.move(1),
    "j": lambda desk: desk.move(1),
    "page up": lambda desk: desk.move(-10),
    "page down": lambda desk: desk.move(10),
    "home": lambda desk: desk.move(-1_000),
    "end": lambda desk: desk.move(1_000),
    "tab": lambda desk: desk.hop(1),
    "back tab": lambda desk: desk.hop(-1),
    "enter": Desk.enter,
    "l": Desk.logs,
    "s": Desk.scale,
    "r": Desk.restart,
    "p": Desk.pause,
    "R": Desk.replay,
    "D": Desk.drop,
    "?": Desk.help,
    "h": Desk.help,
}


def _problem(problem: DevctlError) -> list[str]:
    return [problem.problem, "", *problem.details, *(f"→ {line}" for line in problem.hint.splitlines())]
