"""Every Celery setting of this stack, in one place."""

import os
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from redis.backoff import NoBackoff
from redis.retry import Retry

from celeriac.broker.url import missing_file, parse
from celeriac.environment import Settings
from celeriac.logs import LogFormat

if TYPE_CHECKING:
    from celery import Celery

# The visibility timeout of kombu's own transport, and of stock workers beside ours. kombu renews nothing: a message
# that is not acknowledged in this time goes to another worker, even if it runs or waits for its ETA. So the time must
# be longer than the longest countdown (our retries wait at most 60 s) plus the longest run (14 minutes remain for it).
# It is also the time until the messages of a killed stock worker come back.
VISIBILITY_TIMEOUT_SECONDS = 900
SHORTEST_VISIBILITY_SECONDS, LONGEST_VISIBILITY_SECONDS = 120, 30 * 24 * 3600
LONGEST_RESULT_SECONDS = 30 * 24 * 3600
MOST_MESSAGES = 1_000_000_000  # of any bound: more fit into no Redis


def _check_redis_url(value: str) -> str:
    parse(value)
    return value


def _check_file_to_write(path: Path) -> Path:
    folder = next(one for one in path.absolute().parents if one.exists())  # the others are made
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ValueError("it names no file that this process can write")
    return path


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(lambda text: str(text).upper())]
RedisUrl = Annotated[str, AfterValidator(_check_redis_url)]


class TransportKind(StrEnum):
    ATOMIC = "atomic"  # ours: a claim is one atomic step, and so is an outcome
    STOCK = "stock"  # kombu's own


class CelerySettings(Settings):
    """Where the broker is: CELERY_BROKER_URL and its kin."""

    prefix: ClassVar[str] = "CELERY_"

    broker_url: RedisUrl = "redis://localhost:6379/0"
    result_backend: RedisUrl | None = None  # none: the broker, so that an outcome can be one step
    sentinel_master: str | None = None  # the master's name at the sentinels, for sentinel://
    sentinel_password: str | None = None  # of the sentinels; that of Redis is in the URL
    visibility_timeout: int = Field(
        default=VISIBILITY_TIMEOUT_SECONDS, ge=SHORTEST_VISIBILITY_SECONDS, le=LONGEST_VISIBILITY_SECONDS
    )
    # Seconds. Results need most of the memory that a task leaves in use, and callers read them within minutes.
    result_expires: int = Field(default=4 * 3600, ge=60, le=LONGEST_RESULT_SECONDS)
    transport: TransportKind = TransportKind.ATOMIC
    lease_seconds: float = Field(default=60.0, ge=1, le=3_600)  # plus 5 s: until a dead worker's messages are back
    queue_bound: int = Field(
        default=100_000, ge=1, le=MOST_MESSAGES
    )  # messages of a queue; a publish beyond it is refused
    # Of a queue; at it, the queue is no longer claimed from.
    dead_letter_bound: int = Field(default=10_000, ge=1, le=MOST_MESSAGES)
    max_starts: int = Field(default=5, ge=1, le=100)  # of a message whose workers die; then it is a dead letter
    # What is written down of the steps of messages: entries (0: nothing is written), seconds, bytes of Redis's memory.
    life_length: int = Field(default=100_000, ge=0, le=MOST_MESSAGES)
    life_seconds: float = Field(default=86_400.0, ge=1, le=LONGEST_RESULT_SECONDS)
    life_bytes: int = Field(default=64 * 1024 * 1024, ge=1024 * 1024)

    @model_validator(mode="after")
    def _master_is_named(self) -> Self:
        if not self.sentinel_master and any(map(behind_sentinel, (self.broker_url, self.results_url))):
            raise ValueError("CELERY_SENTINEL_MASTER is not set: sentinel:// needs the name of the master")
        return self

    def wrong_here(self) -> Iterator[str]:
        """Settings that are wrong on this machine, though well written."""
        for variable, url in (("BROKER_URL", self.broker_url), ("RESULT_BACKEND", self.results_url)):
            if name := missing_file(url):
                yield f"CELERY_{variable} is wrong: {name} names no file that this process can read"

    @property
    def results_url(self) -> str:
        return self.result_backend or self.broker_url


def behind_sentinel(url: str) -> bool:
    return url.startswith("sentinel://")


class Pool(StrEnum):
    PREFORK = "prefork"
    THREADS = "threads"
    SOLO = "solo"


class WorkerSettings(Settings):
    """How a worker runs: WORKER_CONCURRENCY and its kin."""

    prefix: ClassVar[str] = "WORKER_"

    concurrency: int = Field(default=1, ge=1, le=1_000)
    pool: Pool = Pool.THREADS
    max_run_seconds: float = Field(default=300.0, ge=0.01, le=86_400)  # of a task without a time limit of its own
    stop_seconds: float = Field(default=25.0, ge=0, le=86_400)  # for what runs; less than the platform grants
    health_file: Annotated[Path, AfterValidator(_check_file_to_write)] | None = None
    queues: str = ""  # comma separated; empty: the queues of the contracts it owns
    # Comma separated modules. Each has a function `mount`, which gets the app before the worker starts: to own more
    # tasks, to observe their runs.
    mount: str = ""

    @property
    def mounts(self) -> "list[Callable[[Celery], None]]":
        return [import_module(name).mount for name in _names(self.mount)]

    def wrong_here(self) -> Iterator[str]:
        """Modules that are not there, or have nothing to mount."""
        for name in _names(self.mount):
            try:
                module = import_module(name)
            except Exception as exc:  # whatever a module does when it is imported
                why = f"{type(exc).__name__}: {' '.join(str(exc).split())}"
                yield f"WORKER_MOUNT is wrong: {name} cannot be imported: {why}"
            else:
                if not callable(getattr(module, "mount", None)):
                    yield f"WORKER_MOUNT is wrong: {name} has no function mount(app)"


