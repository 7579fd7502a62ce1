"""What the keys of the dashboard do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from celeriac.life.record import Kind, Record
from devctl.clock import SystemClock
from devctl.dash.actions import Actions
from devctl.dash.collect import Collector
from devctl.dash.fake import QUEUE, SERVICES, TASK, FakeStack
from devctl.errors import DevctlError
from devctl.stack.fake import Behaviour
from devctl.ui.desk import Desk


class Views:
    def __init__(self) -> None:
        self.lines = 100

    def trace(self, task_id: str) -> Sequence[str]:
        if task_id == "unknown":
            raise DevctlError("never seen here", hint="devctl trace")
        return [f"the way of {task_id}"]

    def logs(self, services: Sequence[str], task_id: str) -> Sequence[str]:
        return [f"line {n} of {task_id or services[0]}" for n in range(self.lines)]


class Seat:
    """A desk with a fake stack behind it; what is done is done at once."""

    def __init__(self, shop: FakeStack) -> None:
        self.shop, self.collector = shop, Collector(shop.sources)
        self.views = Views()
        self.desk = Desk(Actions(shop.sources), self.views, start=lambda work: work())
        self.look()

    def look(self) -> None:
        self.desk.show(self.collector.look())

    def press(self, *keys: str) -> list[str]:
        for key in keys:
            self.desk.key(key)
        return self.lines()

    def lines(self) -> list[str]:
        return [one.rstrip() for one in self.desk.lines(80, 24)]

    @property
    def selected(self) -> str:
        (line,) = [one for one in self.lines() if one.startswith("▸")]
        return line.split()[1]

    @property
    def foot(self) -> str:
        return self.lines()[-1]


@pytest.fixture
def shop() -> FakeStack:
    shop = FakeStack()
    shop.bury("0190b3c2-id")
    return shop


@pytest.fixture
def seat(shop: FakeStack) -> Seat:
    return Seat(shop)


def test_the_screen_is_as_high_as_the_terminal_whatever_is_on_it(seat: Seat) -> None:
    for rows in (5, 8, 24, 60):
        assert rows == len(seat.desk.lines(80, rows))
    seat.press("?")
    assert 8 == len(seat.desk.lines(80, 8))


def test_arrows_and_tab_select(seat: Seat) -> None:
    assert "redis" == seat.selected
    seat.press("down")
    assert "worker" == seat.selected
    seat.press("tab")
    assert "images" == seat.selected
    seat.press("back tab", "end")
    assert "0s" == seat.selected  # of the failure, how long ago
    seat.press("tab")
    assert "redis" == seat.selected


def test_a_selection_stays_with_its_row_when_others_come(seat: Seat, shop: FakeStack) -> None:
    seat.press("end")
    shop.clock.sleep(2.0)
    shop.bury("0290-later")
    shop.clock.sleep(1.0)
    seat.look()

    assert "3s" == seat.selected  # not the new one above it


def test_what_is_selected_says_which_keys_work(seat: Seat) -> None:
    assert "l: logs  s: scale  r: restart  tab: next  ?: help  q: end" == seat.foot
    seat.press("end")
    assert "Enter: trace  l: logs  R: replay  D: drop  tab: next  ?: help  q: end" == seat.foot


@pytest.mark.parametrize(
    ("keys", "question", "call"),
    [
        (("down", "s", "3", "enter"), "Scale worker from 2 to 3?", "start worker=3"),
        (("down", "r"), "Restart worker?", "restart worker"),
    ],
)
def test_services_are_changed_after_a_yes_only(
    shop: FakeStack, seat: Seat, keys: tuple[str, ...], question: str, call: str
) -> None:
    shop.runtime.clock = SystemClock()  # a start waits by it
    shop.runtime.behaviours = dict.fromkeys(SERVICES, Behaviour(healthy_after=0.01))

    assert f"{question}  y: yes, n: no" == seat.press(*keys)[-1]
    seat.press("n")
    assert "· nothing was done" == seat.foot
    assert call not in shop.runtime.calls
    seat.press(*keys, "y") if keys[0] != "down" else seat.press(*keys[1:], "y")
    assert call in shop.runtime.calls
    assert seat.foot.startswith("✔ worker ")


def test_what_cannot_be_scaled_is_not_asked_about(seat: Seat) -> None:
    assert "! redis is there once: it has a fixed port or name, or is the broker" == seat.press("s")[-1]


def test_a_queue_is_paused_and_resumed(shop: FakeStack, seat: Seat) -> None:
    seat.press("tab", "p")
    assert "Pause images: no worker takes from it until it is resumed?  y: yes, n: no" == seat.foot
    seat.press("y")
    assert {QUEUE} == shop.broker.paused()
    shop.clock.sleep(1.0)
    seat.look()
    assert any("paused " in one and one.endswith("▁▁") for one in seat.lines())
    seat.press("p", "y")
    assert "✔ images is consumed again" == seat.foot
    assert set() == shop.broker.paused()


def test_a_dead_letter_is_replayed(shop: FakeStack, seat: Seat) -> None:
    seat.press("end", "R")
    assert "Put images.resize back into images?  y: yes, n: no" == seat.foot
    seat.press("y")
    assert "✔ images.resize is back in images: devctl trace 0190b3c2-id" == seat.foot
    assert [] == list(shop.broker.letters())


def test_a_dead_letter_is_dropped(shop: FakeStack, seat: Seat) -> None:
    assert "Drop the dead letter of images.resize for ever?  y: yes, n: no" == seat.press("end", "D")[-1]
    seat.press("y")
    assert [] == list(shop.broker.letters())


def test_a_failure_without_a_letter_cannot_be_replayed(shop: FakeStack, seat: Seat) -> None:
    shop.clock.sleep(1.0)
    shop.broker.life.records.append(Record(shop.clock.now(), Kind.RETRIED, "0290-id", task=TASK, queue=QUEUE))
    seat.look()

    assert "! this one has no dead letter (any more)" == seat.press("tab", "tab", "tab", "R")[-1]


def test_what_goes_wrong_is_shown_with_what_to_do(shop: FakeStack, seat: Seat) -> None:
    shop.broker.drop([next(iter(shop.broker.letters())).id])

    seat.press("end", "R", "y")

    assert "no dead letter" in seat.lines()[0]
    assert "→ devctl dead-letters list" in seat.lines()
    assert seat.press("escape")[0].startswith("shop")


def test_enter_shows_the_way_of_a_task_and_escape_comes_back(seat: Seat) -> None:
    assert ["Trace of 0190b3c2-id", "", "the way of 0190b3c2-id"] == seat.press("end", "enter")[:3]
    assert seat.press("escape")[0].startswith("shop")


def test_a_view_that_cannot_be_read_says_why(seat: Seat, shop: FakeStack) -> None:
    shop.broker.drop([next(iter(shop.broker.letters())).id])
    shop.bury("unknown")
    shop.clock.sleep(6.0)
    seat.look()

    assert ["never seen here", "", "→ devctl trace"] == seat.press("end", "enter")[2:5]


def test_logs_begin_at_their_end_and_can_be_moved_in(seat: Seat) -> None:
    assert ["Logs of redis  80 to 100 of 100", "", "line 79 of redis"] == seat.press("l")[:3]
    assert "Logs of redis  79 to 99 of 100" == seat.press("up")[0]
    assert "Logs of redis  1 to 21 of 100" == seat.press("home")[0]


def test_logs_that_come_later_begin_at_their_end_too(seat: Seat) -> None:
    works: list[Callable[[], None]] = []
    seat.desk.start = works.append

    assert ["Logs of redis", "", "reading …"] == seat.press("l")[:3]
    works[0]()
    assert "Logs of redis  80 to 100 of 100" == seat.lines()[0]


def test_new_lines_of_logs_are_shown_unless_somebody_reads_older_ones(seat: Seat) -> None:
    seat.press("l")
    seat.views.lines = 110
    seat.desk.refresh()
    assert "Logs of redis  90 to 110 of 110" == seat.lines()[0]

    seat.press("up")
    seat.views.lines = 120
    seat.desk.refresh()
    assert "Logs of redis  89 to 109 of 110" == seat.lines()[0]


def test_logs_of_a_failure_are_those_of_its_task(seat: Seat) -> None:
    assert seat.press("end", "l")[0].startswith("Logs of 0190b3c2-id")


def test_logs_of_a_queue_are_those_of_who_consumes_it(seat: Seat) -> None:
    assert seat.press("tab", "l")[0].startswith("Logs of worker")


def test_q_ends_it_and_asks_once_while_something_is_done(seat: Seat) -> None:
    works = []
    seat.desk.start = works.append
    seat.press("down", "r", "y", "q")
    assert not seat.desk.ended
    assert "! restarting worker: it is not done yet; q again ends devctl all the same" == seat.foot
    seat.press("q")
    assert seat.desk.ended
