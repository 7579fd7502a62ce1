"""The worker program: Celery's own, with what an app of ours needs. `celery -A proj worker` runs it for an app that is
installed; `run_worker` runs it in this process, until a SIGTERM."""

import gc
import logging
import math
import os
import socket
import threading
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import signals
from celery.concurrency import get_implementation
from celery.exceptions import ImproperlyConfigured

from celeriac import debugger
from celeriac.app.installation import POOL, SCHEMES, add_usual, is_ours, storing_settings
from celeriac.broker.lists import named_by
from celeriac.broker.options import Options
from celeriac.errors import SettingsError
from celeriac.events import emit, logger
from celeriac.worker.heartbeat import Heartbeat
from celeriac.worker.vitals import Vitals, ping_of

if TYPE_CHECKING:
    from celery import Celery

    from celeriac.app.settings import WorkerSettings


HEARTBEAT_SECONDS = 30  # Celery's default is 2; monitors wait for two heartbeats
GREEN = (
    "celeriac: the pool {pool} is not supported: it has no event loop that our claims could use. Take -P threads with "
    "a greater -c; or delete the line celeriac.install(app), and the app runs on stock Celery again"
)
CHILDREN = ("max_tasks_per_child", "max_memory_per_child")


class Consumption:
    """Whether this process consumes: it is bound to its queues and connected to the broker."""

    def __init__(self) -> None:
        self._consumer: Any = None
        self.stopping = False
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
        self._consumer, self.stopping = None, True


