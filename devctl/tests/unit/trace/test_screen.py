"""How a trace looks: as text at 80 and 120 columns, without colour, in ASCII, and as a page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from devctl.tests.unit.trace.steps import BEGIN, ORDER, at, claimed, ended, made, published, step, story

from celeriac.life.record import Kind
from devctl.dash.web import trace as web
from devctl.trace.model import Trace, Where
from devctl.ui.trace import document, lines
from devctl.ui.trace import step as line_of
from devctl.ui.trace_page import page

AT_80 = """\
✔ 2.6s from POST /api/orders to the last commit: a dead letter 2.0s, not due
  500ms, ran 46ms, waited 6.0ms, claimed and not begun 6.0ms, request 4.0ms,
  committing 4.0ms
  2 tasks: all succeeded, correlation id 4bf92f3577b34da6a3ce929d0e0e4736

· POST /api/orders  service1                                 4.0ms  ▒
└─ ✔ process_order 0190b3c2                      3 attempts · 2.6s  █·█        █
   ├─ ✘ attempt 1  worker@a1                   wait 1.0ms run 12ms  █
   │    ✘ TransientError: the warehouse does not answer
   ├─ ✘ attempt 2  worker@a1         due 500ms wait 4.0ms run 12ms  ··█
   │    ✘ TransientError: the warehouse does not answer (retries-exhausted)
   ├─ ✔ replay  worker@a1                      wait 4.0ms run 20ms             █
   └─ ✔ send_notification 7f1e0000            wait 3.0ms run 2.0ms             █
                                       · not due yet  ░ waits  █ runs  ▒ request
"""


def text(trace: Trace, width: int, encoding: str = "utf-8") -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    return "".join(line.rstrip() + "\n" for line in lines(trace, width, stream))


def test_a_story_at_80_columns() -> None:
    assert AT_80 == text(made(story()), 80)


def test_at_120_columns_workers_have_room_and_no_line_is_longer() -> None:
    shown = text(made(story()), 120)

    assert re.search(r"└─ ✔ send_notification 7f1e0000  service2@c3 +wait 3.0ms run 2.0ms +█", shown)
    assert 120 >= max(map(len, shown.splitlines())) > 100


@pytest.mark.parametrize("draw", [lambda trace: text(trace, 80), document, web.document])
def test_all_spans_are_gone_through_as_often_for_many_tasks_as_for_few(
    draw: Callable[[Trace], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    walk, walks = Trace.walk, list[Trace]()
    monkeypatch.setattr(Trace, "walk", lambda trace: walks.append(trace) or walk(trace))

    draw(made([published(n, f"id-{n}", f"t{n}") for n in range(3)]))
    few = len(walks)
    draw(made([published(n, f"id-{n}", f"t{n}") for n in range(60)]))

    assert few == len(walks) - few


@pytest.mark.parametrize("width", [30, 46, 60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    shown = text(made(story()), width)

    assert max(len(line) for line in shown.splitlines() if "TransientError" not in line) <= max(width, 56)


def test_a_terminal_without_utf_8_shows_all_of_it_in_ascii() -> None:
    shown = text(made(story()), 80, "ascii")

    assert shown.isascii()
    assert "?" not in shown
    assert "`- ok send_notification" in shown


def test_what_waits_and_what_runs_differ_without_colour() -> None:
    trace = made([published(0), claimed(500), ended(1_001, 500)])

    (row,) = [line for line in text(trace, 80).splitlines() if "process_order" in line]

    waits, runs = row.count("░"), row.count("█")
    assert abs(waits - runs) <= 1 < waits


def test_the_first_line_says_from_where_to_where() -> None:
    steps = [claimed(1), ended(20, 10)]

    assert text(made([published(0), *steps]), 80).startswith("✔ 20ms from publishing to the last commit")
    assert text(made(steps), 80).startswith("✔ 19ms from the first record to the last commit")
    assert text(made([*steps[:1], published(0)]), 80).startswith("● 3.0s from publishing until now")


def test_a_group_says_how_many_of_its_parts_are_done() -> None:
    records = [
        one
        for n in range(5)
        for one in ([published(n, f"part-{n}", f"p{n}", group_id="g", root_id=f"part-{n}"), claimed(10 + n, f"p{n}")])
    ]
    records += [ended(100 + n, 5, task_id=f"part-{n}", tag=f"p{n}") for n in range(3)]

    shown = text(made(records), 80)

    assert re.search(r"^● group of 5 parts +3 of 5 done · 3.0s", shown, re.MULTILINE)


def test_where_a_message_is_stands_beneath_it() -> None:
    trace = made([published(0)])
    where = {ORDER: Where("waiting", "orders", 12, BEGIN)}

    shown = text(Trace(trace.asked, trace.correlation_id, trace.spans, trace.now, where=where), 80)

    assert "  ● waits since 3s behind 12 others in orders" in shown.splitlines()


def test_progress_stands_beneath_what_runs() -> None:
    told = step(400, Kind.PROGRESS, task_id=ORDER, tag="t1", since=at(2), progress=0.4, note="resized 4 of 10")

    assert "  ● 40% resized 4 of 10" in text(made([published(0), claimed(1), told]), 80).splitlines()


def test_a_step_is_one_line_that_names_its_task_though_a_claim_knows_only_its_tag() -> None:
    records = story()

    shown = [line_of(one, made(records)) for one in records]

    assert "    +4.0ms  process_order 0190b3c2  published  service1" == shown[0]
    assert "    +5.0ms  process_order 0190b3c2  claimed  worker@a1" == shown[1]
    assert "+18ms  process_order 0190b3c2  retried  worker@a1  TransientError: the warehouse" in shown[2]


class Page(HTMLParser):
    """What is read of a page, and whether each element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(html: str) -> Page:
    found = Page()
    found.feed(html)
    assert [] == found.open
    return found


def test_the_page_is_one_file_that_needs_no_script_and_no_other_file() -> None:
    found = read(page(made(story())))

    assert {"script", "link", "img", "iframe"}.isdisjoint(tag for tag, _ in found.tags)
    assert not any({"src", "href", "onclick"} & set(attributes) for _, attributes in found.tags)
    assert "url(" not in page(made(story()))


def test_the_page_says_in_words_what_its_bars_show() -> None:
    found = read(page(made(story())))

    bars = [attributes["aria-label"] for _, attributes in found.tags if attributes.get("class") == "bar"]
    assert "waits 1.0ms, runs 12ms" in bars
    assert "not due yet 500ms, waits 4.0ms, runs 12ms" in bars
    rows = [attributes for tag, attributes in found.tags if tag == "li"]
    assert len(bars) == len(rows) == 6
    assert all(one["tabindex"] == "0" for one in rows)
    assert "TransientError: the warehouse does not answer (retries-exhausted)" in found.words


def test_the_page_knows_dark_light_and_a_phone() -> None:
    html = page(made(story()))

    assert "prefers-color-scheme: dark" in html
    assert 'name="viewport"' in html
    assert "max-width: 46rem" in html


def test_what_a_task_says_is_no_html_on_the_page() -> None:
    evil = "<script>alert(1)</script>"
    records = [published(0, task=evil), claimed(1), ended(5, 1, Kind.FAILED, task=evil, error=f"Bad: {evil}")]

    html = page(made(records))

    assert evil not in html
    assert "&lt;script&gt;" in html
