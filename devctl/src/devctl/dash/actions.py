"""What can be done from the dashboard, the same for the terminal and the browser. Each asks nothing: who calls does."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from devctl.broker.nodes import service_of
from devctl.dash.sources import Sources
from devctl.errors import DevctlError, UsageError
from devctl.stack import start as starting
from devctl.stack.hearing import Ask
from devctl.stack.report import StartReport, failure

if TYPE_CHECKING:
    from devctl.broker.port import Broker

_Answer = TypeVar("_Answer")


class Actions:
    """Each does one thing and returns a sentence that says what has become of it, or raises DevctlError."""

    def __init__(self, sources: Sources) -> None:
        """Connects to nothing yet."""
        self._sources = sources
        self._port: Broker | None = None

    def scale(self, service: str, replicas: int) -> str:
        """Have so many replicas of a service, and wait until they are ready."""
        wanted = self._sources.stack.scale([f"{service}={replicas}"])
        self._sources.prepare()
        runtime = self._sources.runtime
        self._well(starting.start(runtime, [*wanted], scale=wanted, ask=self._ask()))
        return f"{service} has {replicas} replica{'s' * (replicas != 1)}"

    def restart(self, service: str) -> str:
        """Restart a service in place, and wait until it is ready; start it where it does not run."""
        (name,) = self._sources.stack.resolve([service])
        self._sources.prepare()
        runtime = self._sources.runtime
        if not any(one.service == name for one in runtime.status()):
            self._well(starting.start(runtime, [name], ask=self._ask()))
            return f"{name} was started"
        self._well(starting.restart(runtime, [name], ask=self._ask()))
        return f"{name} was restarted"

    def pause(self, queue: str) -> str:
        """Have no worker take anything more from a queue."""
        self._with(lambda broker: broker.pause(self._known(queue, broker)))
        return f"{queue} is paused: it takes messages in, and no worker takes one out"

    def resume(self, queue: str) -> str:
        """Have a queue consumed again."""
        self._with(lambda broker: broker.resume(self._known(queue, broker), consumers_of(queue, broker, self._sources)))
        return f"{queue} is consumed again"

    def replay(self, letter_id: str) -> str:
        """Put a dead letter back into its queue, if today's contract takes it."""
        from devctl.dead_letters import replay as replaying  # with the contracts, which who looks on does not need

        def work(broker: Broker) -> replaying.Report:
            tasks = self._sources.tasks()
            return replaying.run([self._letter(letter_id)], replaying.Plan(), broker, tasks, lambda event: None)

        report = self._with(work)
        if report.refused:
            raise DevctlError(
                "not replayed: today's contract does not take it",
                details=[str(one) for one in report.refused[0].flaws],
                hint=f"devctl dead-letters show {letter_id}{self._sources.option}",
            )
        if report.gone:
            raise self._gone(letter_id)
        letter, option = report.replayed[0], self._sources.option
        ids = {"task_id": letter.task_id, "correlation_id": letter.correlation_id, "letter": letter.id}
        about = {"task": letter.task, "queue": letter.queue, "reason": letter.reason, **ids}
        self._sources.note("task.replayed", about)
        return f"{letter.task} is back in {letter.queue}: devctl trace {letter.task_id}{option}"

    def drop(self, letter_id: str) -> str:
        """Remove a dead letter for ever."""
        if not self._with(lambda broker: broker.drop([self._letter(letter_id)])):
            raise self._gone(letter_id)
        return f"the dead letter {letter_id} is gone for ever"

    def _known(self, queue: str, broker: Broker) -> str:
        """The queue, where there is one: a name with a slip in it would be paused for ever, and nobody would notice."""
        names = list(dict.fromkeys([*self._sources.queues(), *broker.paused()]))
        known = [one.name for one in broker.queues(names)]
        if queue not in known:
            near = difflib.get_close_matches(queue, known, n=1)
            raise UsageError(
                f"no queue {queue!r} here" + (f": did you mean {near[0]}?" if near else ""),
                hint=f"queues: {', '.join(known)}" if known else "devctl queues shows them",
            )
        return queue

    def _letter(self, letter_id: str) -> str:
        queue, _, number = letter_id.rpartition("/")
        if not queue or not number.replace("-", "").isdigit():
            raise UsageError(f"not the id of a dead letter: {letter_id}", hint="it is QUEUE/MILLISECONDS-NUMBER")
        return letter_id

    def _gone(self, letter_id: str) -> DevctlError:
        return DevctlError(
            f"no dead letter {letter_id}: it was replayed or dropped before",
            hint=f"devctl dead-letters list{self._sources.option}",
        )

    def _well(self, report: StartReport) -> None:
        if problem := failure(report, self._sources.name):
            raise problem

    def _ask(self) -> Ask:
        return lambda: [one.node for one in self._with(lambda broker: broker.consumers(timeout=0.5))]

    def _with(self, work: Callable[[Broker], _Answer]) -> _Answer:
        """Do it with a connection that is kept as long as it works."""
        broker = self._port = self._port or self._sources.connect()
        try:
            return work(broker)
        except DevctlError:
            self._port = None
            raise


def consumers_of(queue: str, broker: Broker, sources: Sources) -> list[str] | None:
    """The workers that are to consume a queue by the files; None where the broker knows it, or no file says it."""
    owner = sources.owners().get(queue)
    if broker.celeriac or owner is None or queue in broker.paused():
        return None
    replicas, services = sources.runtime.status(), sources.stack.services
    return [one.node for one in broker.consumers() if service_of(one.node, replicas, services) == owner] or None