class Program:
    """Over the class of Celery's worker, of an app that is ours.

    Settings of its own: `worker_health_file`, into which it writes every two seconds what
    `python -m celeriac.health file PATH` judges; `worker_stop_seconds`, what tasks have to end at a stop (without it,
    as with Celery, a stop waits for them)."""

    if TYPE_CHECKING:  # of Celery's worker
        app: Any
        pool_cls: Any
        concurrency: Any
        prefetch_multiplier: int
        exitcode: int | None
        _custom_logging: bool

    consumption: Consumption | None = None
    remarks: tuple[str, ...] = ()

    def on_before_init(self, *args: Any, **options: Any) -> None:
        conf = self.app.conf
        try:
            ours = is_ours(self.app)
            Options.of(conf.broker_transport_options)
            named_by(conf.broker_transport_options)
        except (ImproperlyConfigured, ValueError) as exc:
            raise _refused(str(exc)) from exc
        if ours and self.app.has_own_settings:
            add_usual(conf, storing_settings())
            backend = self.app.backend  # it may have been made before
            backend.always_retry = conf.result_backend_always_retry
            backend.base_sleep_between_retries_ms = conf.result_backend_base_sleep_between_retries_ms
            backend.max_sleep_between_retries_ms = conf.result_backend_max_sleep_between_retries_ms
            seconds = conf.get("worker_stop_seconds")
            self.app.stop_seconds = math.inf if seconds is None else float(seconds)  # our pool looks there
        super().on_before_init(*args, **options)  # type: ignore[misc]  # Celery's

    def setup_defaults(self, *args: Any, **options: Any) -> None:
        super().setup_defaults(*args, **options)  # type: ignore[misc]  # Celery's
        if is_ours(self.app):
            self.pool_cls = _pool(self.pool_cls, self.app.conf.worker_pool)
        elif _is_ours(self.pool_cls):  # memory://
            self.pool_cls = "threads"

    def prepare_args(self, **options: Any) -> dict[str, Any]:
        """Options that are about child processes, for a pool of threads."""
        options = super().prepare_args(**options)  # type: ignore[misc]  # Celery's
        if not is_ours(self.app) or not _is_ours(self.pool_cls):
            return options
        if options.get("autoscale"):
            self.concurrency = _most(options["autoscale"])
            options["autoscale"] = None
            self.remarks += (f"--autoscale is for -P prefork; {self.concurrency} threads are started at once",)
        self.remarks += tuple(
            f"{name} is about child processes: it does nothing in threads; it works with -P prefork"
            for name in CHILDREN
            if getattr(self, name, None)
        )
        return options

    def on_init_blueprint(self) -> None:
        super().on_init_blueprint()  # type: ignore[misc]  # Celery's
        if not getattr(self, "_custom_logging", True):
            logger.addFilter(_spell_out)

    def start(self) -> None:
        self._answer()
        heartbeat = self._heartbeat()
        try:
            metrics = getattr(self.app, "metrics", None)
            if metrics is not None and not (is_ours(self.app) and _is_ours(self.pool_cls)):
                metrics.of_celerys_pool()
            if is_ours(self.app):
                self._prepare()
            super().start()  # type: ignore[misc]  # Celery's
        finally:
            if heartbeat:
                heartbeat.stop()

    def _prepare(self) -> None:
        debugger.install()
        for remark in self.remarks:
            emit("worker.option_unused", level=logging.WARNING, remark=remark)
        signals.worker_shutting_down.connect(self._end_in_time, weak=False)
        # All objects that exist now will stay, so the garbage collector need not look at them again. And messages are
        # many small objects without cycles: they should not start the collector every few dozen messages.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)

    def _answer(self) -> None:
        """Probes and metrics of an app with settings of its own."""
        conf = self.app.conf
        host, port = conf.get("worker_http_host") or "127.0.0.1", conf.get("worker_http_port")
        if not port:
            return
        answering: Any = import_module("celeriac.worker.answering")  # late: most plain workers answer nothing
        listen = import_module("celeriac.worker.endpoints").listen
        try:
            listener = listen(host, int(port), named="worker_http_host={}, worker_http_port={}")
        except (SettingsError, ValueError) as exc:
            raise _refused(f"celeriac: {exc}") from exc
        self.consumption = self.consumption or Consumption()
        queues = list(self.app.amqp.queues.consume_from)
        answering.answer(listener, self.app, answering.redis_ping(self.app), queues, self.consumption.alive)

    def _heartbeat(self) -> Heartbeat | None:
        path = self.app.conf.get("worker_health_file")
        if not path and self.consumption is None:
            return None
        consumption = self.consumption or Consumption()
        ping = ping_of(self.app) if _on_redis(self.app) else None
        self.app.vitals = vitals = Vitals(self.app, consumption, ping)
        heartbeat = Heartbeat(Path(path) if path else None, vitals.look)
        heartbeat.clear()
        # Not before: the pool must not fork its children beside a thread.
        for thread in (heartbeat, ping) if ping else (heartbeat,):
            consumption.on_ready(thread.start)
        return heartbeat

    def _end_in_time(self, **_: Any) -> None:
        """End a stop after these seconds. Celery's own pools would wait until all tasks have ended. (Our pool does this
        by itself.)"""
        intake = getattr(self.app, "intake", None)
        seconds = getattr(self.app, "stop_seconds", math.inf)
        if intake is not None and intake.celery_pool is not None and seconds < math.inf:
            timer = threading.Timer(seconds, intake.overdue)
            timer.daemon = True
            timer.start()


@cache
def ours(kind: type[Any]) -> type[Any]:
    """Celery's worker, or an app's own, with ours over it."""
    return type(kind.__name__, (Program, kind), {"__module__": kind.__module__})


def _on_redis(app: Any) -> bool:
    url = app.conf.broker_write_url
    return all(str(one).startswith(SCHEMES) for one in ([url] if isinstance(url, str) else url or [""]))


def _pool(chosen: Any, usual: Any) -> Any:
    """The pool: `threads` is ours. `usual`: the setting worker_pool. Raises for pools without an event loop."""
    kind = get_implementation(chosen)
    name = f"{kind.__module__}:{kind.__qualname__}"
    if name.startswith(("celery.concurrency.gevent", "celery.concurrency.eventlet")):
        raise _refused(GREEN.format(pool=name.split(":")[0].rpartition(".")[2]))
    if name == "celery.concurrency.thread:TaskPool":
        return POOL
    # Celery takes `-P prefork` for "nothing said" where worker_pool is set, and by default we have set it.
    if _is_ours(kind) and usual == POOL and _said_in_the_command("pool"):
        return "prefork"
    return kind


