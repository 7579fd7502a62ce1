"""What a contract publishes by itself: read back as stock Celery and kombu read it, with everything Celery promises."""

import base64
import contextlib
import json
import logging
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import RFC_4122, UUID

import pytest
import redis
from celery import Celery, chain, signals
from celery.exceptions import NotRegistered
from celery.worker.request import Request
from kombu import Connection

from celeriac import correlation
from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings, TransportKind
from celeriac.contract.contract import Contract
from celeriac.contract.messages import STACKS
from celeriac.errors import Conflict, QueueFull, ValidationError
from celeriac.outcome.commit import HOME, OPEN, Commit
from celeriac.payloads import TaskPayload, TaskResult
from celeriac.publish.of_app import publisher_of
from celeriac.published import Published
from shop.schemas import OrderPayload
from shop.tasks import health_check, process_order

pytestmark = pytest.mark.integration


def order(**changes: Any) -> OrderPayload:
    data: dict[str, Any] = {
        "source_service": "service1",
        "customer_id": "c-1",
        "items": [{"product_id": "p-1", "quantity": 2}],
        "total_amount": "12.50",
    }
    return OrderPayload.model_validate(data | changes)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    app = make_app("test", CelerySettings(broker_url=redis_url))
    yield app
    app.close()


@pytest.fixture
def orders(app: Celery) -> Contract[Any, Any]:
    return process_order.bind(app)


def taken(redis_url: str, queue: str = "orders") -> Any:
    """As a stock consumer takes it."""
    with Connection(redis_url) as connection:
        return connection.default_channel.basic_get(queue, no_ack=True)


def raw(client: redis.Redis, key: str = "orders") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(client.lindex(key, 0) or b"{}")
    return found


def test_a_stock_consumer_reads_the_payload_as_one_positional_argument(
    orders: Contract[Any, Any], redis_url: str
) -> None:
    payload = order(customer_id='kö"\\n😀')
    pending = orders.delay(payload)
    message = taken(redis_url)
    args, kwargs, embed = message.decode()
    assert ([payload.model_dump(mode="json")], {}) == (args, kwargs)
    assert {"callbacks": None, "errbacks": None, "chain": None, "chord": None} == embed
    assert (pending.id, "tasks.process_order") == (message.headers["id"], message.headers["task"])


def test_it_is_the_message_that_celery_would_have_made(client: redis.Redis, redis_url: str) -> None:
    payload = order()
    options: dict[str, Any] = {"headers": {"mine": 1}, "priority": 6, "time_limit": 9, "soft_time_limit": 8}
    messages = []
    for kind in TransportKind:
        app = make_app("test", CelerySettings(broker_url=redis_url, transport=kind))
        process_order.bind(app).apply_async(payload, **options)
        messages.append(raw(client, "orders\x06\x166"))
        client.flushall()
        app.close()
    ours, stock = messages
    assert json.loads(base64.b64decode(stock["body"])) == json.loads(base64.b64decode(ours["body"]))
    assert {"mine", "fingerprint", "x_correlation_id", "published_at"} == ours["headers"].keys() - (
        stock["headers"].keys() - {"mine", "x_correlation_id", "published_at"}
    )
    for message in messages:
        for part in ("fingerprint", "x_correlation_id", "published_at", "argsrepr"):
            message["headers"].pop(part, None)
        for part in ("delivery_tag", "reply_to"):
            message["properties"].pop(part)
        message.pop("body")
    assert stock == ours


def test_a_stock_worker_runs_it(redis_url: str) -> None:
    class Big(TaskPayload):
        number: int
        text: str

    class Nothing(TaskResult):
        pass

    app = make_app("test", CelerySettings(broker_url=redis_url))
    Contract(name="tasks.big", queue="big", payload=Big, result=Nothing, bound=app).delay(
        Big(source_service="test", number=10**30, text="é\u2028")
    )
    app.close()
    stock = Celery("stock", set_as_current=False)
    ran: list[Any] = []

    @stock.task(name="tasks.big", shared=False)
    def big(payload: Any) -> None:
        ran.append(payload)

    message = taken(redis_url, "big")
    Request(message, app=stock, hostname="here").execute()  # type: ignore[no-untyped-call]
    assert [(10**30, "é\u2028")] == [(one["number"], one["text"]) for one in ran]


