"""Counting across processes."""

import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from celeriac.dead_letter.letters import Reason
from celeriac.outcome.commit import Commit, Verdict
from celeriac.worker.metrics import SHOWN, EventCounter, Metrics
from celeriac.worker.tally import KEPT, STATES, Tally

KINDS, OUTCOMES = ("EMAIL", "SMS"), ("delivered", "failed")
NOTHING = {(kind, outcome): 0 for kind in KINDS for outcome in OUTCOMES}


@pytest.fixture
def counter():
    return EventCounter("mails", "Mails.", kind=KINDS, outcome=OUTCOMES)


class App:
    """As much of an app as metrics look at."""

    tasks = ("tasks.mail", "celery.chunks")
    intake = None


@pytest.fixture
def metrics(counter):
    return Metrics(App(), lambda: True, [counter])


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


def commit(task="tasks.mail", verdict=Verdict.COMMITTED, ran=0.002, waited=1.0, **facts):
    made = Commit("tag", "id", task)
    made.verdict, made.until = verdict, time.monotonic() - 0.003
    made.since = made.until - ran if ran is not None else 0.0  # None: no body has run
    published = time.time() - 0.003 - (ran or 0) - waited
    made.headers = {"eta": facts.pop("eta", None), "published_at": facts.pop("published_at", published)}
    made.facts = facts or None
    return made, None


def states(metrics):
    return {key: value for key, value in counts(metrics, "celery_tasks_total").items() if value}


def test_every_state_of_every_task_is_shown_before_it_happens(metrics):
    assert dict.fromkeys([(one, "tasks.mail") for one in STATES], 0) == counts(metrics, "celery_tasks_total")


def test_reasons_and_durations_are_shown_before_the_first_too_so_that_it_counts_in_a_rate(metrics):
    letters = counts(metrics, "celery_dead_letters_total")
    assert dict.fromkeys([(str(one), "tasks.mail") for one in Reason], 0) == letters
    for part in ("wait", "run", "end_to_end"):
        assert {("tasks.mail",): 0} == counts(metrics, f"celery_task_{part}_seconds_count")


def test_outcomes_are_counted_by_their_verdict_and_their_state(metrics):
    metrics.tally(
        [
            commit(),
            commit(sent=[]),
            commit(verdict=Verdict.REFUSED),
            commit(verdict=Verdict.REPEATED),
            commit(state="RETRY"),
            commit(state="FAILURE", dead=True, reason="poison"),
            commit(state="FAILURE"),
            commit(state="ahead", ran=0),
        ]
    )
    expected = {"succeeded": 2, "refused": 1, "repeated": 1, "retrying": 1, "failed": 2, "dead": 1}
    assert expected == {state: n for (state, _), n in states(metrics).items() if state != "started"}
    letters = {key: value for key, value in counts(metrics, "celery_dead_letters_total").items() if value}
    assert {("poison", "tasks.mail"): 1} == letters


def test_what_anybody_may_have_sent_is_one_task_that_is_unknown(metrics):
    metrics.tally([commit(task="a"), commit(task="b"), commit(task="")])
    assert 3 == states(metrics)["succeeded", "unknown"]


def test_durations_are_sorted_into_buckets_and_summed(metrics):
    metrics.tally([commit(ran=0.0004), commit(ran=0.002), commit(ran=7000)])
    buckets = {key[0]: n for key, n in counts(metrics, "celery_task_run_seconds_bucket").items()}
    assert [1, 1, 2, 2, 3] == [buckets[bound] for bound in ("0.0005", "0.001", "0.0025", "3600.0", "+Inf")]
    assert 7000.0024 == pytest.approx(counts(metrics, "celery_task_run_seconds_sum")["tasks.mail",])
    assert 3.0 == pytest.approx(counts(metrics, "celery_task_wait_seconds_sum")["tasks.mail",], abs=0.1)
    assert 7003 == pytest.approx(counts(metrics, "celery_task_end_to_end_seconds_sum")["tasks.mail",], abs=0.2)
    assert 0.003 == pytest.approx(counts(metrics, "celery_commit_seconds_sum")[()], abs=0.05)


