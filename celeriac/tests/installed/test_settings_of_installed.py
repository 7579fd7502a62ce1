"""What `install(app)` makes of an app's settings, in every order in which users write them."""

import pickle
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery, Task, _state
from celery.backends.base import DisabledBackend
from celery.backends.filesystem import FilesystemBackend
from celery.backends.redis import RedisBackend
from celery.backends.rpc import RPCBackend
from celery.contrib.testing import worker
from celery.exceptions import ImproperlyConfigured

from celeriac.app import installation
from celeriac.app.client import default_app, make_app
from celeriac.app.control import Control
from celeriac.app.installation import POOL, install
from celeriac.app.settings import CelerySettings
from celeriac.outcome.results import Elsewhere, Followed, Results, SentinelResults

URL = "redis://127.0.0.1:1/3"


@pytest.fixture(autouse=True)
def nothing_installed() -> Any:
    installation.forget_installed()
    yield
    installation.forget_installed()


def app_of(**options: Any) -> Celery:
    return Celery("plain", set_as_current=False, **{"broker": URL, **options})


def nothing() -> None:
    return None


def is_installed(app: Any) -> bool:
    conf = app.conf
    return (conf.broker_transport, conf.task_acks_late, conf.worker_prefetch_multiplier, conf.worker_pool) == (
        installation.TRANSPORT,
        True,
        0,
        POOL,
    )


def settings_before(app: Any) -> None:
    app.conf.update(broker_url=URL, timezone="Europe/Berlin")
    install(app)


def settings_read_before(app: Any) -> None:
    app.conf.update(broker_url=URL, timezone="Europe/Berlin")
    assert "Europe/Berlin" == app.conf.timezone
    install(app)


def settings_after(app: Any) -> None:
    install(app)
    app.conf.update(broker_url=URL, timezone="Europe/Berlin")


def settings_after_reading(app: Any) -> None:
    install(app)
    assert app.conf.task_acks_late
    app.conf.update(broker_url=URL, timezone="Europe/Berlin", task_acks_late=False, worker_prefetch_multiplier=1)


def django(app: Any) -> None:
    app.config_from_object(
        SimpleNamespace(
            CELERY_BROKER_URL=URL, CELERY_TIMEZONE="Europe/Berlin", CELERY_TASK_ACKS_LATE=False, DEBUG=True
        ),
        namespace="CELERY",
    )
    install(app)


def django_after(app: Any) -> None:
    install(app)
    app.config_from_object(SimpleNamespace(CELERY_BROKER_URL=URL, CELERY_TIMEZONE="Europe/Berlin"), namespace="CELERY")


def an_object_that_is_read_again(app: Any) -> None:
    install(app)
    assert app.conf.task_acks_late
    app.config_from_object(SimpleNamespace(broker_url=URL, timezone="Europe/Berlin", task_acks_late=False))


def old_names(app: Any) -> None:
    install(app)
    app.config_from_object(SimpleNamespace(BROKER_URL=URL, CELERY_TIMEZONE="Europe/Berlin", CELERY_ACKS_LATE=False))


@pytest.mark.parametrize(
    "written",
    [
        settings_before,
        settings_read_before,
        settings_after,
        settings_after_reading,
        django,
        django_after,
        an_object_that_is_read_again,
        old_names,
    ],
)
def test_the_line_works_wherever_the_settings_stand(written: Any) -> None:
    app = app_of(broker=None)
    written(app)
    assert is_installed(app)
    assert ("Europe/Berlin", URL) == (app.conf.timezone, app.conf.broker_url)


def test_the_users_own_settings_win_over_ours() -> None:
    app = install(app_of())
    app.conf.update(worker_pool="prefork", broker_connection_retry_on_startup=False)
    app.conf.broker_transport_options = {"lease_seconds": 5}
    assert ("prefork", False) == (app.conf.worker_pool, app.conf.broker_connection_retry_on_startup)
    assert 5 == app.connection_for_write().transport_options["lease_seconds"]
    django = install(app_of())
    django.config_from_object(SimpleNamespace(CELERY_WORKER_POOL="solo"), namespace="CELERY")
    assert "solo" == django.conf.worker_pool


def test_the_line_reads_no_settings() -> None:
    app = app_of()
    app.config_from_object("a_module_that_is_not_there")
    install(app)
    assert not app.configured  # type: ignore[attr-defined]  # celery-types does not know it


def test_to_install_twice_changes_nothing() -> None:
    app = app_of()
    assert install(install(app)) is app
    kind = type(app)
    app.conf.update(task_default_queue="q")
    assert (install(app), kind) == (app, type(app))
    assert "q" == app.conf.task_default_queue
    assert 1 == sum(isinstance(one, installation._Forced) for one in app.conf.maps)


def test_two_apps_in_one_process_do_not_know_each_other() -> None:
    one, two, stock = install(app_of()), install(app_of(broker="sentinel://h:1")), app_of()
    two.conf.broker_transport_options = {"master_name": "m"}
    assert is_installed(one)
    assert installation.SENTINEL_TRANSPORT == two.conf.broker_transport
    assert not stock.conf.broker_transport
    assert type(stock) is Celery


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("amqp://user:hunter2@h//", "is amqp, and"),
        ("filesystem://", "is filesystem, and"),
        (None, "is not set"),
        ("redis://a;amqp://:hunter2@b", "is amqp, and"),
        ("localhost", "is not a URL"),
    ],
)
def test_a_broker_that_is_not_redis_is_refused_by_name(url: str | None, said: str) -> None:
    app = install(app_of(broker=url))
    assert app.conf.task_acks_late  # the settings can be read all the same
    with pytest.raises(ImproperlyConfigured, match=said) as caught:
        app.send_task("x")
    assert "hunter2" not in str(caught.value)
    assert "delete the line" in str(caught.value)