def test_a_task_without_payload_has_no_argument_and_a_new_id_each_time(app: Celery, redis_url: str) -> None:
    ids = {health_check.bind(app).delay().id for _ in range(3)}
    assert {(4, RFC_4122)} == {(UUID(one).version, UUID(one).variant) for one in ids}
    assert ids == {str(UUID(one)) for one in ids}
    message = taken(redis_url, "default")
    assert [[], {}] == message.decode()[:2]
    assert message.headers["id"] in ids
    assert 3 == len(ids)


def test_a_repeat_is_not_queued_again_and_gets_the_same_pending(
    orders: Contract[Any, Any], client: redis.Redis, caplog: Any
) -> None:
    caplog.set_level(logging.INFO, "celeriac")
    payload = order()
    repeat = payload.model_copy(update={"timestamp": datetime.now(UTC)})
    assert orders.delay(payload).id == orders.delay(repeat).id
    assert 1 == client.llen("orders")
    assert ["task.published", "task.published_before"] == [record.message for record in caplog.records]


def told(caplog: Any) -> list[tuple[str, Any]]:
    """Level and `found` of each repeat."""
    return [(one.levelname, one.fields["found"]) for one in caplog.records if one.message == "task.published_before"]


def test_a_repeat_says_whether_its_message_is_still_there(
    orders: Contract[Any, Any], client: redis.Redis, caplog: Any
) -> None:
    caplog.set_level(logging.INFO, "celeriac")
    payload = order()
    orders.delay(payload)
    orders.delay(payload)
    client.delete("orders")
    orders.delay(payload)
    client.lpush("orders", *range(60))
    orders.delay(payload)
    note = f"celery-once-{payload.task_id}"
    client.set(note, client.get(note).replace(b"queued", b"done"))
    orders.delay(payload)
    assert [("INFO", True), ("WARNING", False), ("INFO", None), ("INFO", True)] == told(caplog)
    [hint] = [one.fields["hint"] for one in caplog.records if one.levelname == "WARNING"]
    assert f"DEL {note}" in hint


def test_that_its_message_is_not_there_is_told_where_only_warnings_are(
    orders: Contract[Any, Any], client: redis.Redis, caplog: Any
) -> None:
    caplog.set_level(logging.WARNING, "celeriac")
    payloads = [order(), order()]
    orders.publish_many(payloads)
    client.rpop("orders")
    became = orders.publish_many(payloads)
    assert [("WARNING", False)] == told(caplog)
    ids = tuple(str(one.task_id) for one in payloads)
    assert Published(duplicates=ids, missing=ids[:1]) == became


def test_other_work_under_its_id_is_refused(orders: Contract[Any, Any], client: redis.Redis) -> None:
    payload = order()
    orders.delay(payload)
    with pytest.raises(Conflict, match=str(payload.task_id)):
        orders.delay(payload.model_copy(update={"customer_id": "c-2"}))
    assert 1 == client.llen("orders")


def test_the_bound_of_the_settings_holds(redis_url: str) -> None:
    app = make_app("test", CelerySettings(broker_url=redis_url, queue_bound=2))
    contract = process_order.bind(app)
    contract.delay(order())
    contract.apply_async(order(), priority=9)
    with pytest.raises(QueueFull):
        contract.delay(order())
    app.close()


def test_an_id_is_remembered_as_long_as_its_record(app: Celery, client: redis.Redis) -> None:
    lives = {}
    for contract in (process_order, health_check):
        pending = contract.bind(app).apply_async(*([order()] if contract is process_order else []))
        lives[contract.name] = client.ttl(f"celery-once-{pending.id}")
    assert 24 * 3600 - 5 <= lives["tasks.process_order"] <= 24 * 3600
    assert 55 <= lives["tasks.health_check"] <= 60  # it leaves no record


