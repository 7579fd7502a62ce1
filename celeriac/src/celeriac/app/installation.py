"""Makes any Celery app ours: the one place where that happens. `install(app)` is for apps with settings of their own;
`make_app` has all settings from CelerySettings.

An app that is ours has a class of its own, over the class it had: our result backends, our worker program, our
`app.control`."""

import threading
from functools import cache, cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar, cast

import kombu
from celery import Celery
from celery.app import backends
from celery.app.utils import Settings
from celery.exceptions import ImproperlyConfigured
from celery.local import Proxy
from kombu.utils.imports import symbol_by_name

from celeriac.app.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Iterator

A = TypeVar("A", bound=Celery)

OURS = "celeriac."
POOL = "celeriac.run.pool:TaskPool"
TRANSPORT = "celeriac.claim.transport:Transport"
SENTINEL_TRANSPORT = "celeriac.claim.transport:SentinelTransport"
SCHEMES = ("redis", "rediss", "redis+socket", "sentinel")
NOT_REDIS = (
    "celeriac.install(app): the broker of this app is {found}, and celeriac works with Redis only. Set broker_url to "
    "redis://, rediss://, redis+socket:// or sentinel://; or delete the line celeriac.install(app), and the app runs "
    "on stock Celery again"
)
PREFIXED = (
    "celeriac.install(app): broker_transport_options has a global_keyprefix, and celeriac's scripts do not know it. "
    "Give this app a Redis database of its own in broker_url, in place of the prefix (that of "
    "result_backend_transport_options may stay); or delete the line "
    "celeriac.install(app), and the app runs on stock Celery again"
)

# What a claim and an outcome rely on. The user's own settings do not count here: a task that is to be acknowledged
# before it runs says `acks_late=False` itself.
FORCED = {
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "worker_prefetch_multiplier": 0,  # a claim takes what fits the time that tasks need
    "worker_consumer": "celeriac.run.consumer:Consumer",
}
# The user's own settings count more than these.
USUAL = {"worker_pool": POOL, "broker_connection_retry_on_startup": True}


def storing_settings() -> dict[str, Any]:
    """For workers only: store a state again and again until Redis takes it. If it raised instead, Celery would neither
    acknowledge the message nor give it back, and the message would occupy its place in the worker for ever. Now the
    task ends when Redis takes writes again; if the worker is killed before, another one gets the message.

    Not for clients: Celery would also read a result again and again, whatever their time-out."""
    return {
        "result_backend_always_retry": True,
        "result_backend_base_sleep_between_retries_ms": 100,
        "result_backend_max_sleep_between_retries_ms": 5_000,
    }


def install(app: A) -> A:
    """Let this Celery app run on celeriac; the line stands right after `app = Celery(…)`. Settings may be read before
    it or come after it, also from Django (`namespace="CELERY"`). To install twice changes nothing. Returns the app.

    The first app that is installed in a process also publishes the contracts that are bound to no app.

    Raises TypeError for what is no Celery app. A broker that is not Redis is an ImproperlyConfigured as soon as
    somebody wants to connect to it."""
    found: Any = app
    if type(found) is Proxy:  # `current_app` is no app itself
        found = found._get_current_object()  # noqa: SLF001  there is no public way
    if not isinstance(found, Celery):
        raise TypeError(f"celeriac.install() takes a Celery app, and this is a {type(app).__name__}")
    installed: Any = found  # celery-types knows half of it
    if not getattr(installed, "has_own_settings", False):
        make_ours(installed)
        installed.has_own_settings = True
        installed.on_after_configure.connect(_configured, weak=False)
        if installed.configured:
            _configured(source=installed.conf)
        for task in list(installed._tasks.values()):  # noqa: SLF001  `tasks` would finalize the app
            _acknowledge_late(task)
        _remember(installed)
    return cast("A", installed)


def make_ours(app: Celery) -> None:
    """Give the app our result backends, worker and control, whatever it is configured with."""
    if isinstance(app, Installed):
        return
    cast("Any", app).__class__ = _over(cast("Any", type(app)))
    for made in ("Worker", "WorkController", "control"):  # by the class it had
        vars(app).pop(made, None)
    # Connections and results that were used before.
    vars(app).update(_pool=None, _backend_cache=None, _local=threading.local())
    if "amqp" in vars(app):
        _connect_as_we_do(vars(app)["amqp"])._producer_pool = None  # noqa: SLF001  as Celery does after a fork


def is_ours(app: Any) -> bool:
    """Whether this app's messages go through our transport."""
    name = app.conf.broker_transport
    return (name if isinstance(name, str) else getattr(name, "__module__", "")).startswith(OURS)


