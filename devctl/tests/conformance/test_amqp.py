"""What only the adapter for RabbitMQ has to show: messages as Celery sends them, and names for what goes wrong."""

from __future__ import annotations

import json
import subprocess
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery
from kombu import Connection

from celeriac.correlation import HEADER, PUBLISHED_AT
from devctl.broker import amqp_connection
from devctl.broker.amqp import AmqpBroker
from devctl.broker.port import Message
from devctl.errors import DevctlError

pytestmark = pytest.mark.containers
Broken = Callable[[str], str]


def _all_of(url: str, queue: str) -> tuple[Any, ...]:
    with Connection(url) as connection:
        message: Any = connection.channel().basic_get(queue, no_ack=True)  # type: ignore[attr-defined]  # py-amqp's
    properties = dict(message.properties)
    headers = properties.pop("application_headers")
    properties.pop("reply_to")
    for stamp in (HEADER, PUBLISHED_AT):  # an app with celeriac in this process stamps what all apps here send
        headers.pop(stamp, None)
    return json.loads(message.body), headers, properties


def test_a_message_is_the_one_that_stock_celery_would_send(rabbitmq: Any) -> None:
    queue, task_id = f"probe.{uuid.uuid4().hex}", str(uuid.uuid4())
    message = Message("tasks.any", queue, task_id, (1, {"b": "ä"}), {"unit": "s"}, {"x_own": "c-1"})
    broker = AmqpBroker(rabbitmq.url, makes=lambda name: True)

    broker.publish([message])
    ours = _all_of(rabbitmq.url, queue)
    app = Celery("stock", broker=rabbitmq.url, set_as_current=False)
    options: dict[str, Any] = {"queue": queue, "headers": {"x_own": "c-1"}, "ignore_result": False}
    app.send_task("tasks.any", [1, {"b": "ä"}], {"unit": "s"}, task_id=task_id, **options)

    assert _all_of(rabbitmq.url, queue) == ours
    broker.forget("run", [queue], [])


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (lambda url: url.replace("guest:guest", "guest:s3cret"), "refuses this user or password"),
        (lambda url: url.replace("//", "/nowhere", 2).replace(":/nowhere", "://"), "vhost nowhere not found"),
        (lambda url: "amqp://u:s3cret@127.0.0.1:1//", "the broker at 127.0.0.1:1 does not answer: "),
        (lambda url: url.replace("amqp:", "amqps:").replace("guest@", "s3cret@"), "does not speak TLS"),
    ],
    ids=["password", "vhost", "gone", "TLS"],
)
def test_what_goes_wrong_has_a_name_a_hint_and_no_password(rabbitmq: Any, broken: Broken, problem: str) -> None:
    started = time.monotonic()

    with pytest.raises(DevctlError) as caught:
        AmqpBroker(broken(rabbitmq.url)).info()

    assert problem in caught.value.problem
    assert caught.value.hint
    assert "s3cret" not in f"{caught.value.problem}{caught.value.hint}{caught.value.details}"
    assert time.monotonic() - started < 5


def test_no_call_waits_for_a_rabbitmq_that_is_paused(rabbitmq: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amqp_connection, "READ_SECONDS", 1.0)
    broker = AmqpBroker(rabbitmq.url)
    broker.info()  # so that there is an open connection
    subprocess.run(["docker", "pause", rabbitmq.container], check=True, capture_output=True)
    try:
        for call in (broker.info, broker.consumers, lambda: broker.queues(["q"])):
            started = time.monotonic()
            if call != broker.info:
                with pytest.raises(DevctlError, match="accepts connections but does not answer"):
                    call()
            assert time.monotonic() - started < 8
    finally:
        subprocess.run(["docker", "unpause", rabbitmq.container], check=True, capture_output=True)