def test_a_countdown_waits_in_redis_with_its_due_time(orders: Contract[Any, Any], client: redis.Redis) -> None:
    before = client.time()
    pending = orders.apply_async(order(), countdown=90.5)
    [(member, due)] = client.zrange("celery-due", 0, -1, withscores=True)
    list_key, _, text = member.partition(b"\n")
    headers = json.loads(text)["headers"]
    assert b"orders" == list_key
    assert pending.id == headers["id"]
    assert 90.4 < due / 1_000_000 - before[0] - before[1] / 1_000_000 < 92
    assert int(due) == round(datetime.fromisoformat(headers["eta"]).timestamp() * 1_000_000)
    assert 24 * 3600 + 85 < client.ttl(f"celery-once-{pending.id}") <= 24 * 3600 + 91
    assert not client.exists("orders")


def test_a_due_time_is_by_the_clock_of_redis(
    orders: Contract[Any, Any], client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 7_200)
    orders.apply_async(order(), countdown=60)
    [(_, due)] = client.zrange("celery-due", 0, -1, withscores=True)
    assert 55 < due / 1_000_000 - client.time()[0] < 65


@pytest.mark.parametrize(
    "eta",
    [
        datetime(2099, 1, 1, tzinfo=UTC),
        datetime(2099, 1, 1),  # noqa: DTZ001  naive ones are in the zone of the app: UTC
        "2099-01-01T01:00:00+01:00",
        datetime(2099, 1, 1, 2, tzinfo=UTC) - timedelta(hours=2),
    ],
)
def test_an_eta_is_kept_exactly(eta: Any, orders: Contract[Any, Any], client: redis.Redis) -> None:
    orders.apply_async(order(), eta=eta)
    [(member, due)] = client.zrange("celery-due", 0, -1, withscores=True)
    assert datetime(2099, 1, 1, tzinfo=UTC).timestamp() * 1_000_000 == due
    assert b'"eta": "2099-01-01T00:00:00+00:00"' in member


def test_what_is_due_already_goes_straight_into_its_queue(orders: Contract[Any, Any], client: redis.Redis) -> None:
    orders.apply_async(order(), eta=datetime.now(UTC) - timedelta(hours=1))
    assert 1 == client.llen("orders")


@pytest.mark.parametrize(
    ("expires", "text"),
    [
        (datetime(2099, 1, 1, tzinfo=UTC), "2099-01-01T00:00:00+00:00"),
        ("2099-01-01T00:00:00+00:00", "2099-01-01T00:00:00+00:00"),
    ],
)
def test_an_expiry_is_kept(expires: Any, text: str, orders: Contract[Any, Any], client: redis.Redis) -> None:
    orders.apply_async(order(), expires=expires)
    assert text == raw(client)["headers"]["expires"]


def test_an_expiry_in_seconds_is_from_now_on(orders: Contract[Any, Any], client: redis.Redis) -> None:
    orders.apply_async(order(), expires=60.5)
    left = datetime.fromisoformat(raw(client)["headers"]["expires"]) - datetime.now(UTC)
    assert 55 < left.total_seconds() <= 60.5


@pytest.mark.parametrize(
    ("priority", "key"),
    [
        (None, "orders"),
        (0, "orders"),
        (2, "orders"),
        (3, "orders\x06\x163"),
        (9, "orders\x06\x169"),
        (12, "orders\x06\x169"),
    ],
)
def test_a_priority_has_its_list(priority: Any, key: str, orders: Contract[Any, Any], client: redis.Redis) -> None:
    orders.apply_async(order(), priority=priority)
    assert (priority or 0) == raw(client, key)["properties"]["priority"]


def test_another_queue_and_no_result(orders: Contract[Any, Any], client: redis.Redis) -> None:
    orders.apply_async(order(), queue="elsewhere", ignore_result=True)
    message = raw(client, "elsewhere")
    assert "elsewhere" == message["properties"]["delivery_info"]["routing_key"]
    assert message["headers"]["ignore_result"] is True


def test_another_task_id_than_the_payloads_is_refused(orders: Contract[Any, Any], client: redis.Redis) -> None:
    with pytest.raises(ValueError, match="is the payload's"):
        orders.apply_async(order(), task_id="other")
    payload = order()
    assert str(payload.task_id) == orders.apply_async(payload, task_id=str(payload.task_id)).id
    assert 1 == client.llen("orders")


