"""`Task.Strategy`: gives each task its runner; Celery's own strategy gets the messages that a runner declines.
`Task.Request`: notes which messages Celery rejects because their process died."""

from importlib import import_module
from typing import Any

from celery.exceptions import Ignore, Reject, Retry, WorkerLostError
from celery.worker import request
from celery.worker.strategy import default

from celeriac.broker.options import Options
from celeriac.claim.transport import ChannelMixin, address
from celeriac.life.pack import cause_of, error_text
from celeriac.outcome.commit import HOME
from celeriac.run.body import interruptible
from celeriac.run.intake import Intake
from celeriac.run.pool import TaskPool
from celeriac.run.runner import runner_of

WRAPPED: Any = import_module("billiard.einfo").ExceptionWithTraceback  # billiard has no types for it


def strategy(task: Any, app: Any, consumer: Any, **kwargs: Any) -> Any:
    """Celery calls this for each task, when the consumer starts and after each reconnect."""
    channel = consumer.connection.default_channel
    if isinstance(channel, ChannelMixin):
        intake: Intake | None = getattr(app, "intake", None)
        if intake is None:
            options = Options.of(consumer.connection.transport_options)
            intake = app.intake = Intake(app, channel, consumer.pool, consumer.hostname, options)
        HOME.app, HOME.committer = app, intake.committer
        HOME.broker_url, HOME.address = app.conf.broker_url, address(channel)
        intake.ends.eventer = consumer.event_dispatcher
        intake.attach(channel, consumer)
        if isinstance(consumer.pool, TaskPool):
            HOME.commits = consumer.pool.commits
            if getattr(task, "work", None) is None and not hasattr(task.run, "limits"):  # contracts do it in Work._run
                task.run = interruptible(task.run)
            # A request of a task's own wants to see its messages.
            runner = runner_of(task, app, consumer, intake) if task.Request is Request else None
            intake.runners[task.name] = None if runner is None else runner.run
    return default(task, app, consumer, **kwargs)


class Request(request.Request):
    """Celery's request, for messages that go its own way."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._request_dict: dict[str, Any]  # Celery's; celery-types does not know it
        if due_at := self._request_dict.get("due_at"):  # it waited in Redis; the body is told as if it had waited here
            self._request_dict["eta"] = due_at

    def on_timeout(self, soft: bool, timeout: float) -> None:
        self._note("FAILURE", "" if soft else f"TimeLimitExceeded: {timeout:g} s")
        super().on_timeout(soft, timeout)

    def _note(self, state: str, error: str) -> None:
        """For the record of the acknowledgement that follows."""
        intake: Intake | None = getattr(self.app, "intake", None)
        if error and intake is not None and intake.celery_pool is not None:
            intake.delivery.ended[self.message.delivery_tag] = state, error

    def on_failure(self, exc_info: Any, *args: Any, **kwargs: Any) -> Any:
        intake: Intake | None = getattr(self.app, "intake", None)
        error = getattr(exc_info.exception, "exc", exc_info.exception)  # billiard wraps some
        if intake is not None and isinstance(error, WorkerLostError | Reject):
            intake.delivery.died[self.message.delivery_tag] = isinstance(error, WorkerLostError)
        thrown = exc_info.exception
        thrown = thrown.exc if isinstance(thrown, WRAPPED) else thrown
        state = "RETRY" if isinstance(thrown, Retry) else "IGNORED" if isinstance(thrown, Ignore) else "FAILURE"
        self._note(state, error_text(cause_of(thrown)))
        return super().on_failure(exc_info, *args, **kwargs)
