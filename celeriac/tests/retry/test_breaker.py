import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from threading import Barrier, Event
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from celeriac.errors import CircuitOpen, PermanentError, TransientError
from celeriac.retry.breaker import PROBE_SECONDS, Breaker, State


@dataclass
class Clock:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("payments", clock=clock)


def call(breaker: Breaker, error: BaseException | None = None) -> None:
    with breaker:
        if error is not None:
            raise error


def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(ConnectionError):
            call(breaker, ConnectionError())


def refused(breaker: Breaker) -> CircuitOpen:
    with pytest.raises(CircuitOpen) as caught:
        call(breaker)
    return caught.value


def test_the_fifth_failure_in_a_row_opens_it(breaker: Breaker) -> None:
    fail(breaker, 4)
    assert State.CLOSED is breaker.state
    fail(breaker)
    assert State.OPEN is breaker.state


def test_a_success_ends_a_row_of_failures(breaker: Breaker) -> None:
    for _ in range(2):
        fail(breaker, 4)
        call(breaker)
    assert State.CLOSED is breaker.state


def test_half_of_the_last_twenty_calls_opens_it(breaker: Breaker) -> None:
    for _ in range(9):
        fail(breaker)
        call(breaker)
    call(breaker)
    assert State.CLOSED is breaker.state  # 9 of 19
    fail(breaker)
    assert State.OPEN is breaker.state


def test_half_of_fewer_than_twenty_calls_does_not(breaker: Breaker) -> None:
    for _ in range(9):
        call(breaker)
        fail(breaker)
    assert State.CLOSED is breaker.state


