"""`task_always_eager` with contracts, as a team's tests use it. There is no Redis at all."""

import socket
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from celery import Celery, chain, chord, group
from celery.exceptions import NotRegistered

import celeriac
from celeriac.app import installation
from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings
from celeriac.contract import execution
from celeriac.contract.contract import Contract
from celeriac.contract.implementation import implements
from celeriac.contract.messages import usual
from celeriac.contract.outcome import Outcome
from celeriac.errors import CircuitOpen, PermanentError, TransientError, ValidationError, WrongPayload
from celeriac.outcome.commit import OPEN, Commit
from celeriac.payloads import TaskPayload, TaskResult
from celeriac.retry.breaker import Breaker
from celeriac.retry.policy import RetryPolicy
from celeriac.worker.app import make_worker


class Text(TaskPayload):
    text: str = ""


class Said(TaskResult):
    source_service: str = "test"
    text: str


THRICE = RetryPolicy(limit=3, cap_seconds=30)
say = Contract("eager.say", "q", Text, Said, retries=THRICE)
echo = Contract("eager.echo", "q", Text, Said)
deep = Contract("eager.deep", "q", Text, Said, retries=THRICE)
shout = Contract("eager.shout", "q", Any, Said)  # type: ignore[type-abstract, arg-type]
join = Contract("eager.join", "q", list, Said)  # type: ignore[type-arg]
nothing = Contract("eager.nothing", "q", type(None), Said)
ran: list[str] = []


@implements(say)
def handle_say(payload: Text, outcome: Outcome) -> Said:
    ran.append(f"say {payload.text}")
    match payload.text:
        case "wrong result":
            return {"no": 1}  # type: ignore[return-value]
        case "permanent":
            raise PermanentError("never")
        case "transient":
            raise TransientError("busy")
        case "third time" if len(ran) < 3:
            raise TransientError("busy")
        case "breaker":
            raise CircuitOpen("open", retry_after_seconds=60)
        case "exit":
            raise SystemExit(-3)
        case "publish and fail":
            outcome.publish(echo, Text(source_service="test", text="never"))
            raise PermanentError("no child")
    outcome.effect("SET", "key", payload.text)
    outcome.publish(echo, Text(source_service="test", text=payload.text))
    outcome.publish(deep, Text(source_service="test", text=payload.text))
    return Said(text=payload.text.upper())


@implements(echo)
def handle_echo(payload: Text) -> Said:
    ran.append(f"echo {payload.text}")
    if payload.text == "child fails":
        raise PermanentError("the child")
    return Said(text=payload.text)


@implements(deep)
def handle_deep(payload: Text, outcome: Outcome) -> Said:
    ran.append(f"deep {payload.text}")
    outcome.publish(echo, Text(source_service="test", text="from the deep"))
    return Said(text=payload.text)


@implements(join)
def handle_join(payload: list[Any]) -> Said:
    return Said(text="+".join(one["text"] for one in payload))


@implements(shout)
def handle_shout(payload: Any) -> Said:
    return Said(text=payload["text"] + "!")