def test_every_message_carries_a_correlation_id_and_its_time(orders: Contract[Any, Any], client: redis.Redis) -> None:
    orders.delay(order())
    assert 32 == len(raw(client)["headers"]["x_correlation_id"])
    assert abs(time.time() - raw(client)["headers"]["published_at"]) < 5
    with correlation.bind("mine"):
        orders.delay(order())
        assert "mine" == raw(client)["headers"]["x_correlation_id"]
    given = {"x_correlation_id": "given", "published_at": 1, "fingerprint": "x"}
    orders.apply_async(order(), headers=given)
    assert "given" == raw(client)["headers"]["x_correlation_id"]
    assert [1, 1, 1] == [(client.lindex("orders", 0) or b"").count(f'"{name}": '.encode()) for name in given]


@pytest.mark.parametrize("headers", [{}, {"bench_run": "r"}], ids=["plain", "as of a bench"])
def test_its_publishing_is_told(orders: Contract[Any, Any], caplog: Any, headers: Any) -> None:
    caplog.set_level(logging.INFO, "celeriac")
    payload = order()
    orders.apply_async(payload, headers=headers)
    [record] = caplog.records
    fields = record.fields
    assert "task.published" == record.message
    assert (str(payload.task_id), "orders", "tasks.process_order") == tuple(
        fields[one] for one in ("task_id", "queue", "task")
    )
    assert fields["correlation_id"]


def test_whoever_listens_to_celerys_signals_is_told_and_may_change_the_message(
    orders: Contract[Any, Any], client: redis.Redis, caplog: Any
) -> None:
    caplog.set_level(logging.INFO, "celeriac")
    heard: list[Any] = []

    @signals.before_task_publish.connect
    def before(sender: str, body: Any, headers: Any, properties: Any, routing_key: str, **_: Any) -> None:
        heard.append((sender, body[0][0]["customer_id"], routing_key))
        headers["traced"] = "by ä"
        body[0][0]["customer_id"] = "changed"
        properties["mine"] = 1

    @signals.after_task_publish.connect
    def after(sender: str, headers: Any, **_: Any) -> None:
        heard.append((sender, headers["traced"]))

    try:
        payload = order()
        orders.delay(payload)
        orders.delay(payload)
        orders.publish_many([order()])
    finally:
        signals.before_task_publish.disconnect(before)
        signals.after_task_publish.disconnect(after)
    pair = [("tasks.process_order", "c-1", "orders"), ("tasks.process_order", "by ä")]
    assert pair * 3 == heard  # also of the repeat: who pairs both has an open span else
    message = raw(client)
    assert "changed" == json.loads(base64.b64decode(message["body"]))[0][0]["customer_id"]
    assert ("by ä", 32) == (message["headers"]["traced"], len(message["headers"]["x_correlation_id"]))
    assert ("delivery_tag", 1) == (list(message["properties"])[-1], message["properties"]["mine"])
    told = [record.message for record in caplog.records]
    assert ["task.published", "task.published_before", "task.published"] == told


@pytest.mark.parametrize(
    "options",
    [
        {"link": health_check.partial()},
        {"headers": {"stamped_headers": ["a"], "a": "b"}},
        {"retry": False},
        {"serializer": "json"},
        {"group_id": "g"},
    ],
    ids=str,
)
def test_what_is_unusual_goes_celerys_own_way(
    options: Any, orders: Contract[Any, Any], client: redis.Redis, redis_url: str
) -> None:
    orders.apply_async(order(), **options)
    assert 1 == client.llen("orders")
    assert not client.keys("celery-once-*")


def test_so_do_chains_and_eager_apps_and_another_transport(app: Celery, client: redis.Redis, redis_url: str) -> None:
    contract = process_order.bind(app)
    chain(contract.s(order()), contract.partial())()
    assert 1 == client.llen("orders")
    assert not client.keys("celery-once-*")
    app.conf.task_always_eager = True
    with pytest.raises(NotRegistered, match="has no body in the app"):
        contract.delay(order())
    others: list[dict[str, Any]] = [
        {"broker_transport": None},
        {"broker_write_url": "memory://"},
        {"broker_write_url": "sentinel://a:1;sentinel://b:2"},
        {"task_serializer": "yaml"},
        {"task_send_sent_event": True},
        {"broker_transport_options": {"global_keyprefix": "x"}},
    ]
    for changes in others:
        other = make_app("other", CelerySettings(broker_url=redis_url))
        other.conf.update(changes)
        assert publisher_of(other) is None, changes
    assert publisher_of(app) is publisher_of(app) is not None


