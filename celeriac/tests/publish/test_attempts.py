import pytest
import redis

from celeriac.errors import NotPublished, OutcomeUnknown
from celeriac.publish.attempts import Calls, Patience
from celeriac.publish.outgoing import Outgoing


def message(task_id: str) -> Outgoing:
    return Outgoing("tasks.x", task_id, "orders", "orders", "print", 60_000, b"raw")


@pytest.fixture
def calls() -> Calls:
    return Calls(100, Patience(attempts=4, first_seconds=0.1, step_seconds=0.3, longest_seconds=0.5))


def test_the_first_repeat_comes_at_once_and_the_others_later_and_later(calls: Calls) -> None:
    call = calls([message("a")])
    assert [0.0, 0.1, 0.4] == [call.failed(redis.TimeoutError(), sent=True) for _ in range(3)]
    with pytest.raises(OutcomeUnknown):
        call.failed(redis.TimeoutError(), sent=True)


def test_who_has_no_patience_repeats_once_all_the_same() -> None:
    call = Calls(100, Patience(attempts=1))([message("a")])
    assert 0.0 == call.failed(redis.TimeoutError(), sent=True)
    with pytest.raises(OutcomeUnknown):
        call.failed(redis.TimeoutError(), sent=True)


def test_who_was_refused_does_not_ask_again(calls: Calls) -> None:
    for refusal in (redis.exceptions.OutOfMemoryError("OOM"), redis.AuthenticationError("NOAUTH")):
        with pytest.raises(NotPublished):
            calls([message("a")]).failed(refusal, sent=True)


def test_who_found_nobody_asks_again_and_knows_that_nothing_happened(calls: Calls) -> None:
    loading = redis.exceptions.BusyLoadingError("LOADING")
    for nobody, sent in ((redis.ConnectionError("Error 111"), False), (redis.TimeoutError(), False), (loading, True)):
        call = calls([message("a")])
        assert [0.0, 0.1, 0.4] == [call.failed(nobody, sent=sent) for _ in range(3)]
        with pytest.raises(NotPublished):
            call.failed(nobody, sent=sent)


@pytest.mark.parametrize("error", [redis.TimeoutError(), redis.ConnectionError("reset"), TimeoutError(), OSError()])
def test_silence_is_never_certain(calls: Calls, error: Exception) -> None:
    call = calls([message("a")])
    call.failed(error, sent=True)
    for _ in range(2):
        call.failed(redis.ConnectionError("Error 111"), sent=False)  # later attempts say nothing about the first
    with pytest.raises(OutcomeUnknown):
        call.failed(redis.ConnectionError("Error 111"), sent=False)


@pytest.mark.parametrize("by", ["__cause__", "__context__"])
def test_what_an_error_was_raised_from_makes_nothing_certain(calls: Calls, by: str) -> None:
    error = redis.TimeoutError()
    setattr(error, by, ConnectionRefusedError())
    call = calls([message("a")])
    for _ in range(3):
        call.failed(error, sent=True)
    with pytest.raises(OutcomeUnknown):
        call.failed(error, sent=True)


def test_what_a_chunk_put_into_its_queue_is_remembered_for_the_rate(calls: Calls) -> None:
    calls([message("a"), message("b"), message("c")]).answered([7, 1, 0, 1])
    [(_, depth, accepted)] = calls.backlogs["orders"]._samples
    assert (7, 2) == (depth, accepted)
