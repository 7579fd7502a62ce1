from pathlib import Path

import pytest
from redis import exceptions

from common_tasks import environment
from common_tasks.celery_app import make_app, make_worker
from common_tasks.errors import SettingsError
from common_tasks.settings import CelerySettings, LogSettings, Pool, WorkerSettings, celery_settings, transport_settings
from common_tasks.tasks import CONTRACTS


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

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
    "url", ["redis://h", "redis://:p@h:1/15", "rediss://h/0", "redis+socket:///run/r.sock", "sentinel://h:1"]
)
def test_an_address_of_a_redis_is_taken(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", url)
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
    "name", ["CELERY_BROKER_URI", "CELERY_BROKERURL", "celery_brokr_url", "CELERY_BROKER_READ_URL"]
)
def test_a_misspelt_variable_is_named_and_the_right_one_offered(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "redis://:hunter2@h")
    with pytest.raises(
        SettingsError, match=f"{name} is not a setting of this stack; did you mean CELERY_BROKER_URL"
    ) as caught:
        environment.load(CelerySettings)
    assert "hunter2" not in str(caught.value)


def test_all_wrong_variables_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "CELERY_TYPO"):
        monkeypatch.setenv(name, "x")
    with pytest.raises(SettingsError) as caught:
        environment.load(CelerySettings)
    assert all(name in str(caught.value) for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "CELERY_TYPO"))


def test_what_celery_sets_itself_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELERY_LOG_LEVEL", "10")
    environment.load(CelerySettings)


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
