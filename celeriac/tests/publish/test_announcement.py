"""before_task_publish and after_task_publish of what we publish ourselves: as Celery sends them, pair by pair."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery, signals
from celery.app.task import Context

from celeriac import correlation
from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings, TransportKind
from celeriac.contract.contract import Contract
from celeriac.contract.execution import Work
from celeriac.contract.implementation import implements
from celeriac.contract.outcome import Outcome
from celeriac.errors import QueueFull
from celeriac.outcome.commit import Commit
from celeriac.payloads import TaskPayload, TaskResult
from celeriac.publish import announcement as announcing

pytestmark = pytest.mark.integration


class Note(TaskPayload):
    source_service: str = "test"
    text: str = "x"


class Nothing(TaskResult):
    pass


class Ears:
    """Listens; `change` may change the message."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any], int]] = []
        signals.before_task_publish.connect(self.before)
        signals.after_task_publish.connect(self.after)

    def close(self) -> None:
        signals.before_task_publish.disconnect(self.before)
        signals.after_task_publish.disconnect(self.after)

    def before(self, **given: Any) -> None:
        self.heard.append(("before", given, threading.get_ident()))
        self.change(**given)

    def after(self, **given: Any) -> None:
        self.heard.append(("after", given, threading.get_ident()))

    def change(self, **given: Any) -> None:
        return None

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return [(which, given["headers"]["id"]) for which, given, _ in self.heard]


@pytest.fixture
def ears() -> Iterator[Ears]:
    ears = Ears()
    yield ears
    ears.close()


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    with make_app("test", CelerySettings(broker_url=redis_url, queue_bound=3)) as app:
        yield app


def contract(app: Celery) -> Contract[Any, Any]:
    return Contract(name="tasks.note", queue="notes", payload=Note, result=Nothing, bound=app)


def raw(client: redis.Redis, key: str = "notes") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(client.lindex(key, 0) or b"{}")
    return found


def pair(*ids: Any) -> list[tuple[str, str]]:
    return [(which, str(task_id)) for task_id in ids for which in ("before", "after")]


@pytest.mark.parametrize(
    "options", [{}, {"countdown": 60, "headers": {"mine": 1}, "priority": 3}], ids=["plain", "more"]
)
def test_they_say_what_celery_says(redis_url: str, ears: Ears, options: dict[str, Any]) -> None:
    payload = Note()
    said: list[list[dict[str, Any]]] = []
    for kind in TransportKind:
        with make_app("test", CelerySettings(broker_url=redis_url, transport=kind)) as app, correlation.bind("c"):
            contract(app).apply_async(payload, **options)
        said.append([given for _, given, _ in ears.heard])
        ears.heard.clear()
    for ours, stock in zip(*said, strict=True):
        extra = {"told"}  # for our own receivers
        assert ours.keys() - extra == stock.keys()
        assert (ours["sender"], ours["exchange"], ours["routing_key"]) == ("tasks.note", "", "notes")
        for name in ("sender", "exchange", "routing_key"):
            assert stock[name] == ours[name]
        assert [list(part) if isinstance(part, tuple) else part for part in stock["body"]] == list(ours["body"])
        differs = {"published_at", "argsrepr", "eta", "origin"}
        theirs = {name: value for name, value in stock["headers"].items() if name not in differs}
        assert theirs == {name: ours["headers"][name] for name in theirs}
        assert {"fingerprint"} == ours["headers"].keys() - stock["headers"].keys()
        if "properties" in stock:
            wanted = {name: value for name, value in stock["properties"].items() if value is not None}
            assert wanted | {"reply_to": ""} == {name: ours["properties"][name] for name in wanted} | {"reply_to": ""}
            assert [queue.name for queue in stock["declare"]] == [queue.name for queue in ours["declare"]]
            assert stock["retry_policy"] == ours["retry_policy"]


def test_each_pair_is_closed_before_the_next_one_opens(app: Celery, ears: Ears) -> None:
    """Tracing libraries keep a span open in between, in this thread."""
    payloads = [Note(), Note(), Note()]
    published = contract(app).publish_many(payloads)
    assert pair(*(one.task_id for one in payloads)) == ears.pairs
    assert {threading.get_ident()} == {thread for *_, thread in ears.heard}
    assert tuple(str(one.task_id) for one in payloads) == published.accepted