def test_a_prefix_of_all_keys_is_refused_by_name() -> None:
    app = install(app_of(broker="redis://127.0.0.1:1/0"))
    app.conf.broker_transport_options = {"global_keyprefix": "shop-"}
    with pytest.raises(ImproperlyConfigured, match="has a global_keyprefix"):
        app.send_task("x")


def test_an_app_on_the_memory_broker_of_a_test_runs_as_with_stock_celery(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_state, "_task_join_will_block", False)  # what this worker sets is undone: it is of the process
    app = install(app_of(broker="memory://", backend="cache+memory://"))

    @app.task
    def add(x: int, y: int) -> int:
        return x + y

    with worker.start_worker(app, perform_ping_check=False, shutdown_timeout=20):
        assert 3 == add.delay(1, 2).get(timeout=10)
    assert "celery.concurrency.thread" in str(app.WorkController(pool=None).pool_cls)


def test_something_else_than_an_app_is_refused() -> None:
    with pytest.raises(TypeError, match="takes a Celery app, and this is a str"):
        install("proj")  # type: ignore[type-var]  # wrong on purpose


def test_a_task_that_is_bound_before_the_line_is_acknowledged_late_too() -> None:
    class Early(Task):
        acks_late = False

    app = app_of()
    plain = app.task(nothing, name="plain")
    early = app.task(nothing, name="early", acks_late=False)
    of_a_class = app.task(nothing, name="of a class", base=Early)
    assert [False] * 3 == [app.tasks[name].acks_late for name in ("plain", "early", "of a class")]
    install(app)
    later = app.task(nothing, name="later")
    later_early = app.task(nothing, name="later early", acks_late=False)
    assert [True, False, False, True, False] == [
        one.acks_late for one in (plain, early, of_a_class, later, later_early)
    ]
    assert plain.reject_on_worker_lost


@pytest.mark.parametrize(
    ("url", "kind", "over"),
    [
        (URL, Results, RedisBackend),
        (None, Elsewhere, DisabledBackend),
        ("rpc://", Elsewhere, RPCBackend),
        ("file:///tmp", Elsewhere, FilesystemBackend),
        ("sentinel://h:1", SentinelResults, RedisBackend),
    ],
)
def test_every_result_backend_commits_an_end_before_its_hooks(url: str | None, kind: type, over: type) -> None:
    app = install(app_of(backend=url))
    app.conf.result_backend_transport_options = {"master_name": "m"}
    assert isinstance(app.backend, kind)
    assert isinstance(app.backend, over)
    assert isinstance(app.backend, Followed)


class Own(RedisBackend):
    """A backend of a user's own."""


def test_a_redis_backend_of_the_users_own_stays_below_ours() -> None:
    app = install(app_of(backend=f"{__name__}:Own"))
    app.backend_cls = Own
    assert (True, True) == (isinstance(app.backend, Results), isinstance(app.backend, Own))


@pytest.mark.parametrize(
    ("results", "shared"),
    [
        (URL, True),
        ("redis://127.0.0.1/3", False),
        ("redis://127.0.0.1:1/03", True),
        ("redis://127.0.0.1:1/4", False),
        ("rediss://127.0.0.1:1/3?ssl_cert_reqs=none", True),
    ],
)
def test_results_are_part_of_the_outcome_where_both_urls_name_one_database(results: str, shared: bool) -> None:
    assert shared == install(app_of(backend=results)).backend.shared


@pytest.mark.parametrize(("master", "shared"), [("one", True), ("two", False)])
def test_behind_sentinel_the_name_of_the_master_counts_too(master: str, shared: bool) -> None:
    app = install(app_of(broker="sentinel://h:1", backend="sentinel://h:1"))
    app.conf.update(
        broker_transport_options={"master_name": "one"}, result_backend_transport_options={"master_name": master}
    )
    assert shared == app.backend.shared


@pytest.mark.parametrize("scheme", ["redis", "sentinel"])
def test_kombu_keeps_our_transport_when_it_goes_on_to_the_next_address(scheme: str) -> None:
    url = f"{scheme}://a:1;{scheme}://b:2"
    settings = CelerySettings(broker_url=url, sentinel_master="m") if scheme == "sentinel" else None
    apps = [install(app_of(broker=url)), *([make_app("client", settings)] if settings else [])]
    early = app_of(broker=url)
    assert early.amqp.queues  # it was used before
    for app in (*apps, install(early)):
        for connection in (app.connection_for_read(), app.pool.new()):
            before = connection.transport_cls
            connection.switch(f"{scheme}://b:2")
            assert ("b", before) == (connection.hostname, connection.transport_cls)
            assert before.startswith("celeriac.")


def test_control_is_ours_and_keeps_the_users_own() -> None:
    class Asks(Control):
        pass

    assert type(install(app_of()).control) is Control
    assert isinstance(install(app_of(control=Asks)).control, Asks)


def test_an_app_survives_a_pickle() -> None:
    app = install(app_of())
    again = pickle.loads(pickle.dumps(app))
    assert is_installed(again)


def test_the_first_app_that_is_installed_publishes_what_is_bound_to_no_app() -> None:
    environment = default_app()
    first, second = install(app_of()), install(app_of())
    assert default_app() is first is not second
    installation.forget_installed()
    assert default_app() is environment


def test_the_line_imports_no_worker() -> None:
    code = (
        "import sys; from celery import Celery; from celeriac.app.installation import install; app = Celery()\n"
        "install(app); heavy = {'celery.apps.worker', 'redis', 'billiard.pool', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