class Installed:
    """What is different in the class of an app that is ours."""

    has_own_settings = False  # install(app); else they are CelerySettings

    if TYPE_CHECKING:  # of Celery
        backend_cls: Any
        control_cls: Any
        conf: Any
        loader: Any

        def __reduce_keys__(self) -> dict[str, Any]: ...

    def _get_backend(self) -> Any:
        by_url: Any = backends.by_url
        kind, url = by_url(self.backend_cls or self.conf.result_backend, self.loader)
        # Late: an app that stores no results needs no backend of Redis.
        return import_module("celeriac.outcome.results").ours(kind)(app=self, url=url)

    @cached_property
    def amqp(self) -> Any:
        return _connect_as_we_do(super().amqp)  # type: ignore[misc]  # Celery's

    @cached_property
    def control(self) -> Any:
        return import_module("celeriac.app.control").ours(symbol_by_name(self.control_cls))(app=self)

    @cached_property
    def Worker(self) -> Any:
        return _program(super().Worker)  # type: ignore[misc]  # Celery's

    @cached_property
    def WorkController(self) -> Any:
        return _program(super().WorkController)  # type: ignore[misc]  # Celery's

    def __reduce__(self) -> Any:
        """For a process that gets the app as a pickle."""
        return _unpickled, (type(self).__mro__[2], self.__reduce_keys__(), self.has_own_settings)


def _connect_as_we_do(amqp: Any) -> Any:
    if amqp.Connection is kombu.Connection:  # else it is the user's own
        amqp.Connection = Connection
    return amqp


def _unpickled(kind: type[Celery], given: dict[str, Any], has_own_settings: bool) -> Celery:
    made = kind(**{**given, "set_as_current": False})
    if has_own_settings:
        return install(made)
    make_ours(made)
    return made


@cache
def _over(kind: type[Any]) -> type[Any]:
    return type(kind.__name__, (Installed, kind), {"__module__": kind.__module__, "__doc__": kind.__doc__})


def _program(kind: type[Any]) -> Any:
    # Late, and by name: clients need no worker, and a worker stands above its app.
    return import_module("celeriac.worker.program").ours(kind)


# Settings


class _Forced(dict[str, Any]):
    """Stands before all settings of an app."""

    def __init__(self, conf: Any) -> None:
        super().__init__(FORCED)
        self._conf = conf

    def __missing__(self, key: str) -> Any:
        if key == "broker_transport":  # by the URL, which may be set later
            return transport_of(self._conf)
        raise KeyError(key)

    def pop(self, key: str, *default: Any) -> Any:
        """Of `conf.pop`, which takes from what was set."""
        return self._conf.changes.pop(key, *default)


def _configured(source: Any, **_: Any) -> None:
    """The settings of an app were read: put ours before them and behind them."""
    if not any(isinstance(one, _Forced) for one in source.maps):
        source.maps.insert(0, _Forced(source))
        add_usual(source, dict(USUAL))


def add_usual(conf: Any, settings: dict[str, Any]) -> None:
    """Settings that count less than the user's own, and more than Celery's."""
    conf.maps.insert(-1, settings)
    conf.defaults.insert(-1, settings)


def transport_of(conf: Settings) -> str | None:
    """Our transport for the broker of these settings; None for memory://, the broker of a test's own process: that runs
    as with stock Celery. Raises ImproperlyConfigured."""
    schemes = {_scheme(url) for url in _urls(conf)}
    if schemes == {"memory"}:
        return None
    if strangers := sorted(schemes - set(SCHEMES)):
        raise ImproperlyConfigured(NOT_REDIS.format(found=" and ".join(strangers)))
    if conf.broker_transport_options.get("global_keyprefix"):
        raise ImproperlyConfigured(PREFIXED)
    if "sentinel" not in schemes:
        return TRANSPORT
    if schemes != {"sentinel"}:
        raise ImproperlyConfigured("celeriac.install(app): broker_url names sentinel:// and others; name one kind")
    return SENTINEL_TRANSPORT


def _urls(conf: Any) -> "Iterator[Any]":
    for given in (conf.broker_read_url, conf.broker_write_url):
        several = given.split(";") if isinstance(given, str) else given
        yield from several if isinstance(several, list | tuple) and several else (given,)


def _scheme(url: Any) -> str:
    """Nothing else of the URL: it may hold a password."""
    if not url:
        return "not set (Celery takes amqp:// then)"
    scheme, separator, _ = str(url).partition("://")
    return scheme if separator else "not a URL"


# Tasks that were bound to their app before it was installed


def _acknowledge_late(task: Any) -> None:
    """Let this task be acknowledged late, unless it says otherwise itself. (Tasks that are bound later find it in the
    settings.)"""
    for name in ("acks_late", "reject_on_worker_lost"):
        value = getattr(task, name)
        itself = name in vars(task) or _says_itself(type(task), name)
        if value is None or (not value and not itself):
            setattr(type(task), name, True)


def _says_itself(kind: type, name: str) -> bool:
    """Whether a class of this task sets this option. Celery also writes the settings into classes that do not set it:
    when it binds them to an app, so after `__bound__`."""
    for one in kind.__mro__:
        found = [key for key in vars(one) if key in (name, "__bound__")]
        if name in found and vars(one)[name] is not None:
            return found[0] == name
    return False


# The app that publishes what is bound to no app

_first: list[Celery] = []


def _remember(app: Celery) -> None:
    if not _first:
        _first.append(app)


def first_installed() -> Celery | None:
    """The first app that was installed in this process."""
    return _first[0] if _first else None


def forget_installed() -> None:
    """For tests."""
    _first.clear()