@implements(nothing)
def handle_nothing(payload: None) -> Said:
    return Said(text="nothing")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError(f"a connection to {args[-1]}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    ran.clear()


OWNED = [handle_say, handle_echo, handle_deep, handle_join, handle_shout, handle_nothing]


@pytest.fixture
def app() -> Celery:
    app = make_worker("eager", OWNED, CelerySettings(broker_url="redis://127.0.0.1:1/0"))
    app.conf.task_always_eager = True
    return app


def text(said: str) -> Text:
    return Text(source_service="test", text=said)


def test_a_task_runs_in_place_and_gives_its_typed_result(app: Celery) -> None:
    payload = text("hello")
    pending = say.bind(app).delay(payload)
    assert (pending.get(), pending.state, pending.ready()) == (Said(text="HELLO"), "SUCCESS", True)
    assert pending.id == str(payload.task_id)
    assert nothing.bind(app).delay().get().text == "nothing"


def test_what_an_outcome_publishes_runs_after_its_task_has_succeeded(app: Celery) -> None:
    say.bind(app).delay(text("a"))
    assert ran == ["say a", "echo a", "deep a", "echo from the deep"]


def test_a_failed_task_publishes_nothing(app: Celery) -> None:
    say.bind(app).delay(text("publish and fail"))
    assert ran == ["say publish and fail"]


@pytest.mark.parametrize(
    ("said", "error"),
    [("permanent", PermanentError), ("wrong result", ValidationError), ("exit", PermanentError)],
)
def test_a_failure_is_raised_as_task_eager_propagates_says(said: str, error: type, app: Celery) -> None:
    pending = say.bind(app).delay(text(said))
    assert pending.state == "FAILURE"
    with pytest.raises(error):
        pending.get()
    app.conf.task_eager_propagates = True
    with pytest.raises(error):
        say.bind(app).delay(text(said))


def test_a_wrong_payload_is_refused_by_the_caller_and_by_the_task(app: Celery) -> None:
    with pytest.raises(ValidationError):
        say.bind(app).delay(Text.model_construct(source_service="NO"))
    raw = app.tasks["eager.say"].apply(args=({"text": 7},))
    assert isinstance(raw.result, WrongPayload)


def test_retries_are_celerys_eager_ones_without_a_wait(app: Celery) -> None:
    assert say.bind(app).delay(text("third time")).get().text == "THIRD TIME"
    assert ran[:4] == ["say third time"] * 3 + ["echo third time"]


@pytest.mark.parametrize("said", ["transient", "breaker"])
def test_retries_end_as_the_contract_says_also_behind_an_open_breaker(said: str, app: Celery) -> None:
    pending = say.bind(app).delay(text(said))
    with pytest.raises(TransientError):
        pending.get()
    assert ran == [f"say {said}"] * 4


def test_a_failed_child_is_its_own_failure_or_raised_where_eager_propagates(app: Celery) -> None:
    assert say.bind(app).delay(text("child fails")).get().text == "CHILD FAILS"
    app.conf.task_eager_propagates = True
    with pytest.raises(PermanentError, match="the child"):
        say.bind(app).delay(text("child fails"))


def test_every_way_to_publish_runs_in_place(app: Celery) -> None:
    bound = echo.bind(app)
    assert bound.s(text("s")).delay().get()["text"] == "s"
    assert bound.s(text("apply")).apply().get()["text"] == "apply"
    assert chain(bound.s(text("chain")), shout.bind(app).partial()).delay().get()["text"] == "chain!"
    members = [bound.s(text(one)) for one in "abc"]
    assert [one["text"] for one in group(members).delay().get()] == ["a", "b", "c"]
    assert chord(members, join.bind(app).partial()).delay().get()["text"] == "a+b+c"
    assert bound.apply_async(text("later"), countdown=3600, priority=3, queue="x").get().text == "later"
    both = [text("one"), text("two")]
    assert bound.publish_many(both).accepted == tuple(str(one.task_id) for one in both)


def test_a_body_that_waits_for_a_task_of_its_own_gets_its_result(app: Celery) -> None:
    asks = Contract("eager.asks", "q", Text, Said)
    got: list[str] = []

    @implements(asks)
    def handle_asks(payload: Text) -> Said:
        said = echo.bind(app).delay(payload).get()
        got.append(said.text)
        return said

    handle_asks.register(app)
    assert asks.bind(app).delay(text("inner")).get().text == "inner"
    assert got == ["inner"]


def _new(app: Celery) -> None:
    app.conf.task_always_eager = True


def _old(app: Celery) -> None:
    app.conf.CELERY_ALWAYS_EAGER = True


def _defaults(app: Celery) -> None:
    app.add_defaults({"task_always_eager": True})


def _namespace(app: Celery) -> None:
    app.config_from_object({"CELERY_TASK_ALWAYS_EAGER": True}, namespace="CELERY", force=True)


@pytest.mark.parametrize("read", [True, False], ids=["after a read", "before"])
@pytest.mark.parametrize("switch_on", [_new, _old, _defaults, _namespace])
def test_it_is_seen_wherever_it_is_set(
    switch_on: Callable[[Celery], None], read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installation, "_first", [])
    app = celeriac.install(Celery("eager", broker="redis://127.0.0.1:1/0", set_as_current=False))
    if read:
        assert usual(app, {})
    switch_on(app)
    assert not usual(app, {})
    app.conf.task_always_eager = False
    assert usual(app, {}) is not app.conf.task_always_eager


def test_without_a_body_the_error_says_what_to_do_and_nothing_is_published() -> None:
    client = make_app("client", CelerySettings(broker_url="redis://127.0.0.1:1/0"))
    client.conf.task_always_eager = True
    bound = echo.bind(client)
    for publish in (bound.delay, bound.apply_async, bound.s, lambda payload: bound.publish_many([payload])):
        with pytest.raises(NotRegistered, match=r"^eager\.echo has no body in the app 'client'.*handler.register"):
            publish(text("x"))  # type: ignore[operator]
    with pytest.raises(NotRegistered):
        bound.partial()
    handle_echo.register(client)
    assert bound.delay(text("x")).get().text == "x"


def test_a_child_without_a_body_is_named_to_the_caller() -> None:
    app = make_worker("half", [handle_say, handle_deep], CelerySettings(broker_url="redis://127.0.0.1:1/0"))
    app.conf.task_always_eager = True
    with pytest.raises(NotRegistered, match=r"eager\.echo has no body"):
        say.bind(app).delay(text("x"))
    assert ran == ["say x"]


def test_children_have_the_ids_that_they_have_in_a_worker(app: Celery) -> None:
    seen: list[UUID] = []
    parent = Contract("eager.parent", "q", Text, Said)

    @implements(parent)
    def handle_parent(payload: Text, outcome: Outcome) -> Said:
        seen.append(outcome.publish(echo, payload))
        return Said(text="")

    handle_parent.register(app)
    payload = text("x")
    parent.bind(app).delay(payload)
    parent.bind(app).delay(payload)
    assert len(seen) == 2
    assert len(set(seen)) == 1


def test_a_breaker_counts_in_place_as_anywhere(app: Celery) -> None:
    calling, guarded = Breaker("eager"), Contract("eager.guarded", "q", Text, Said, retries=THRICE)

    @implements(guarded)
    def handle_guarded(payload: Text) -> Said:
        ran.append("guarded")
        with calling:
            raise TransientError("down")

    handle_guarded.register(app)
    for _ in range(3):
        assert guarded.bind(app).delay(text("x")).state == "FAILURE"
    assert len(ran) == 12


def test_apply_without_the_setting_commits_by_itself_and_leaves_an_open_commit_alone(
    app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.conf.task_always_eager = False
    committed: list[Commit] = []
    monkeypatch.setattr(execution, "commit_unclaimed", lambda app, commit, raw=b"", **_: committed.append(commit))
    around = Commit("tag", "outer")
    monkeypatch.setattr(OPEN, "commit", around)
    task_id = str(UUID(int=7))
    handed = {"source_service": "test", "text": "x", "task_id": task_id}
    assert app.tasks["eager.say"].apply(args=(handed,), task_id=task_id).get()["text"] == "X"
    assert around.arguments(1) == ["tag", 1, 0]
    (inner,) = committed
    assert (inner.record_key, len(inner.effects), len(inner.children)) == (f"celery-once-{task_id}", 1, 4)
    assert ran == ["say x"]
