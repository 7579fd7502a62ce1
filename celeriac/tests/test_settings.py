import os
from pathlib import Path

import pytest
from redis import exceptions

from celeriac import environment, typos
from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings, LogSettings, Pool, WorkerSettings, celery_settings, transport_settings
from celeriac.errors import SettingsError
from celeriac.outcome.results import Results
from celeriac.retry import policy as retries
from celeriac.worker.app import make_worker
from shop.tasks import CONTRACTS


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("CELERY_", "WORKER_", "LOG_")):
            monkeypatch.delenv(name)


def test_the_defaults_need_no_environment() -> None:
    settings = environment.load(CelerySettings)
    assert ("redis://localhost:6379/0", "redis://localhost:6379/0") == (settings.broker_url, settings.results_url)
    worker = environment.load(WorkerSettings)
    assert (1, Pool.THREADS, None, "") == (worker.concurrency, worker.pool, worker.health_file, worker.queues)


def test_the_environment_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"WORKER_CONCURRENCY": "4", "WORKER_POOL": "prefork", "WORKER_HEALTH_FILE": "/tmp/h", "LOG_LEVEL": "debug"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    worker = environment.load(WorkerSettings)
    assert (4, Pool.PREFORK, Path("/tmp/h")) == (worker.concurrency, worker.pool, worker.health_file)
    assert "DEBUG" == environment.load(LogSettings).level


@pytest.mark.parametrize(
    "url",
    [
        *("redis://h", "redis://:p@h:1/15", "redis://h/99", "redis://[::1]:1/0", "rediss://h/0?ssl_cert_reqs=required"),
        *("redis+socket:///run/r.sock", "sentinel://h:1", "sentinel://u:p@h:1/2;sentinel://u:p@i:2/2"),
    ],
)
def test_an_address_of_a_redis_is_taken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", url)
    monkeypatch.setenv("CELERY_SENTINEL_MASTER", "orders")
    assert url == environment.load(CelerySettings).broker_url


