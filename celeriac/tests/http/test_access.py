"""Correlation ids, the line for each request, the metrics."""

import time

import pytest
import structlog
from prometheus_client.parser import text_string_to_metric_families

from celeriac import correlation
from celeriac.http.access import correlation_id, via


@pytest.fixture
def lines():
    with structlog.testing.capture_logs() as caught:
        yield caught


def test_the_callers_correlation_id_goes_through(client, queued, body):
    answer = client.post("/letters", json=body, headers={"X-Correlation-ID": "shop-42"})

    assert ["shop-42"] == [one["headers"]["x_correlation_id"] for one in queued()]
    assert "shop-42" == answer.headers["x-correlation-id"]


def test_without_one_each_request_has_a_new_one(client):
    ids = {client.get("/health").headers["x-correlation-id"] for _ in range(3)}

    assert 3 == len(ids)
    assert {32} == {len(one) for one in ids}


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, 'a"b', "a\u00e9", "{}"])
def test_one_that_could_do_harm_is_replaced(client, given):
    answer = client.get("/health", headers=[(b"X-Correlation-ID", given.encode("latin-1"))])

    assert given != answer.headers["x-correlation-id"]


def test_a_newline_does_not_get_into_the_logs():
    assert "\n" not in correlation_id({"headers": [(b"x-correlation-id", b"a\nb")]})


TRACE = "0af7651916cd43dd8448eb211c80319c"
GIVEN = f"00-{TRACE}-b7ad6b7169203331-01"


def test_the_callers_trace_goes_on_in_the_message(client, queued, body):
    answer = client.post("/letters", json=body, headers={"traceparent": GIVEN, "tracestate": "shop=1"})

    [headers] = [one["headers"] for one in queued()]
    assert (GIVEN, "shop=1") == (headers["traceparent"], headers["tracestate"])
    assert [TRACE, TRACE] == [headers["x_correlation_id"], answer.headers["x-correlation-id"]]
    assert "traceparent" not in answer.headers


def test_a_correlation_id_beside_a_trace_stays_the_callers(client, queued, body):
    client.post("/letters", json=body, headers={"traceparent": GIVEN, "X-Correlation-ID": "shop-42"})

    assert [(GIVEN, "shop-42")] == [
        (one["headers"]["traceparent"], one["headers"]["x_correlation_id"]) for one in queued()
    ]


@pytest.mark.parametrize("given", [[], [GIVEN.upper()], [GIVEN, GIVEN]])
def test_without_a_valid_trace_the_message_has_none(client, queued, body, given):
    headers = [("traceparent", one) for one in given]
    answer = client.post("/letters", json=body, headers=[*headers, ("tracestate", "shop=1")])

    [found] = [one["headers"] for one in queued()]
    assert not {"traceparent", "tracestate"} & set(found)
    assert TRACE != answer.headers["x-correlation-id"]


def test_parts_of_a_tracestate_are_put_together(client, queued, body):
    client.post("/letters", json=body, headers=[("traceparent", GIVEN), ("tracestate", "a=1"), ("tracestate", "b=2")])

    assert ["a=1,b=2"] == [one["headers"]["tracestate"] for one in queued()]


def test_who_publishes_knows_the_request(api, client):
    @api.get("/who")
    def who():
        found = correlation.request()
        return {"who": found.who, "via": found.via, "age": time.monotonic() - found.since}

    found = client.get("/who?token=hunter2").json()

    assert ("post-office", "GET /who") == (found["who"], found["via"])
    assert 0 < found["age"] < 5
    assert correlation.request() is None


def test_a_path_shows_no_control_characters():
    assert "GET /a?[2Jb" == via({"method": "GET", "path": "/a\x1b[2Jb"})


def test_errors_carry_it_too(client):
    answer = client.get("/nothing", headers={"X-Correlation-ID": "shop-42"})

    assert ("shop-42", "shop-42") == (answer.headers["x-correlation-id"], answer.json()["correlation_id"])


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("DELETE", "/letters", 405)])
def test_every_error_has_the_one_shape(client, method, path, status):
    answer = client.request(method, path)

    assert status == answer.status_code
    assert {"error", "message", "correlation_id"} == set(answer.json())


def test_a_405_says_what_is_allowed(client):
    assert "POST" in client.delete("/letters").headers["allow"]


def test_a_request_is_one_line_without_its_body_and_query(client, body, lines):
    client.post("/letters?token=hunter2", json={**body, "recipient": "hunter3"}, headers={"Authorization": "hunter4"})
    requests = [line for line in lines if line["event"] == "http.request"]

    assert [("POST", "/letters", 202)] == [(one["method"], one["path"], one["status"]) for one in requests]
    assert 0 < requests[0]["seconds"] < 5
    assert "hunter" not in str(lines)


@pytest.fixture
def with_a_bug(api):
    @api.get("/bug")
    def bug():
        raise RuntimeError("password=hunter2")


def test_a_bug_is_logged_with_its_traceback(with_a_bug, client, lines):
    client.get("/bug")

    assert [True] == [line["exc_info"] for line in lines if line["event"] == "http.failed"]


def test_a_bug_is_answered_in_the_same_shape_and_tells_nothing(with_a_bug, client, lines):
    answer = client.get("/bug")

    assert (500, "internal_error") == (answer.status_code, answer.json()["error"])
    assert answer.headers["x-correlation-id"] == answer.json()["correlation_id"]
    assert "hunter2" not in answer.text


def test_probes_are_quiet(api, client, lines):
    client.get("/health")
    client.get("/ready")
    api.broker.availability._reason = "does not answer"
    client.get("/ready")

    assert ["debug", "debug", "debug"] == [line["log_level"] for line in lines]


def test_metrics_count_by_route_not_by_path(api, client, body):
    client.post("/letters", json=body)
    for number in range(3):
        client.get(f"/letters/0b9d1c1e-6f0a-4a52-9d53-6c1b7f2c8a1{number}")
        client.get(f"/wp-admin/{number}")
        client.request(f"X{number}", "/health")
    api.broker.availability._reason = "does not answer"
    client.post("/letters", json=body)
    answer = client.get("/metrics")
    samples = [one for family in text_string_to_metric_families(answer.text) for one in family.samples]
    requests = {tuple(one.labels.values()): one.value for one in samples if one.name == "http_requests_total"}

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 3 == requests["GET", "/letters/{letter_id}", "404"]
    assert 3 == requests["GET", "unknown", "404"]
    assert 3 == requests["other", "/health", "405"]
    assert {"accepted": 1, "repeated": 0, "conflict": 0, "full": 0, "unavailable": 1, "unknown": 0} == {
        one.labels["outcome"]: one.value for one in samples if one.name == "celery_published_total"
    }
    assert any(one.name == "process_resident_memory_bytes" for one in samples)