def test_a_redis_behind_a_unix_socket_will_do(redis_server: Any, tmp_path: Path) -> None:
    path = tmp_path / "s"
    arguments = [redis_server.binary, "--port", "0", "--unixsocket", str(path), "--save", ""]
    server = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 10
        while not path.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        app = make_app("test", CelerySettings(broker_url=f"redis+socket://{path}?virtual_host=2"))
        process_order.bind(app).delay(order())
        with redis.Redis(unix_socket_path=str(path), db=2) as client:
            assert 1 == client.llen("orders")
    finally:
        server.terminate()
        server.wait()


def test_inside_a_task_the_parent_is_named_and_remembers_its_child(app: Celery, client: redis.Redis) -> None:
    contract = process_order.bind(app)
    payload = order()
    seen: list[Any] = []

    @app.task(name="parent", bind=True, shared=False)
    def parent(self: Any) -> None:
        contract.delay(payload)
        contract.publish_many([order()])
        seen.extend(self.request.children)

    contract.delay(order())
    client.delete("orders")
    parent.apply(task_id="the-parent")
    headers = [json.loads(one)["headers"] for one in client.lrange("orders", 0, -1)]
    assert [("the-parent", "the-parent")] * 2 == [(one["root_id"], one["parent_id"]) for one in headers]
    assert [str(payload.task_id)] == [one.id for one in seen][:1]
    assert 2 == len(seen)


def test_who_runs_a_task_is_known_without_asking_celery() -> None:
    """Where no thread runs a task, `messages` does not ask for the current one."""
    from celery._state import pop_current_task, push_current_task

    before = len(STACKS)
    push_current_task("a task")
    assert before + 1 == len(STACKS)
    pop_current_task()
    assert before == len(STACKS)


def test_what_is_kept_for_later_messages_is_nothing_that_may_change(app: Celery, client: redis.Redis) -> None:
    """Messages without options have everything but their ids and bodies in common."""
    one, two = (Contract("same", queue, int, int, ignore_result=queue == "q2") for queue in ("q1", "q2"))
    for contract in (one, two, one):  # two versions of a contract
        contract.bind(app).delay(1)
    assert (2, 1) == (client.llen("q1"), client.llen("q2"))
    assert [False, True] == [raw(client, queue)["headers"]["ignore_result"] for queue in ("q1", "q2")]

    bound = one.bind(app)
    ids = []
    for given in ("first", "second", None, None):
        with correlation.bind(given) if given else contextlib.nullcontext():
            bound.delay(1)
        ids.append(raw(client, "q1")["headers"][correlation.HEADER])
    assert ["first", "second"] == ids[:2]
    assert 4 == len(set(ids))

    assert not client.keys("celery-task-meta-*")
    app.marks_pending = True  # type: ignore[attr-defined]  # as celeriac.http says it
    bound.delay(1)
    assert 1 == len(client.keys("celery-task-meta-*"))

    heard: list[Any] = []
    listener = signals.before_task_publish.connect(lambda headers, **_: heard.append(headers), weak=False)
    bound.delay(1)
    signals.before_task_publish.disconnect(listener)
    assert [raw(client, "q1")["headers"]["id"]] == [one["id"] for one in heard]


