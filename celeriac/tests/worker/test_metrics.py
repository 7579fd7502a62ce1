"""Counting across processes."""

import os
import subprocess
import sys
import time

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from celeriac.events import transition
from celeriac.worker.metrics import EventCounter, Metrics

KINDS, OUTCOMES = ("EMAIL", "SMS"), ("delivered", "failed")
NOTHING = {(kind, outcome): 0 for kind in KINDS for outcome in OUTCOMES}


@pytest.fixture
def counter():
    return EventCounter("mails", "Mails.", kind=KINDS, outcome=OUTCOMES)


@pytest.fixture
def metrics(counter):
    made = Metrics(["tasks.mail"], lambda: True, [counter])
    yield made
    made.close()


def samples(metrics):
    return [one for family in text_string_to_metric_families(metrics.text().decode()) for one in family.samples]


def counts(metrics, name):
    return {tuple(one.labels.values()): one.value for one in samples(metrics) if one.name == name}


def wait_for_counts(metrics, expected, name="mails_total"):
    deadline = time.monotonic() + 5
    while (seen := counts(metrics, name)) != expected and time.monotonic() < deadline:
        time.sleep(0.01)
    assert expected == seen


def test_everything_that_can_happen_is_shown_before_it_does(metrics):
    assert NOTHING == counts(metrics, "mails_total")


def test_events_are_counted_by_what_they_are(metrics, counter):
    counter.count("EMAIL", "delivered")
    counter.count("EMAIL", "delivered")
    counter.count("SMS", "failed")

    wait_for_counts(metrics, NOTHING | {("EMAIL", "delivered"): 2, ("SMS", "failed"): 1})


def test_a_counter_may_have_more_values_than_a_byte():
    kinds = [str(number) for number in range(300)]
    registry, counter = CollectorRegistry(), EventCounter("mails", "Mails.", kind=kinds)
    counter.serve(registry)
    counter.count("299")

    deadline = time.monotonic() + 5
    while registry.get_sample_value("mails_total", {"kind": "299"}) != 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_value_that_no_label_has_is_a_mistake(counter):
    with pytest.raises(KeyError):
        counter.count("FAX", "delivered")


def test_where_no_metrics_are_served_nothing_is_counted(counter):
    counter.count("EMAIL", "delivered")


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")  # what a prefork pool does, too
def test_what_happens_in_a_child_is_counted_in_the_parent(metrics, counter):
    child = os.fork()
    if child == 0:
        counter.count("SMS", "delivered")
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)

    wait_for_counts(metrics, NOTHING | {("SMS", "delivered"): 1})


def test_a_full_pipe_stops_no_task(counter):
    reading, counter._writing = os.pipe()
    os.set_blocking(counter._writing, False)
    for _ in range(70_000):
        counter.count("EMAIL", "delivered")
    for one in (reading, counter._writing):
        os.close(one)


def test_tasks_are_counted_by_what_became_of_them_and_only_those_of_this_worker(metrics):
    for event, task in (("task.succeeded", "tasks.mail"), ("task.dead", "tasks.mail"), ("task.succeeded", "other")):
        transition(event, task=task, task_id="1", correlation_id="c")

    states = dict.fromkeys([(one, "tasks.mail") for one in ("failed", "retrying", "revoked")], 0)
    told = {("succeeded", "tasks.mail"): 1, ("dead", "tasks.mail"): 1}
    wait_for_counts(metrics, states | told, "celery_tasks_total")


def test_whether_it_consumes_is_asked_when_it_is_shown():
    answers = iter([False, True])
    metrics = Metrics([], consuming=lambda: next(answers))
    shown = [next(one.value for one in samples(metrics) if one.name == "consumer_bound") for _ in range(2)]
    metrics.close()

    assert [0, 1] == shown


def test_a_worker_needs_no_prometheus_client():
    program = "import sys; sys.modules['prometheus_client'] = None; import celeriac.worker.service"

    assert 0 == subprocess.run([sys.executable, "-c", program], check=False).returncode
