"""Run a Celery worker in this process, until a SIGTERM."""

import gc
import os
import socket
import threading
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from celery import signals

from celeriac.events import emit
from celeriac.worker.heartbeat import Heartbeat

if TYPE_CHECKING:
    from celery import Celery

    from celeriac.app.settings import WorkerSettings


HEARTBEAT_SECONDS = 30  # Celery's default is 2; monitors wait for two heartbeats


class Consumption:
    """Whether this process consumes: it is bound to its queues and connected to the broker."""

    def __init__(self) -> None:
        self._consumer: Any = None
        self._listeners: list[Callable[[], None]] = []
        signals.worker_ready.connect(self._ready, weak=False)
        signals.worker_shutting_down.connect(self._ends, weak=False)

    def alive(self) -> bool:
        # While Celery reconnects it has no connection, and no task consumer before it is bound again.
        consumer = self._consumer
        if consumer is None:
            return False
        connection = consumer.connection
        return consumer.task_consumer is not None and connection is not None and bool(connection.connected)

    def on_ready(self, listener: Callable[[], None]) -> None:
        self._listeners.append(listener)

    def _ready(self, sender: Any, **_: Any) -> None:
        self._consumer = sender
        for listener in self._listeners:
            listener()

    def _ends(self, **_: Any) -> None:
        self._consumer = None


def node_name(service: str) -> str:
    return f"{service}@{socket.gethostname()}-{os.getpid()}"


def run_worker(app: "Celery", settings: "WorkerSettings", consumption: Consumption | None = None) -> int:
    """Consume until told to stop; the exit code. SIGTERM: takes nothing new, finishes what runs."""
    consumption = consumption or Consumption()
    heartbeat = Heartbeat(settings.health_file, consumption.alive) if settings.health_file else None
    if heartbeat:
        heartbeat.clear()
        consumption.on_ready(heartbeat.start)  # not before: the pool must not fork its children beside a thread
    app.stop_seconds = settings.stop_seconds  # type: ignore[attr-defined]  # our pool looks there
    signals.setup_logging.connect(_keep_our_logging)
    worker = _program()(
        app=app,
        hostname=node_name(app.main),
        queues=_queues(app, settings),
        concurrency=settings.concurrency,
        time_limit=settings.max_run_seconds,
        pool=_pool(app, settings),
        quiet=True,
        # Messages between workers that are not needed here; each kind costs start-up time and a subscription.
        without_gossip=True,
        # Our transport keeps in Redis what is revoked. With kombu's, a worker asks the others.
        without_mingle=bool(app.conf.broker_transport),
        # Without it nobody could switch events on from outside, and Flower would not see this worker.
        without_heartbeat=False,
        heartbeat_interval=HEARTBEAT_SECONDS,
    )
    if app.conf.broker_transport:
        for task in app.tasks.values():  # also tasks with a base class of their own
            task.Request = "celeriac.run.strategy:Request"
        signals.worker_shutting_down.connect(partial(_end_in_time, app, settings.stop_seconds), weak=False)
    # All objects that exist now will stay, so the garbage collector need not look at them again. And messages are many
    # small objects without cycles: they should not start the collector every few dozen messages.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    try:
        worker.start()
    finally:
        if heartbeat:
            heartbeat.stop()
    exit_code = int(worker.exitcode or 0)
    intake = getattr(app, "intake", None)
    emit("worker.stopped", exit_code=exit_code, **(vars(intake.committer.counters) if intake else {}))
    return exit_code


def _end_in_time(app: Any, seconds: float, **_: Any) -> None:
    """End a stop after these seconds. Celery's own pools would wait until all tasks have ended. (Our pool does this
    by itself.)"""
    intake = getattr(app, "intake", None)
    if intake is not None and intake.foreign is not None:
        timer = threading.Timer(seconds, intake.overdue)
        timer.daemon = True
        timer.start()


def _pool(app: "Celery", settings: "WorkerSettings") -> str:
    """With our transport, `threads` is our pool: it commits an outcome in one step."""
    if settings.pool.value == "threads" and app.conf.broker_transport:
        return "celeriac.run.pool:TaskPool"
    return settings.pool.value


def _queues(app: Any, settings: "WorkerSettings") -> list[str]:
    return [name.strip() for name in settings.queues.split(",") if name.strip()] or list(app.owned_queues)


def _program() -> Any:
    """Celery's worker program, without its banner. It is imported late: clients do not need it."""
    program: Any = import_module("celery.apps.worker")  # celery-types knows half of it

    class Program(program.Worker):  # type: ignore[misc]
        def install_platform_tweaks(self, worker: Any) -> None:
            super().install_platform_tweaks(worker)
            # SIGHUP stops it, too. Celery would restart `python main.py`, but this process was started in another way.
            for name in ("SIGTERM", "SIGHUP"):
                program.install_worker_term_handler(worker, sig=name, verbose=False)

    return Program


def _keep_our_logging(**_: Any) -> None:
    """A receiver of this signal tells Celery to leave the logging alone."""