def _is_ours(pool: Any) -> bool:
    return bool(get_implementation(pool) is get_implementation(POOL))


def _command() -> Any:
    """The context of Celery's command, if that runs."""
    return import_module("click").get_current_context(silent=True)


def _said_in_the_command(option: str) -> bool:
    context = _command()
    source = context and context.get_parameter_source(option)
    return source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")


def _refused(why: str) -> Exception:
    """One line in a command; an exception elsewhere."""
    if _command() is None:
        return ImproperlyConfigured(why)
    error: Exception = import_module("click").ClickException(why)
    return error


def _most(autoscale: Any) -> int:
    """Of `--autoscale`: "10,3", or both as numbers."""
    return max(int(one) for one in (autoscale.split(",") if isinstance(autoscale, str) else autoscale) if one)


def _spell_out(record: logging.LogRecord) -> bool:
    """Celery's format of a line shows no fields: they are added to its text."""
    fields = getattr(record, "fields", None)
    if fields:
        record.msg = " ".join([str(record.msg), *(f"{name}={value!r}" for name, value in fields.items())])
        record.fields = {}
    return True


def node_name(service: str) -> str:
    return f"{service}@{socket.gethostname()}-{os.getpid()}"


def run_worker(app: "Celery", settings: "WorkerSettings", consumption: Consumption | None = None) -> int:
    """Consume until told to stop; the exit code. SIGTERM: takes nothing new, finishes what runs."""
    for mount in settings.mounts:
        mount(app)
    if settings.health_file:
        app.conf.update(worker_health_file=settings.health_file)
    app.stop_seconds = settings.stop_seconds  # type: ignore[attr-defined]  # our pool looks there
    signals.setup_logging.connect(_keep_our_logging)
    worker = _program(app)(
        hostname=node_name(app.main),
        queues=_queues(app, settings),
        concurrency=settings.concurrency,
        time_limit=settings.max_run_seconds,
        pool=settings.pool.value,
        quiet=True,
        # Messages between workers that are not needed here; each kind costs start-up time and a subscription.
        without_gossip=True,
        # Our transport keeps in Redis what is revoked. With kombu's, a worker asks the others.
        without_mingle=bool(app.conf.broker_transport),
        # Without it nobody could switch events on from outside, and Flower would not see this worker.
        without_heartbeat=False,
        heartbeat_interval=HEARTBEAT_SECONDS,
    )
    worker.consumption = consumption
    worker.start()
    exit_code = int(worker.exitcode or 0)
    intake = getattr(app, "intake", None)
    emit("worker.stopped", exit_code=exit_code, **_counted(intake))
    return exit_code


def _counted(intake: Any) -> dict[str, Any]:
    """What this process has committed, and how many leases it has lost."""
    return {} if intake is None else {**vars(intake.committer.counters), "lost": intake.leases.lost}


def _queues(app: Any, settings: "WorkerSettings") -> list[str]:
    return [name.strip() for name in settings.queues.split(",") if name.strip()] or list(app.owned_queues)


def _program(app: Any) -> Any:
    """The app's worker, without its banner."""
    apps_worker: Any = import_module("celery.apps.worker")  # celery-types knows half of it

    class Quiet(app.Worker):  # type: ignore[misc]  # its base is made when it is asked for
        def install_platform_tweaks(self, worker: Any) -> None:
            super().install_platform_tweaks(worker)
            # SIGHUP stops it, too. Celery would restart `python main.py`, but this process was started in another way.
            for name in ("SIGTERM", "SIGHUP"):
                apps_worker.install_worker_term_handler(worker, sig=name, verbose=False)

    return Quiet


def _keep_our_logging(**_: Any) -> None:
    """A receiver of this signal tells Celery to leave the logging alone."""
