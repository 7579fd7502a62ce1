import json
import math
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from celery import Celery, chain, chord, group, signals

from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings, TransportKind
from celeriac.contract.contract import Contract
from celeriac.errors import ValidationError
from celeriac.worker.app import make_worker
from shop.schemas import NotificationPayload, OrderItem, OrderPayload
from shop.tasks import CONTRACTS, health_check, process_order, send_notification


def order(**changes: Any) -> OrderPayload:
    data: dict[str, Any] = {
        "source_service": "service1",
        "customer_id": "c-1",
        "items": [{"product_id": "p-1", "quantity": 2}],
        "total_amount": "12.50",
    }
    return OrderPayload.model_validate(data | changes)


@pytest.fixture
def memory() -> Celery:
    """An app whose broker is this process."""
    settings = CelerySettings(broker_url="redis://unused", transport=TransportKind.STOCK)
    app = make_app("test", settings, contracts=CONTRACTS)
    app.conf.update(broker_url="memory://", broker_read_url="memory://", broker_write_url="memory://")
    app.conf.update(broker_transport_options={})
    app.backend_cls = "cache+memory://"
    return app


def taken(app: Celery, queue: str) -> Any:
    with app.connection_for_read() as connection:
        return connection.default_channel.basic_get(queue, no_ack=True)


def test_a_message_has_one_positional_argument_the_payload_as_an_object(memory: Celery) -> None:
    payload = order()
    pending = process_order.bind(memory).delay(payload)
    message = taken(memory, "orders")
    args, kwargs, _ = json.loads(message.body)
    assert ([payload.model_dump(mode="json")], {}) == (args, kwargs)
    assert (pending.id, "tasks.process_order") == (message.headers["id"], message.headers["task"])
    assert "application/json" == message.content_type


def test_the_task_id_of_every_way_to_publish_is_the_payloads(memory: Celery) -> None:
    contract = process_order.bind(memory)
    orders = [order() for _ in range(5)]
    contract.delay(orders[0])
    contract.apply_async(orders[1])
    contract.s(orders[2]).apply_async()
    chain(contract.s(orders[3]), contract.partial())()
    group(contract.s(orders[4]))()
    assert [str(one.task_id) for one in orders] == [taken(memory, "orders").headers["id"] for _ in orders]


def test_another_task_id_than_the_payloads_is_refused(memory: Celery) -> None:
    with pytest.raises(ValueError, match="is the payload's"):
        process_order.bind(memory).apply_async(order(), task_id="other")
    assert taken(memory, "orders") is None


def test_a_task_without_payload_has_no_argument(memory: Celery) -> None:
    health_check.bind(memory).delay()
    assert [[], {}] == json.loads(taken(memory, "default").body)[:2]


def test_nothing_is_sent_when_the_payload_is_wrong(memory: Celery) -> None:
    contract = process_order.bind(memory)
    wrong: Any = [
        ({"customer_id": "c"}, TypeError),
        (None, TypeError),
        (order().model_copy(update={"total_amount": 0}), ValidationError),
        (OrderPayload.model_construct(source_service="s"), ValidationError),
        (
            order().model_copy(update={"items": (OrderItem.model_construct(product_id="p", quantity=0),)}),
            ValidationError,
        ),
    ]
    for payload, error in wrong:
        for publish in (contract.delay, contract.apply_async, contract.s):
            with pytest.raises(error):
                publish(payload)
    assert taken(memory, "orders") is None


def test_what_is_wrong_is_told_by_field_and_without_the_value(memory: Celery) -> None:
    with pytest.raises(ValidationError, match=r"^1 field is wrong: customer_id: ") as caught:
        process_order.bind(memory).delay(order().model_copy(update={"customer_id": "se cret"}))
    assert "se cret" not in str(caught.value)


def test_options_of_celery_are_passed_on(memory: Celery) -> None:
    process_order.bind(memory).apply_async(order(), queue="elsewhere", expires=60, headers={"mine": 1})
    message = taken(memory, "elsewhere")
    assert message.headers["expires"]
    assert message.headers["mine"] == 1


def test_every_message_carries_a_correlation_id_and_its_time(memory: Celery) -> None:
    process_order.bind(memory).delay(order())
    headers = taken(memory, "orders").headers
    assert len(headers["x_correlation_id"]) == 32
    assert isinstance(headers["published_at"], float)


