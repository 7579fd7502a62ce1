"""Counting across processes."""

import os
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service2.metrics import EVENTS, Metrics


@pytest.fixture
def metrics():
    made = Metrics(consuming=lambda: True)
    made.start()
    return made


def samples(metrics):
    return [one for family in text_string_to_metric_families(metrics.text().decode()) for one in family.samples]


def counts(metrics):
    return {tuple(one.labels.values()): one.value for one in samples(metrics) if one.name == "notifications_total"}


def wait_for_counts(metrics, expected):
    deadline = time.monotonic() + 5
    while (seen := counts(metrics)) != expected and time.monotonic() < deadline:
        time.sleep(0.01)
    assert expected == seen


def test_everything_that_can_happen_is_shown_before_it_does(metrics):
    assert dict.fromkeys(EVENTS, 0) == counts(metrics)


def test_events_are_counted_by_what_they_are(metrics):
    metrics.count("EMAIL", "delivered")
    metrics.count("EMAIL", "delivered")
    metrics.count("PUSH", "failed")

    wait_for_counts(metrics, dict.fromkeys(EVENTS, 0) | {("EMAIL", "delivered"): 2, ("PUSH", "failed"): 1})


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # what a prefork pool does, too
def test_what_happens_in_a_child_is_counted_in_the_parent(metrics):
    child = os.fork()
    if child == 0:
        metrics.count("SMS", "delivered")
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)

    wait_for_counts(metrics, dict.fromkeys(EVENTS, 0) | {("SMS", "delivered"): 1})


def test_a_full_pipe_stops_no_task():
    unread = Metrics(consuming=lambda: True)
    for _ in range(70_000):
        unread.count("EMAIL", "delivered")


def test_whether_it_consumes_is_asked_when_it_is_shown():
    answers = iter([False, True])
    metrics = Metrics(consuming=lambda: next(answers))
    shown = [next(one.value for one in samples(metrics) if one.name == "consumer_bound") for _ in range(2)]

    assert [0, 1] == shown
