"""docs/events.md names every event, its level and its fields, as the code does."""

import ast
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis

from celeriac import events
from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings
from celeriac.broker import keys
from celeriac.broker.connection import BrokerConnection
from celeriac.dead_letter import letters
from celeriac.dead_letter.replay import replay
from celeriac.lease.leases import Lease, Leases
from celeriac.lease.restore import OVER, restore
from shop.tasks import health_check

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "events.md").read_text()
SOURCE = ROOT / "celeriac" / "src" / "celeriac"
MESSAGE = {"task", "task_id", "correlation_id"}
MADE = {"outcome.refused", "outcome.repeated"}  # f"outcome.{verdict}"


class Row(NamedTuple):
    levels: set[str]
    always: set[str]
    sometimes: set[str]

    def has(self, fields: set[str]) -> bool:
        return self.always <= fields <= self.always | self.sometimes


def rows() -> dict[str, Row]:
    found = {}
    for name, levels, cell in re.findall(r"^\| `([\w.]+)` \| ([A-Z, ]+) \| .*? \| ([^|]*)\|$", PAGE, re.MULTILINE):
        usual, _, some = cell.partition("(")
        always = set(re.findall(r"`(\w+)`", usual)) | (MESSAGE if "*message*" in usual else set())
        found[name] = Row(set(levels.split(", ")), always, set(re.findall(r"`(\w+)`", some)))
    return found


ROWS = rows()


class Call(NamedTuple):
    """`emit(…)`, `transition(…)` or the `_follow(…)` of a result backend, in the code."""

    event: str
    level: str
    fields: set[str]
    more: bool
    place: str


def calls() -> Iterator[Call]:
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            if not isinstance(node, ast.Call) or name not in ("emit", "transition", "_follow"):
                continue
            event = node.args[1 if name == "_follow" else 0]
            if not isinstance(event, ast.Constant):
                continue
            level = next((ast.unparse(one.value) for one in node.keywords if one.arg == "level"), "logging.INFO")
            named = {one.arg for one in node.keywords if one.arg} - {"level", "exc_info", "logged"}
            more = any(one.arg is None for one in node.keywords) or name == "_follow"
            place = f"{file.relative_to(SOURCE)}:{node.lineno}"
            yield Call(event.value, "" if name == "_follow" else level.removeprefix("logging."), named, more, place)


CALLS = list(calls())


def test_page_and_code_name_the_same_events() -> None:
    assert {*(one.event for one in CALLS), *MADE} == ROWS.keys()


@pytest.mark.parametrize("call", CALLS, ids=[one.place for one in CALLS])
def test_an_event_has_the_level_and_the_fields_of_the_page(call: Call) -> None:
    row = ROWS[call.event]
    assert call.level in {*row.levels, "", "level"}
    assert call.fields <= row.always | row.sometimes
    assert call.more or row.has(call.fields)


@pytest.fixture
def all_told() -> Iterator[list[tuple[str, Mapping[str, Any]]]]:
    heard: list[tuple[str, Mapping[str, Any]]] = []
    listener = events.on_event(lambda event, fields: heard.append((event, fields)))
    yield heard
    events.ignore(listener)


def test_a_listener_hears_what_no_log_shows_and_none_hears_of_a_listener_that_fails(all_told: Any, caplog: Any) -> None:
    caplog.set_level(logging.ERROR, "celeriac")

    @events.on_event
    def fails(event: str, fields: Mapping[str, Any]) -> None:
        raise SystemExit(3)

    events.emit("worker.stopped", level=logging.DEBUG, exit_code=0)
    events.ignore(fails)
    assert [("worker.stopped", {"exit_code": 0})] == all_told
    assert ["listener.failed"] == [record.message for record in caplog.records]


@pytest.mark.integration
def test_what_is_replayed_returned_or_lost_is_told(redis_url: str, all_told: Any) -> None:
    with redis.Redis.from_url(redis_url) as client, make_app("test", CelerySettings(broker_url=redis_url)) as app:
        health_check.bind(app).apply_async(None)
        message = client.rpop("default")
        about = b'{"reason": "permanent", "error": "no", "queue": "default"}'
        client.xadd(keys.dead("default"), {"raw": message, "about": about})
        (listed,) = letters.read(client)
        letter = letters.find(client, listed.id)
        assert letter is not None
        assert replay(client, letter)

        leases = Leases(BrokerConnection(lambda: client), 60)
        client.hset(keys.UNACKED, "a", b'[%b,"","default"]' % message)
        client.zadd(keys.LEASES, {"a": 5})
        leases.held |= {"a": Lease("5", "default"), "b": Lease("6", "default")}
        assert 1 == leases.release(["a"], why="it stops")
        leases.renew()
        client.hset(keys.UNACKED, "c", b'[%b,"","default"]' % message)
        client.zadd(keys.LEASES, {"c": 5})
        restore(client, "\x06\x16", (0,))
    told = [(event, fields) for event, fields in all_told if event != "task.published"]
    assert ["task.replayed", "messages.returned", "leases.lost", "messages.returned"] == [event for event, _ in told]
    assert all(ROWS[event].has({*fields}) for event, fields in told)
    assert ("tasks.health_check", "default") == (told[0][1]["task"], told[0][1]["queue"])
    assert [{"messages": 1, "why": "it stops"}, {"messages": 1}, {"messages": 1, "why": OVER}] == [
        fields for _, fields in told[1:]
    ]