def test_the_contracts_of_an_app_are_its_routes_for_callers_that_know_only_a_name() -> None:
    app = make_app("routes", CelerySettings(), contracts=CONTRACTS)
    assert {one.name: one.queue for one in CONTRACTS} == {
        one.name: app.amqp.router.route({}, one.name)["queue"].name for one in CONTRACTS
    }


def test_the_app_of_the_environment_is_made_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app("late")
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://late:6379/2")
    assert "redis://late:6379/2" == app.conf.broker_write_url == app.conf.result_backend


def test_settings_that_are_given_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_app("given", CelerySettings(broker_url="redis://given:1/0"))
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://environment:2/0")
    monkeypatch.setenv("CELERY_RESULT_BACKEND", "redis://environment:2/0")
    assert ["given"] * 2 == [app.connection_for_write().hostname, app.connection_for_read().hostname]
    assert "redis://given:1/0" == app.backend.as_uri()


def test_a_worker_registers_what_it_owns_and_nothing_else(misbehaving: ModuleType) -> None:
    one = make_worker("one", [misbehaving.handle], CelerySettings())
    two = make_worker("two", [misbehaving.handle_upper, misbehaving.handle_join], CelerySettings())
    ours = [{name for name in app.tasks if not name.startswith("celery.")} for app in (one, two)]
    assert [{"test.misbehave"}, {"test.upper", "test.join"}] == ours


def test_an_implementation_is_a_plain_function_in_tests(misbehaving: ModuleType) -> None:
    payload = misbehaving.Upper(source_service="test", text="hello")
    assert "HELLO" == misbehaving.handle_upper(payload).text


def test_no_signal_of_another_library_user_is_needed() -> None:
    names = {receiver[0][0] for receiver in signals.task_prerun.receivers or []}
    assert not names  # the hot path calls nobody


def test_names_queues_and_retries_that_others_rely_on_stay() -> None:
    facts = {(one.name, one.queue, one.retries.limit, one.retries.cap_seconds) for one in CONTRACTS}
    promised = {
        ("tasks.process_order", "orders", 3, 30),
        ("tasks.send_notification", "notifications", 5, 60),
        ("tasks.health_check", "default", 0, 0),
    }
    assert promised <= facts


def test_a_child_gets_the_same_id_in_every_run_of_its_parent() -> None:
    from celeriac.contract.outcome import Outcome

    def note(text: str) -> NotificationPayload:
        return NotificationPayload(source_service="x", recipient="r", notification_type="SMS", message=text)  # type: ignore[arg-type]

    parent = UUID(int=7)
    first, second = Outcome(parent), Outcome(parent)
    ids = [first.publish(send_notification, note("a")), first.publish(send_notification, note("b"))]
    assert ids == [second.publish(send_notification, note("c")), second.publish(send_notification, note("d"))]
    assert len({*ids, Outcome(UUID(int=8)).publish(send_notification, note("a"))}) == 3
    assert ids == [child.payload.task_id for child in first.children]
    assert ids == [child.payload.notification_id for child in first.children]  # type: ignore[attr-defined]


def test_an_outcome_keeps_the_newest_word_about_progress() -> None:
    from celeriac.contract.outcome import Outcome

    outcome = Outcome()
    assert outcome.said is None
    outcome.progress(0.1)
    outcome.progress(0.4, "resized 4 of 10")
    assert (0.4, "resized 4 of 10") == outcome.said
    outcome.progress(1, "n" * 300)
    assert (1, "n" * 199 + "…") == outcome.said


@pytest.mark.parametrize("done", [-0.1, 1.001, 40, math.nan, math.inf])
def test_progress_is_a_number_from_0_to_1(done: float) -> None:
    from celeriac import Outcome, progress

    for say in (Outcome().progress, progress):
        with pytest.raises(ValueError, match="from 0 to 1, and this is"):
            say(done)


def test_outside_a_task_progress_is_told_to_nobody() -> None:
    from celeriac import progress

    assert progress(0.5) is None  # type: ignore[func-returns-value]  # that it raises nothing


def test_an_outcome_refuses_a_wrong_child_at_once() -> None:
    from celeriac.contract.outcome import Outcome

    wrong: Any = NotificationPayload.model_construct(source_service="x")
    with pytest.raises(ValidationError):
        Outcome().publish(send_notification, wrong)


def test_a_chord_body_is_a_signature_of_the_contract(memory: Celery) -> None:
    contract: Contract[Any, Any] = process_order.bind(memory)
    assert "tasks.process_order" == chord([contract.s(order())], contract.partial()).body.task
