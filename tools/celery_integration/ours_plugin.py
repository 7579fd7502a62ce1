"""A plugin for pytest that runs in the tests' own process: gives their app the line `install(app)` and a pool, a
time to every test, and writes what became of each. What it is to do stands in the JSON of CELERY_INTEGRATION:

- `pool`: of the worker; none for kombu's tests. `ours`: whether the app gets the line. `transport`:
  whether kombu's tests meet our classes.
- `only`: node ids to run; null: all. `log`: a file, one JSON object a line.
- `seconds`: for one test. `reruns`: of a test that Celery marks as flaky.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

ASKED: dict[str, Any] = json.loads(os.environ["CELERY_INTEGRATION"])
LOG = Path(ASKED["log"])


if ASKED.get("pool"):
    # Its functions wait up to a minute for Redis; clients of redis-py 8 wait 5 s unless they are told.
    from t.integration import tasks

    tasks.get_redis_connection = lambda: Redis(port=int(os.environ["REDIS_PORT"]), socket_timeout=None)


def note(**fields: Any) -> None:
    with LOG.open("a") as log:
        log.write(json.dumps(fields) + "\n")


def pytest_configure(config: pytest.Config) -> None:
    if ASKED.get("pool"):
        _patch_worker(ASKED["pool"])
    if ASKED.get("ours"):
        _patch_app()
    if ASKED.get("transport"):
        _patch_kombu()


def _patch_worker(pool: str) -> None:
    from celery.contrib.testing import worker

    start = worker.start_worker

    def start_worker(app: Any, **options: Any) -> Any:
        return start(app, **{**options, "pool": pool})

    worker.start_worker = start_worker


def _patch_app() -> None:
    """The one line."""
    from celery.contrib.testing import app as testing

    from celeriac import install

    make = testing.TestApp
    testing.TestApp = lambda *args, **options: install(make(*args, **options))


def _patch_kombu() -> None:
    """kombu's tests take the classes from its module: there they find ours."""
    from kombu.transport import redis
    from kombu.utils import eventio

    from celeriac.claim import transport as channel

    def poll() -> Any:
        """They replace it before they import the module, as they think."""
        return eventio.poll()

    redis.poll = poll
    redis.QoS, redis.Channel, redis.SentinelChannel = channel.QoS, channel.Channel, channel.SentinelChannel
    redis.MultiChannelPoller = channel.Poller
    redis.Transport, redis.SentinelTransport = channel.Transport, channel.SentinelTransport


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    note(collected=[item.nodeid for item in items])
    if ASKED["only"] is not None:
        wanted = set(ASKED["only"])
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in wanted])
        items[:] = [item for item in items if item.nodeid in wanted]
    for item in items:
        item.add_marker(pytest.mark.timeout(ASKED["seconds"], method="thread"), append=False)
        if item.get_closest_marker("flaky"):
            item.add_marker(pytest.mark.flaky(reruns=ASKED["reruns"], reruns_delay=1), append=False)


_reports: dict[str, list[Any]] = {}


def pytest_runtest_logstart(nodeid: str) -> None:
    _reports[nodeid] = []
    note(begun=nodeid)


def pytest_runtest_logreport(report: Any) -> None:
    if report.outcome == "rerun":
        note(again=report.nodeid, why=_why(report))
    elif report.outcome == "failed":
        note(failed=report.nodeid, why=_why(report))
    _reports[report.nodeid].append(report)


def pytest_runtest_logfinish(nodeid: str) -> None:
    reports = _reports.pop(nodeid, [])
    if any(one.outcome == "rerun" for one in reports):
        return  # it begins once more
    failed = [one for one in reports if one.outcome == "failed"]
    if failed:
        outcome, why = "failed", _why(failed[0])
    elif any(one.outcome == "skipped" for one in reports):
        found = next(one for one in reports if one.outcome == "skipped")
        expected = hasattr(found, "wasxfail")
        outcome, why = ("xfailed", found.wasxfail) if expected else ("skipped", _why(found))
    else:
        outcome, why = "passed", ""
    note(ended=nodeid, outcome=outcome, why=why, seconds=round(sum(one.duration for one in reports), 2))


def _why(report: Any) -> str:
    if isinstance(report.longrepr, tuple | str):  # skipped; passed where a failure was expected
        return report.longrepr if isinstance(report.longrepr, str) else str(report.longrepr[-1])
    lines = [line[1:].strip() for line in report.longreprtext.splitlines() if line.startswith("E ")]
    crash = getattr(getattr(report.longrepr, "reprcrash", None), "message", "")
    return (crash.splitlines() or lines or ["?"])[0][:300]