def test_with_listeners_publish_many_tells_as_exactly_what_became_of_each(app: Celery, ears: Ears) -> None:
    payloads = [Note() for _ in range(6)]
    contract(app).delay(payloads[0])
    with pytest.raises(QueueFull) as caught:
        contract(app).publish_many(payloads)
    ids = [str(one.task_id) for one in payloads]
    published = caught.value.published
    assert published is not None
    assert ((ids[0],), tuple(ids[1:3])) == (published.duplicates, published.accepted)
    assert tuple(ids[3:]) == published.refused
    assert pair(ids[0], ids[0], ids[1], ids[2]) == ears.pairs[:8]
    assert [("before", ids[3])] == ears.pairs[8:]  # as with stock: what failed has no end


def test_a_repeat_has_a_pair_too(app: Celery, ears: Ears, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "celeriac")
    payload = Note()
    contract(app).delay(payload)
    contract(app).delay(payload)
    assert pair(payload.task_id, payload.task_id) == ears.pairs
    assert ["task.published", "task.published_before"] == [record.message for record in caplog.records]


def test_a_given_correlation_id_is_kept(app: Celery, client: redis.Redis, ears: Ears) -> None:
    contract(app).apply_async(Note(), headers={correlation.HEADER: "mine"})
    assert "mine" == raw(client)["headers"][correlation.HEADER]
    assert {"mine"} == {given["headers"][correlation.HEADER] for _, given, _ in ears.heard}


def test_a_listener_may_change_headers_body_and_priority(app: Celery, client: redis.Redis, ears: Ears) -> None:
    def change(headers: Any, body: Any, properties: Any, **_: Any) -> None:
        headers["traced"] = {"deep": [1, "ä"]}
        body[0][0]["text"] = "changed"
        properties["priority"] = 6

    ears.change = change  # type: ignore[method-assign]
    pending = contract(app).delay(Note())
    message = raw(client, "notes\x06\x166")
    assert (pending.id, {"deep": [1, "ä"]}) == (message["headers"]["id"], message["headers"]["traced"])
    assert 6 == message["properties"]["priority"]
    assert "delivery_tag" == list(message["properties"])[-1]


def test_what_a_listener_raises_does_not_stop_the_publish(app: Celery, client: redis.Redis, ears: Ears) -> None:
    def change(**_: Any) -> None:
        raise RuntimeError("a listener")

    ears.change = change  # type: ignore[method-assign]
    contract(app).delay(Note())
    assert 1 == client.llen("notes")


class Run:
    """One run of a contract whose body publishes two notes, in an open commit."""

    def __init__(self, app: Celery) -> None:
        made = Contract(name="tasks.parent", queue="parents", payload=Note, result=Nothing, bound=app)
        self.ids: list[str] = []

        @implements(made)
        def handle(payload: Note, outcome: Outcome) -> Nothing:
            self.ids += [str(outcome.publish(contract(app), Note(text=text))) for text in ("a", "b")]
            return Nothing()

        self.commit = Commit("tag", "parent")
        work = Work(made, handle, app, made.retries)
        request = Context(id="parent", root_id="root", headers=None, **{correlation.HEADER: "c"})
        work.run_as_json([Note().model_dump(mode="json")], {}, request, self.commit)

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(raw) for raw in self.commit.children[1::2]]


def test_children_of_an_outcome_have_them(app: Celery, ears: Ears) -> None:
    def change(headers: Any, properties: Any, **_: Any) -> None:
        headers["traced"] = f"span of {headers['parent_id']}"
        properties["priority"] = 3

    ears.change = change  # type: ignore[method-assign]
    run = Run(app)
    assert pair(*run.ids) == ears.pairs
    assert run.ids == [message["headers"]["id"] for message in run.messages]
    assert 2 * ["notes\x06\x163"] == run.commit.children[::2]
    for message in run.messages:
        assert ("span of parent", "root", "c") == tuple(
            message["headers"][name] for name in ("traced", "root_id", correlation.HEADER)
        )
    assert ["a", "b"] == [given["body"][0][0]["text"] for which, given, _ in ears.heard if which == "before"]


def test_where_nobody_listens_a_message_is_not_read_again(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("it was read")

    monkeypatch.setattr(announcing, "loads", never)
    assert 2 == len(Run(app).messages)
    contract(app).delay(Note())
    contract(app).publish_many([Note()])