def test_an_empty_variable_is_none_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "")
    assert "redis://localhost:6379/0" == environment.load(CelerySettings).results_url


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("CELERY_BROKER_URL", "http://hunter2@h", "must begin with redis://"),
        ("CELERY_BROKER_URL", "hunter2", "must begin with redis://"),
        ("CELERY_BROKER_URL", "redis://:hunter2@h:70000/0", "port must be a number from 1 to 65535"),
        ("CELERY_BROKER_URL", "redis://:hunter2@h:0/0", "port must be a number from 1 to 65535"),
        ("CELERY_BROKER_URL", "redis://:hunter2@h:port/0", "port must be a number"),
        ("CELERY_BROKER_URL", "redis://:hunter2@/0", "names no host"),
        ("CELERY_BROKER_URL", "redis://:hunter2@h/name", "number of a database"),
        ("CELERY_RESULT_BACKEND", "http://hunter2@h", "must begin with redis://"),
        ("CELERY_RESULT_BACKEND", "db+sqlite:///hunter2", "must begin with redis://"),
        ("CELERY_RESULT_BACKEND", "rpc://", "must begin with redis://"),
        ("CELERY_BROKER_URL", "rediss://h?ssl_cert_reqs=none&ssl_ca_certs=/hunter2", "ssl_ca_certs names no file"),
        ("CELERY_LEASE_SECONDS", "nan", "less than or equal to 3600"),
        ("CELERY_LEASE_SECONDS", "inf", "less than or equal to 3600"),
        ("CELERY_QUEUE_BOUND", "99999999999999999999999", "less than or equal to 1000000000"),
        ("CELERY_DEAD_LETTER_BOUND", "1e9", "valid integer"),
        ("CELERY_VISIBILITY_TIMEOUT", "99999999999999999999999", "less than or equal to"),
        ("CELERY_TRANSPORT", "hunter2", "'atomic' or 'stock'"),
        ("WORKER_MAX_RUN_SECONDS", "nan", "less than or equal to 86400"),
        ("WORKER_CONCURRENCY", "1.5", "valid integer"),
        ("WORKER_MAX_RUN_SECONDS", "1e-9", "greater than or equal to 0.01"),
        ("WORKER_HEALTH_FILE", "/tmp", "no file that this process can write"),
        ("WORKER_HEALTH_FILE", "/dev/null/x", "no file that this process can write"),
        ("CELERY_VISIBILITY_TIMEOUT", "30", "greater than or equal to 120"),
        ("CELERY_VISIBILITY_TIMEOUT", "hunter2", "valid integer"),
        ("WORKER_CONCURRENCY", "0", "greater than or equal to 1"),
        ("WORKER_CONCURRENCY", "hunter2", "valid integer"),
        ("WORKER_POOL", "hunter2", "'prefork', 'threads' or 'solo'"),
        ("LOG_LEVEL", "hunter2", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("LOG_FORMAT", "hunter2", "'auto', 'console' or 'json'"),
    ],
)
def test_a_wrong_value_is_one_line_with_the_variable_and_without_the_value(
    name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    kind = {"CELERY": CelerySettings, "WORKER": WorkerSettings, "LOG": LogSettings}[name.split("_")[0]]
    with pytest.raises(SettingsError) as caught:
        environment.load(kind)
    text = str(caught.value)
    assert text.startswith(f"{name} is wrong: ")
    assert told in text
    assert "hunter2" not in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("CELERY_BROKER_URI", "CELERY_BROKER_URL"),
        ("CELERY_BROKERURL", "CELERY_BROKER_URL"),
        ("celery_brokr_url", "CELERY_BROKER_URL"),
        ("CELERY_LEASE_SECOND", "CELERY_LEASE_SECONDS"),
        ("CELERY_SENTINEL_MASTERS", "CELERY_SENTINEL_MASTER"),
    ],
)
def test_a_likely_typing_error_is_one_warning_that_offers_the_right_name(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(typos, "_warned", set())
    monkeypatch.setenv(name, "redis://:hunter2@h")
    environment.load(CelerySettings)
    environment.load(CelerySettings)
    assert [f"{name} is no setting and is not used; did you mean {meant}?"] == caplog.messages


OF_KUBERNETES = [
    f"{service}_{rest}"
    for service in (
        "CELERY",
        "CELERY_FLOWER",
        "CELERY_BROKER",
        "CELERY_RESULT",
        "CELERY_TRANSPORT",
        "WORKER",
        "HTTP",
        "LOG",
    )
    for rest in (
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_HTTP",
        "PORT_80_TCP",
        "PORT_80_TCP_ADDR",
        "PORT_80_TCP_PROTO",
    )
]


@pytest.mark.parametrize(
    "name",
    [
        *OF_KUBERNETES,
        *("CELERY_PORT", "CELERY_FLOWER_PORT", "CELERY_BROKER_PORT", "CELERY_RESULT_PORT", "CELERY_TRANSPORT_PORT"),
        *("CELERY_LOG_LEVEL", "CELERY_TRACE_APP", "CELERY_BENCH", "CELERY_LOADER", "CELERY_APP", "WORKER_PORT"),
        *("HTTP_PROXY", "LOG_DIR", "RETRY_TASKS_SEND_MAIL", "RETRY_SERVICE_HOST"),
    ],
)
def test_what_is_somebody_else_s_is_left_alone(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(typos, "_warned", set())
    monkeypatch.setenv(name, "tcp://10.0.0.1:80")
    for kind in (CelerySettings, WorkerSettings, LogSettings):
        environment.load(kind)
    retries.from_environment(CONTRACTS, os.environ)
    assert isinstance(make_worker("test", [], CelerySettings()).backend, Results)
    assert [] == caplog.messages


@pytest.mark.parametrize("name", ["CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"])
def test_what_would_part_worker_and_client_is_refused_by_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "redis://:hunter2@h")
    with pytest.raises(SettingsError, match=rf"^{name} would part worker and client; set CELERY_BROKER_URL alone$"):
        environment.load(CelerySettings)


def test_all_wrong_variables_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "CELERY_LEASE_SECONDS")
    for name in wrong:
        monkeypatch.setenv(name, "x")
    with pytest.raises(SettingsError) as caught:
        environment.load(CelerySettings)
    assert all(name in str(caught.value) for name in wrong)


