"""What is read of a stock app's broker and results without asking anybody."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass

import pytest

from devctl.broker import results, server
from devctl.broker.layout import Layout
from devctl.broker.masking import masked
from devctl.broker.nodes import service_of
from devctl.broker.port import TaskResult


@dataclass(frozen=True)
class Place:
    service: str
    hostname: str


REPLICAS = [Place("worker", "f3a9c1d2e4b5"), Place("images", "pictures"), Place("redis", "")]


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        ("celery@f3a9c1d2e4b5", "worker"),
        ("images@f3a9c1d2e4b5", "worker"),
        ("fast@pictures", "images"),
        ("worker@laptop-12", "worker"),
        ("celery@worker", "worker"),
        ("celery@laptop", ""),
        ("celery@", ""),
        ("", ""),
    ],
)
def test_a_node_is_of_the_service_on_whose_host_it_is(node: str, expected: str) -> None:
    assert expected == service_of(node, REPLICAS, {"worker", "images", "redis"})


def test_passwords_are_hidden_and_names_of_keys_are_not() -> None:
    told = {
        "broker_url": "redis://:s3cret@redis:6379/0",
        "several": "amqp://u:p/a@a//;amqp://u:s3cret@b//",
        "redis_backend_password": "s3cret",
        "broker_transport_options": {"global_keyprefix": "shop:", "sentinel_kwargs": {"password": "s3cret"}},
        "include": ["a", 1, None],
    }

    shown = masked(told)

    assert "s3cret" not in json.dumps(shown)
    assert "redis://:********@redis:6379/0" == shown["broker_url"]
    assert "shop:" == shown["broker_transport_options"]["global_keyprefix"]
    assert ["a", 1, None] == shown["include"]


def test_the_options_of_the_transport_name_lists_and_channel() -> None:
    plain, own = Layout.of({}), Layout.of({"global_keyprefix": "x:", "sep": "#", "priority_steps": [9, 0]})

    assert ("q", "q\x06\x163", "q\x06\x166", "q\x06\x169") == plain.lists("q")
    assert ("x:q", "x:q#9") == own.lists("q")
    assert ("/2.celery.pidbox", "x:/2.celery.pidbox") == (plain.topic(2), own.topic(2))
    assert "celery.pidbox" == Layout.of({"fanout_prefix": False}).topic(0)
    assert Layout() == Layout.of({"sep": None, "priority_steps": "0123", "global_keyprefix": 7})


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({"status": "SUCCESS", "result": 3}, TaskResult("1", "succeeded", 3)),
        ({"status": "PROGRESS", "result": {"done": 4}}, TaskResult("1", "started", {"done": 4})),
        (
            {"status": "PROGRESS", "result": {"progress": 0.4, "note": "4 of 10"}},
            TaskResult("1", "started", {"progress": 0.4, "note": "4 of 10"}, progress=0.4, note="4 of 10"),
        ),
        (
            {"status": "HALFWAY", "result": {"current": 4, "total": 8}},  # as Celery's manual has it
            TaskResult("1", "started", {"current": 4, "total": 8}, progress=0.5, note="4 of 8"),
        ),
        (
            {"status": "PROGRESS", "result": {"current": 9, "total": 8}},
            TaskResult("1", "started", {"current": 9, "total": 8}, note="9 of 8"),
        ),
        ({"status": "RECEIVED", "result": None}, TaskResult("1", "pending")),
    ],
)
def test_a_state_that_a_task_gives_itself_means_that_it_runs(stored: object, expected: TaskResult) -> None:
    assert expected == results.read("1", json.dumps(stored).encode())


class Dangerous:
    def __reduce__(self) -> tuple[object, ...]:
        return exec, ("raise SystemExit('a pickle was loaded')",)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_of_a_pickled_result_the_state_is_known_and_nothing_is_loaded(protocol: int) -> None:
    done = {"status": "SUCCESS", "result": Dangerous(), "task_id": "1"}
    failed = {"status": "FAILURE", "result": Dangerous(), "task_id": "1"}

    one, other = (results.read("1", pickle.dumps(meta, protocol)) for meta in (done, failed))

    assert ("succeeded", "failed") == (one.state, other.state)
    assert "its result is pickled" in one.unreadable
    assert "its error is pickled" in other.unreadable


def test_what_is_neither_json_nor_a_pickle_is_said_to_be() -> None:
    assert "neither JSON nor a pickle" in results.read("1", b"\xff\xfe").unreadable


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h/1", ""),
        ("rediss://h/1", ""),
        ("sentinel://h:26379/0", ""),
        ("", "the app has no result backend"),
        ("disabled://", "the app has no result backend"),
        ("django-db", "its admin shows them"),
        ("db+postgresql://u:s3cret@database/x", "go into a database (db://database)"),
        ("rpc://", "to whoever sent the task"),
        ("cache+memcached://h", "go into cache://h"),
        ("mongodb://h", "go into mongodb://h"),
    ],
)
def test_a_backend_that_cannot_be_read_from_here_says_why(url: str, expected: str) -> None:
    assert expected in results.why_elsewhere(url)
    assert bool(expected) == bool(results.why_elsewhere(url))
    assert "s3cret" not in results.why_elsewhere(url)


def test_the_prefix_of_results_ends_as_celery_ends_it() -> None:
    assert ["", "x_", "x:", "x-"] == [results.with_end(prefix) for prefix in ("", "x", "x:", "x-")]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", "redis://localhost/0"),
        ("redis://h", "redis://h/0"),
        ("redis://:p@h:6380/3?health_check_interval=5", "redis://:p@h:6380/3"),
        ("redis://h?virtual_host=2", "redis://h/2"),
        ("unix:///run/redis.sock?db=1", "redis+socket:///run/redis.sock?virtual_host=1"),
        ("rediss://far.example:6380/0", "rediss://far.example:6380/0?ssl_cert_reqs=required"),
        (
            "rediss://127.0.0.1:6380/0?ssl_ca_certs=/in/a/container.pem&ssl_cert_reqs=required",
            "rediss://127.0.0.1:6380/0?ssl_cert_reqs=none&ssl_check_hostname=false",
        ),
    ],
)
def test_an_url_of_kombu_is_one_that_devctl_connects_to(url: str, expected: str) -> None:
    assert expected == server.plain(url)
    server.connect(expected)
