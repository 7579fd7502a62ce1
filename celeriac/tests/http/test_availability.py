"""The watch over a lost broker."""

import time

import pytest
import redis.exceptions
import structlog

from celeriac.http.availability import Availability
from celeriac.http.faults import BrokerUnavailable


def until_it_is_back(watched):
    deadline = time.monotonic() + 5
    while True:
        try:
            return watched.check()
        except BrokerUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.005)


def test_the_watch_survives_what_nobody_expected():
    problems = [redis.exceptions.TimeoutError(), RuntimeError("boom"), RuntimeError("boom")]
    refused = []

    def ping():
        with pytest.raises(BrokerUnavailable) as caught:
            watched.check()
        refused.append(caught.value)
        if problems:
            raise problems.pop(0)

    watched = Availability(ping, lambda: None, retry_seconds=0)
    with structlog.testing.capture_logs() as caught:
        watched.failed("cannot be reached")
        until_it_is_back(watched)
        time.sleep(0.05)  # it tells after it let everybody in

    reasons = ["cannot be reached", *["does not answer"] * 3]
    assert all(reason in str(one) for reason, one in zip(reasons, refused, strict=True))
    assert ["broker.lost", "broker.watch_failed", "broker.back"] == [line["event"] for line in caught]
    assert caught[1]["exc_info"]


def test_a_second_loss_is_watched_like_the_first():
    watched = Availability(lambda: None, lambda: None, retry_seconds=0)
    for _ in range(3):
        watched.failed("does not answer")
        until_it_is_back(watched)


def test_however_many_lose_it_one_watches():
    asked = []
    watched = Availability(lambda: asked.append(time.monotonic()), lambda: None, retry_seconds=0.1)
    with structlog.testing.capture_logs() as caught:
        for _ in range(50):
            watched.failed("does not answer")
        until_it_is_back(watched)

    assert 1 == len(asked)
    assert ["broker.lost"] == [line["event"] for line in caught][:1]
    assert 1 == [line["event"] for line in caught].count("broker.lost")


def test_after_its_end_nothing_watches():
    watched = Availability(lambda: pytest.fail("asked"), lambda: None, retry_seconds=0.01)
    watched.close()
    watched.failed("does not answer")
    time.sleep(0.05)

    with pytest.raises(BrokerUnavailable):
        watched.check()