def test_sentinel_needs_the_name_of_its_master(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "sentinel://h:1")
            with pytest.raises(SettingsError, match=r"^CELERY_SENTINEL_MASTER is not set: sentinel://"):
                environment.load(CelerySettings)


def test_broker_results_and_sentinels_get_what_celery_calls_it() -> None:
    url = "sentinel://:p@a:1/3;sentinel://:p@b:2/3"
    settings = CelerySettings(broker_url=url, sentinel_master="orders", sentinel_password="secret")
    given = celery_settings(settings)
    for options in (given["broker_transport_options"], given["result_backend_transport_options"]):
        assert "orders" == options["master_name"]
        assert "secret" == options["sentinel_kwargs"]["password"]
    assert given["result_backend"] == given["broker_url"] == url
    plain = celery_settings(CelerySettings(result_backend=url, sentinel_master="orders"))
    assert "master_name" not in plain["broker_transport_options"]
    assert "password" not in plain["result_backend_transport_options"]["sentinel_kwargs"]


def test_the_visibility_timeout_outlasts_the_longest_wait_before_a_retry() -> None:
    longest = max(contract.retries.cap_seconds for contract in CONTRACTS)
    assert CelerySettings().visibility_timeout >= longest + 600
    assert CelerySettings.model_fields["visibility_timeout"].metadata[0].ge > longest


def test_a_patient_app_retries_and_an_impatient_one_does_not() -> None:
    patient, impatient = celery_settings(CelerySettings()), celery_settings(CelerySettings(), patience_seconds=0.5)
    assert [True, False] == [one["task_publish_retry"] for one in (patient, impatient)]
    assert [5.0, 0.5] == [one["broker_transport_options"]["socket_timeout"] for one in (patient, impatient)]
    assert 0 == impatient["broker_transport_options"]["max_retries"]


def test_a_worker_insists_on_storing_and_a_client_does_not() -> None:
    settings = CelerySettings()
    apps = make_worker("test", [], settings), make_app("test", settings), make_app("test", settings, patience_seconds=1)
    assert [True, False, False] == [app.backend.always_retry for app in apps]
    assert (float("inf"), 5_000) == (apps[0].backend.max_retries, apps[0].backend.max_sleep_between_retries_ms)


@pytest.mark.parametrize(
    ("error", "insists"),
    [
        (exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), True),
        (exceptions.ReadOnlyError("You can't write against a read only replica."), True),
        (exceptions.BusyLoadingError("Redis is loading the dataset in memory"), True),
        (exceptions.MasterDownError("Link with MASTER is down"), True),
        (exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots"), True),
        (exceptions.ResponseError("Command # 1 (SETEX k 1 v) of pipeline caused error: MISCONF Redis is"), True),
        (exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."), True),
        (exceptions.ConnectionError("Connection refused"), True),
        (exceptions.ResponseError("Command # 1 (SET MISCONF 1) of pipeline caused error: ERR syntax error"), False),
        (exceptions.NoPermissionError("this user has no permissions"), False),
        (ValueError("MISCONF"), False),
    ],
)
def test_storing_is_tried_again_when_redis_will_take_it_later(error: Exception, insists: bool) -> None:
    assert insists == make_worker("test", [], CelerySettings()).backend.exception_safe_to_retry(error)


def test_the_hot_path_is_one_function() -> None:
    """What another transport would change lies in there; nothing else in the settings speaks of broker or results."""
    rest = celery_settings(CelerySettings()).keys() - transport_settings(CelerySettings()).keys()
    assert not {name for name in rest if name.startswith(("broker", "redis", "result_backend"))}