def test_an_open_one_calls_nobody_and_says_for_how_long(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now += 1.5
    error = refused(breaker)
    assert ("payments is not called: its breaker is open", 3.5) == (str(error), error.retry_after_seconds)


def test_a_success_of_the_probe_closes_it(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now += 5
    assert State.HALF_OPEN is breaker.state
    call(breaker)
    assert State.CLOSED is breaker.state
    fail(breaker, 4)  # what was before counts no more
    assert State.CLOSED is breaker.state


def test_each_failed_probe_doubles_the_time_up_to_a_minute_and_a_success_resets_it(
    breaker: Breaker, clock: Clock
) -> None:
    fail(breaker, 5)
    seconds = []
    for _ in range(6):
        seconds.append(refused(breaker).retry_after_seconds)
        clock.now += seconds[-1] or 0
        fail(breaker)
    assert [5, 10, 20, 40, 60, 60] == seconds
    clock.now += 60
    call(breaker)
    fail(breaker, 5)
    assert 5 == refused(breaker).retry_after_seconds


def test_while_a_probe_is_on_its_way_nobody_else_is_let_through(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now += 5
    with breaker:
        assert 5 == refused(breaker).retry_after_seconds
    call(breaker)


@pytest.mark.parametrize("answer", [PermanentError("declined"), TypeError("ours")])
def test_a_permanent_error_is_an_answer(breaker: Breaker, clock: Clock, answer: Exception) -> None:
    for _ in range(30):
        with pytest.raises(type(answer)):
            call(breaker, answer)
    fail(breaker, 5)
    clock.now += 5
    with pytest.raises(type(answer)):
        call(breaker, answer)
    assert State.CLOSED is breaker.state


@pytest.mark.parametrize("error", [TransientError("x"), TimeoutError(), KeyError("nobody has classified it")])
def test_every_other_error_is_a_failure(breaker: Breaker, error: Exception) -> None:
    for _ in range(5):
        with pytest.raises(type(error)):
            call(breaker, error)
    assert State.OPEN is breaker.state


@pytest.mark.parametrize("error", [CircuitOpen("another's"), KeyboardInterrupt(), SystemExit()])
def test_what_says_nothing_about_the_dependency_changes_nothing(
    breaker: Breaker, clock: Clock, error: BaseException
) -> None:
    fail(breaker, 4)
    for _ in range(30):
        with pytest.raises(type(error)):
            call(breaker, error)
    fail(breaker)
    clock.now += 5
    with pytest.raises(type(error)):
        call(breaker, error)
    assert State.HALF_OPEN is breaker.state
    call(breaker)  # the next one is the probe
    assert State.CLOSED is breaker.state


def test_the_error_of_the_call_is_the_one_that_is_seen(breaker: Breaker) -> None:
    error = ConnectionError("mine")
    with pytest.raises(ConnectionError) as caught:
        call(breaker, error)
    assert caught.value is error


def test_it_decorates(breaker: Breaker) -> None:
    @breaker
    def charge(amount: int, *, currency: str) -> str:
        if amount < 0:
            raise ConnectionError
        return f"{amount} {currency}"

    assert ("7 EUR", "charge") == (charge(7, currency="EUR"), charge.__name__)
    for _ in range(5):
        with pytest.raises(ConnectionError):
            charge(-1, currency="EUR")
    with pytest.raises(CircuitOpen):
        charge(7, currency="EUR")


def test_it_does_not_decorate_what_only_makes_a_coroutine(breaker: Breaker) -> None:
    async def charge() -> None: ...

    with pytest.raises(TypeError, match="around the await"):
        breaker(charge)


def test_one_within_another_keeps_its_own_count(breaker: Breaker, clock: Clock) -> None:
    inner = Breaker("inner", clock=clock)

    def both() -> None:
        with breaker:
            call(inner)
            raise ConnectionError

    for _ in range(5):
        with pytest.raises(ConnectionError):
            both()
    assert (State.OPEN, State.CLOSED) == (breaker.state, inner.state)


def test_a_call_that_ends_after_the_change_changes_nothing(breaker: Breaker, clock: Clock) -> None:
    late_failure, late_success = Call.begun(breaker), Call.begun(breaker)
    fail(breaker, 5)
    late_success.end(None)
    assert State.OPEN is breaker.state
    clock.now += 5
    late_failure.end(ConnectionError())
    assert State.HALF_OPEN is breaker.state
    call(breaker)
    assert State.CLOSED is breaker.state


def test_a_probe_that_hangs_is_given_up(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now += 5
    hanging = Call.begun(breaker)
    clock.now += PROBE_SECONDS - 1
    refused(breaker)
    clock.now += 1
    with breaker:
        hanging.end(ConnectionError())
        refused(breaker)
    assert State.CLOSED is breaker.state


class SlowlyCompared(float):
    """Between the look at the time and what follows from it, every other thread has had its turn."""

    def __ge__(self, other: float) -> bool:
        time.sleep(0.002)
        return float(self) >= other


def test_of_many_threads_one_is_the_probe() -> None:
    threads, clock = 16, Clock()
    breaker = Breaker("payments", clock=lambda: SlowlyCompared(clock.now))
    fail(breaker, 5)
    clock.now += 5
    start, end = Barrier(threads), Event()
    got_through = []

    def one(number: int) -> bool:
        start.wait()
        try:
            with breaker:
                got_through.append(number)
                end.wait(10)
        except CircuitOpen:
            return False
        return True

    with ThreadPoolExecutor(threads) as pool:
        ended = [pool.submit(one, number) for number in range(threads)]
        while sum(one.done() for one in ended) < threads - 1:
            time.sleep(0.001)
        end.set()
    assert (1, 1) == (len(got_through), sum(one.result() for one in ended))


def test_threads_do_not_wait_for_each_other(breaker: Breaker) -> None:
    threads = 8
    inside = Barrier(threads, timeout=10)

    def one(_: int) -> None:
        with breaker:
            inside.wait()  # all are in their calls at once, or none gets on

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(threads)))


def test_it_says_when_it_opens_and_closes(breaker: Breaker, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "celeriac")
    fail(breaker, 5)
    clock.now += 5
    call(breaker)
    said = [(one.message, one.levelname, one.__dict__["fields"]) for one in caplog.records]
    assert [
        ("breaker.opened", "WARNING", {"breaker": "payments", "open_seconds": 5.0}),
        ("breaker.closed", "INFO", {"breaker": "payments"}),
    ] == said


@dataclass
class Call:
    """One that begins and ends when the test says so, as if it were a thread's."""

    breaker: Breaker
    context: Context = field(default_factory=copy_context)
    begun_at: float = 0.0
    period: int = 0

    @classmethod
    def begun(cls, breaker: Breaker) -> "Call":
        one = cls(breaker)
        one.context.run(breaker.__enter__)
        return one

    def end(self, error: BaseException | None) -> None:
        self.context.run(self.breaker.__exit__, type(error) if error else None, error, None)


ERRORS: dict[str, Any] = {"went well": None, "failed": ConnectionError(), "refused": PermanentError("no")}


class Histories(RuleBasedStateMachine):
    """Calls that begin and end in any order while time goes by, against the rules of the page as plain lists."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = Breaker("any", clock=self.clock)
        self.calls: list[Call] = []
        self.period = 0  # from one opening or closing to the next
        self.outcomes: list[bool] = []  # of this period's calls, while closed: whether they failed
        self.opened_at: float | None = None
        self.open_seconds = 5.0
        self.probe: Call | None = None

    def changed(self) -> None:
        self.period += 1
        self.outcomes = []
        self.probe = None

    def opens(self) -> None:
        if self.opened_at is not None:
            self.open_seconds = min(60.0, 2 * self.open_seconds)
        self.opened_at = self.clock.now
        self.changed()

    @rule()
    def begin(self) -> None:
        try:
            one = Call.begun(self.breaker)
        except CircuitOpen as exc:
            self.was_refused(exc)
            return
        one.begun_at, one.period = self.clock.now, self.period
        self.calls.append(one)
        if self.opened_at is not None:
            assert self.clock.now >= self.opened_at + self.open_seconds, "too early"
            assert self.probe is None or self.clock.now >= self.probe.begun_at + PROBE_SECONDS, "two probes"
            self.probe = one

    def was_refused(self, error: CircuitOpen) -> None:
        assert self.opened_at is not None, "it was closed"
        over = self.clock.now >= self.opened_at + self.open_seconds
        assert not over or self.probe is not None, "its time was over and nobody was probing"
        assert error.retry_after_seconds is not None
        assert 0 < error.retry_after_seconds <= self.open_seconds

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0, 5), how=st.sampled_from([*ERRORS, "failed", "failed"]))
    def end(self, which: int, how: str) -> None:
        self.ends(self.calls.pop(which % len(self.calls)), how)

    @rule(how=st.sampled_from(["went well", "failed", "failed", "failed"]), times=st.integers(1, 6))
    def begin_and_end(self, how: str, times: int) -> None:
        for _ in range(times):
            before = len(self.calls)
            self.begin()
            if len(self.calls) > before:
                self.ends(self.calls.pop(), how)

    def ends(self, one: Call, how: str) -> None:
        one.end(ERRORS[how])
        failed = how == "failed"
        if self.opened_at is None:
            if one.period != self.period:
                return
            self.outcomes.append(failed)
            if self.outcomes[-5:] == [True] * 5 or (len(self.outcomes) >= 20 and sum(self.outcomes[-20:]) >= 10):
                self.opens()
        elif one is self.probe:
            if failed:
                self.opens()
            else:
                self.opened_at, self.open_seconds = None, 5.0
                self.changed()

    @rule(seconds=st.sampled_from([0.5, 4.9, 5.0, 20.0, 60.0, PROBE_SECONDS]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def is_in_the_state_that_the_rules_say(self) -> None:
        if self.opened_at is None:
            assert State.CLOSED is self.breaker.state
        else:
            over = self.clock.now >= self.opened_at + self.open_seconds
            assert (State.HALF_OPEN if over else State.OPEN) is self.breaker.state


TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=200, stateful_step_count=60, derandomize=True, deadline=None, database=None
)