def test_a_wait_begins_when_a_message_was_due_and_a_retry_is_no_end(metrics):
    due = datetime.fromtimestamp(time.time() - 5, UTC).isoformat()
    metrics.tally([commit(waited=100, eta=due), commit(state="RETRY", waited=100, eta=due)])
    assert 10 == pytest.approx(counts(metrics, "celery_task_wait_seconds_sum")["tasks.mail",], abs=0.1)
    assert {("tasks.mail",): 1} == counts(metrics, "celery_task_end_to_end_seconds_count")


def test_of_a_publisher_that_writes_no_time_only_the_run_is_known(metrics):
    metrics.tally([commit(), commit(published_at=None), commit(published_at="x")])
    assert {("tasks.mail",): 3} == counts(metrics, "celery_task_run_seconds_count")
    assert {("tasks.mail",): 1} == counts(metrics, "celery_task_wait_seconds_count")


def test_a_publisher_whose_clock_is_ahead_makes_no_negative_sum(metrics):
    metrics.tally([commit(waited=-50), commit(waited=1)])
    assert 1 == pytest.approx(counts(metrics, "celery_task_wait_seconds_sum")["tasks.mail",], abs=0.1)


def test_thousands_of_durations_are_kept_in_little_room(metrics):
    for _ in range(30):
        metrics.tally([commit() for _ in range(100)])
    assert all(len(one._new) <= KEPT for one in metrics.tally._durations.values())
    assert {("tasks.mail",): 3000} == counts(metrics, "celery_task_run_seconds_count")


@pytest.mark.parametrize(
    "more", [{}, {"task": "b"}, {"sent": []}, {"ran": 0, "state": "ahead"}, {"ran": None}, {"eta": "2000-01-01"}]
)
def test_the_short_way_of_a_usual_batch_counts_what_the_long_way_does(more):
    batch = [*(commit(waited=0.7) for _ in range(5)), commit(**{"waited": 0.7, **more})]
    short, long = Tally({"tasks.mail"}), Tally({"tasks.mail"})
    short(batch, alike=True)
    long(batch)
    assert short.states({}) == long.states({})
    for part in ("wait", "run", "end_to_end"):
        shown = [{task: one[0] for task, one in tally.durations(part).items()} for tally in (short, long)]
        assert shown[0] == shown[1]
    assert 5 <= short.states({})["tasks.mail", "started"] <= 6


def test_a_counter_never_falls_while_an_outcome_is_under_way():
    tally = Tally({"tasks.mail"})
    seen = [tally.states({"tasks.mail": 2})["tasks.mail", "started"]]
    seen.append(tally.states({})["tasks.mail", "started"])
    tally([commit(), commit(), commit()])
    seen.append(tally.states({})["tasks.mail", "started"])
    assert [2, 2, 3] == seen


def test_the_documents_name_every_metric_and_what_it_means():
    page = (Path(__file__).parents[3] / "docs" / "observability.md").read_text()
    table = dict(re.findall(r"^\| `(\w+)` \| \w+ \| [^|]*\| (.*?) \|$", page, re.MULTILINE))
    assert SHOWN == {name: table.get(name) for name in SHOWN}


def test_whether_it_consumes_is_asked_when_it_is_shown():
    answers = iter([False, True])
    metrics = Metrics(App(), consuming=lambda: next(answers))
    shown = [next(one.value for one in samples(metrics) if one.name == "consumer_bound") for _ in range(2)]

    assert [0, 1] == shown


def test_a_worker_needs_no_prometheus_client():
    program = "import sys; sys.modules['prometheus_client'] = None; import celeriac.worker.service"

    assert 0 == subprocess.run([sys.executable, "-c", program], check=False).returncode