@pytest.fixture
def at_home(orders: Contract[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """This process's worker is at the broker that the contract publishes to."""
    monkeypatch.setattr(HOME, "broker_url", orders.app.conf.broker_url)


def test_inside_a_commit_for_another_broker_a_message_goes_out_at_once(
    orders: Contract[Any, Any], client: redis.Redis
) -> None:
    OPEN.commit = commit = Commit("tag", "parent")
    try:
        orders.apply_async(order())
    finally:
        OPEN.commit = None
    assert (1, ()) == (client.llen("orders"), commit.children)


@pytest.mark.usefixtures("at_home")
def test_inside_an_open_commit_a_message_becomes_part_of_it(orders: Contract[Any, Any], client: redis.Redis) -> None:
    OPEN.commit = commit = Commit("tag", "parent")
    try:
        one, two = order(), order()
        orders.apply_async(one, priority=3)
        published = orders.publish_many([two])
    finally:
        OPEN.commit = None
    assert not client.keys("*")
    assert ["orders\x06\x163", "orders"] == commit.children[::2]
    assert [str(one.task_id), str(two.task_id)] == [json.loads(text)["headers"]["id"] for text in commit.children[1::2]]
    assert Published(accepted=(str(two.task_id),)) == published


def test_many_are_published_like_one(orders: Contract[Any, Any], client: redis.Redis, caplog: Any) -> None:
    caplog.set_level(logging.INFO, "celeriac")
    payloads = [order() for _ in range(600)]
    ids = tuple(str(one.task_id) for one in payloads)
    orders.delay(payloads[3])
    published = orders.publish_many(iter(payloads), priority=9, headers={"mine": 1})
    assert Published((*ids[:3], *ids[4:]), (ids[3],)) == published
    assert (1, 599) == (client.llen("orders"), client.llen("orders\x06\x169"))
    assert 1 == raw(client, "orders\x06\x169")["headers"]["mine"]
    told = [(record.message, record.fields["task_id"]) for record in caplog.records][1:]
    assert [("task.published_before" if one == ids[3] else "task.published", one) for one in ids] == told
    assert 600 == len({record.fields["correlation_id"] for record in caplog.records[1:]})


def test_a_wrong_payload_midway_ends_it_and_it_is_told_what_became_of_each(
    orders: Contract[Any, Any], client: redis.Redis
) -> None:
    payloads = [order() for _ in range(700)]
    ids = tuple(str(one.task_id) for one in payloads)
    payloads[600] = payloads[600].model_copy(update={"total_amount": 0})
    with pytest.raises(ValidationError, match="total_amount") as caught:
        orders.publish_many(payloads)
    assert Published(accepted=ids[:600], refused=ids[600:]) == caught.value.published  # type: ignore[attr-defined]
    assert 600 == client.llen("orders")
    payloads[600] = order()
    again = orders.publish_many(payloads)
    assert (100, 600) == (len(again.accepted), len(again.duplicates))


def test_a_full_queue_midway_is_told_exactly_also_of_what_was_never_looked_at(redis_url: str) -> None:
    app = make_app("test", CelerySettings(broker_url=redis_url, queue_bound=250))
    payloads = [order() for _ in range(1_300)]
    ids = tuple(str(one.task_id) for one in payloads)
    payloads[1_200] = payloads[1_200].model_copy(update={"total_amount": 0})
    with pytest.raises(QueueFull) as caught:
        process_order.bind(app).publish_many(payloads)
    assert Published(accepted=ids[:250], refused=ids[250:]) == caught.value.published
    app.close()


def test_many_over_celerys_own_way_are_accounted_for_too(redis_url: str) -> None:
    app = make_app("test", CelerySettings(broker_url=redis_url, transport=TransportKind.STOCK))
    payloads = [order() for _ in range(3)]
    ids = tuple(str(one.task_id) for one in payloads)
    assert Published(accepted=ids) == process_order.bind(app).publish_many(payloads)
    payloads[1] = payloads[1].model_copy(update={"total_amount": 0})
    with pytest.raises(ValidationError) as caught:
        process_order.bind(app).publish_many(payloads)
    assert Published(accepted=ids[:1], refused=ids[1:]) == caught.value.published  # type: ignore[attr-defined]
    app.close()


def test_a_number_that_is_none_arrives_as_one(app: Celery, redis_url: str) -> None:
    class Odd(TaskPayload):
        number: float
        nothing: str | None = None

    class Nothing(TaskResult):
        pass

    contract = Contract(name="tasks.odd", queue="odd", payload=Odd, result=Nothing, bound=app)
    contract.delay(Odd(source_service="test", number=float("nan")))
    [args, *_] = taken(redis_url, "odd").decode()
    assert args[0]["number"] != args[0]["number"]
    assert args[0]["nothing"] is None
