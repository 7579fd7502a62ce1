import pytest
import redis

from common_tasks.errors import NotPublished, OutcomeUnknown
from common_tasks.transport.outgoing import Outgoing
from common_tasks.transport.settling import Calls, Patience, certain


def message(task_id: str) -> Outgoing:
    return Outgoing("tasks.x", task_id, "orders", "orders", "print", 60_000, b"raw")


@pytest.fixture
def calls() -> Calls:
    return Calls(100, Patience(attempts=4, first_seconds=0.1, step_seconds=0.3, longest_seconds=0.5))


def test_the_first_repeat_comes_at_once_and_the_others_later_and_later(calls: Calls) -> None:
    call = calls([message("a")])
    assert [0.0, 0.1, 0.4] == [call.failed(redis.TimeoutError()) for _ in range(3)]
    with pytest.raises(OutcomeUnknown):
        call.failed(redis.TimeoutError())


def test_who_has_no_patience_repeats_once_all_the_same() -> None:
    call = Calls(100, Patience(attempts=1))([message("a")])
    assert 0.0 == call.failed(redis.TimeoutError())
    with pytest.raises(OutcomeUnknown):
        call.failed(redis.TimeoutError())


def test_who_was_refused_does_not_ask_again(calls: Calls) -> None:
    for refusal in (redis.exceptions.OutOfMemoryError("OOM"), redis.AuthenticationError("NOAUTH")):
        with pytest.raises(NotPublished):
            calls([message("a")]).failed(refusal)


def test_who_found_nobody_asks_again_and_knows_that_nothing_happened(calls: Calls) -> None:
    error = redis.ConnectionError("Error 111")
    error.__cause__ = ConnectionRefusedError()
    for nobody in (error, redis.exceptions.BusyLoadingError("LOADING")):
        call = calls([message("a")])
        assert [0.0, 0.1, 0.4] == [call.failed(nobody) for _ in range(3)]
        with pytest.raises(NotPublished):
            call.failed(nobody)


@pytest.mark.parametrize("error", [redis.TimeoutError(), redis.ConnectionError("reset"), TimeoutError(), OSError()])
def test_silence_is_never_certain(error: Exception) -> None:
    assert not certain(error)


def test_what_a_chunk_put_into_its_queue_is_remembered_for_the_rate(calls: Calls) -> None:
    calls([message("a"), message("b"), message("c")]).answered([7, 1, 0, 1])
    [(_, depth, accepted)] = calls.drains["orders"]._samples
    assert (7, 2) == (depth, accepted)