class LogSettings(Settings):
    """What is logged, and how: LOG_LEVEL, LOG_FORMAT."""

    prefix: ClassVar[str] = "LOG_"

    level: LogLevel = "INFO"
    format: LogFormat = LogFormat.AUTO


class HttpSettings(Settings):
    """Where a service answers over HTTP: HTTP_HOST and HTTP_PORT."""

    prefix: ClassVar[str] = "HTTP_"

    host: str = "127.0.0.1"
    port: int | None = Field(
        default=None, ge=1, le=65_535
    )  # none: the service's own; a worker without one answers none


class Routed(Protocol):
    """A contract, as far as its route matters."""

    @property
    def name(self) -> str: ...
    @property
    def queue(self) -> str: ...


def celery_settings(
    settings: CelerySettings, routes: Mapping[str, Any] | None = None, patience_seconds: float | None = None
) -> dict[str, Any]:
    """What every app of this stack is configured with, client or worker."""
    return {
        "task_routes": dict(routes or {}),  # a contract's queue also for callers that know only its name
        "task_default_queue": "default",
        # JSON only: unpickling a message would run whatever its sender likes.
        "task_protocol": 2,
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "result_accept_content": ["json"],
        "enable_utc": True,
        "timezone": "UTC",
        # At least once: a message is acknowledged when it is done, and given back when its process died.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        # A failure is an outcome: a dead letter is written, and the message is acknowledged. So is a time-out in
        # Celery's own pools: if it came back, a task that always hangs would occupy a worker for ever.
        "task_acks_on_failure": True,
        "task_acks_on_timeout": True,
        # A message that waits in the memory of a worker cannot be started by another one. Our claims take as many
        # messages as fit the time that tasks need, so they need no limit here (0). kombu's own takes one at a time.
        "worker_prefetch_multiplier": 0 if settings.transport is TransportKind.ATOMIC else 1,
        "task_track_started": True,  # GET /api/orders/{id} tells "started"
        # When the connection to the broker is lost, running tasks go on to their end.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        # If Redis is busy, full or read-only when a worker connects, the worker waits for it.
        "worker_consumer": "celeriac.run.consumer:Consumer",
        "worker_send_task_events": False,
        "task_send_sent_event": False,
        "worker_redirect_stdouts": False,
        "worker_hijack_root_logger": False,
        **transport_settings(settings, patience_seconds),
    }


def transport_settings(settings: CelerySettings, patience_seconds: float | None = None) -> dict[str, Any]:
    """How messages and results get to Redis and back. With `patience_seconds` (a user waits for the answer), nothing is
    tried twice, and no network wait is longer than that."""
    connect_timeout, socket_timeout = (2.0, 5.0) if patience_seconds is None else (patience_seconds, patience_seconds)
    retries = 3 if patience_seconds is None else 0
    patience = {"max_retries": retries, "interval_start": 0.1, "interval_step": 0.3, "interval_max": 1.0}
    return {
        # Celery prefers CELERY_BROKER_URL of the environment to `broker_url` here, and the read and write URLs to both.
        "broker_url": settings.broker_url,
        "broker_read_url": settings.broker_url,
        "broker_write_url": settings.broker_url,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # a worker waits for its broker as long as it takes
        "broker_connection_timeout": connect_timeout,
        **atomic_settings(settings),
        "broker_transport_options": {
            "lease_seconds": settings.lease_seconds,
            "queue_bound": settings.queue_bound,
            "dead_letter_bound": settings.dead_letter_bound,
            "max_starts": settings.max_starts,
            "life_length": settings.life_length,
            "life_seconds": settings.life_seconds,
            "life_bytes": settings.life_bytes,
            "visibility_timeout": settings.visibility_timeout,
            "unacked_restore_interval": 5,  # with a throttle of 1: a stock worker's message is back within 5 s, not 100
            "unacked_restore_throttle": 1,
            "socket_timeout": socket_timeout,
            "socket_connect_timeout": connect_timeout,
            "socket_keepalive": True,
            "health_check_interval": 10,
            **patience,
            **sentinel_options(settings, settings.broker_url, connect_timeout),
        },
        "task_publish_retry": retries > 0,
        "task_publish_retry_policy": patience,
        "result_backend": settings.results_url,
        "result_backend_transport_options": {
            "retry_policy": {**patience, "timeout": socket_timeout},
            **sentinel_options(settings, settings.results_url, connect_timeout),
        },
        "result_expires": settings.result_expires,
        "redis_socket_timeout": socket_timeout,
        "redis_socket_connect_timeout": connect_timeout,
        "redis_socket_keepalive": not settings.results_url.startswith("redis+socket"),  # a Unix socket has none
        "redis_backend_health_check_interval": 10,
    }


def atomic_settings(settings: CelerySettings) -> dict[str, Any]:
    """The setting that names our transport. Without it, Celery takes kombu's own by the scheme of the URL."""
    if settings.transport is TransportKind.STOCK:
        return {}
    sentinel = behind_sentinel(settings.broker_url)
    return {"broker_transport": f"celeriac.claim.transport:{'SentinelTransport' if sentinel else 'Transport'}"}


def sentinel_options(settings: CelerySettings, url: str, timeout: float) -> dict[str, Any]:
    """Celery's options for a Redis that Sentinel names. A sentinel that is away is not asked twice."""
    if not behind_sentinel(url):
        return {}
    asked = {"socket_timeout": timeout, "socket_connect_timeout": timeout, "retry": Retry(NoBackoff(), 0)}
    if settings.sentinel_password:
        asked["password"] = settings.sentinel_password
    return {"master_name": settings.sentinel_master, "sentinel_kwargs": asked}
