import json
from typing import Any

import pytest
from celery import Celery
from hypothesis import given, settings
from hypothesis import strategies as some

from celeriac.message.frame import frame
from celeriac.message.reading import loads
from celeriac.message.schema import check
from celeriac.message.usual import usual

OURS = {"fingerprint": "0" * 16, "x_correlation_id": "c", "published_at": 1795702860.281}
TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
HEADERS_OF_CELERY = ("_children", "compression", "called_directly", "get", "mine", "eta", "expires")


def text(raw: bytes) -> Any:
    return json.loads(raw)


@pytest.mark.parametrize(
    "headers",
    [
        *(OURS, {}, {"x_correlation_id": "c", "published_at": 1}, {"fingerprint": "0"}),
        *(TRACE, {**OURS, **TRACE}, {**OURS, **TRACE, "tracestate": "a=b"}),
    ],
)
def test_a_usual_message_is_read_as_any_other(headers: dict[str, Any]) -> None:
    raw = frame("tasks.x", "q", [1], task_id="é-1", headers=headers, priority=3, parent_id="p")

    assert usual(raw) == loads(raw)


def test_what_stock_celery_publishes_is_usual(monkeypatch: pytest.MonkeyPatch) -> None:
    from kombu.transport.memory import Channel

    handed: list[dict[str, Any]] = []
    monkeypatch.setattr(Channel, "_put", lambda self, queue, message, **_: handed.append(message))
    app = Celery("stock", broker="memory://", set_as_current=False)
    app.send_task("tasks.x", (1,), {"a": 2})
    raw = json.dumps(handed[-1]).encode()

    assert usual(raw) == loads(raw)


json_values = some.recursive(
    some.none()
    | some.booleans()
    | some.integers(-(2**70), 2**70)
    | some.floats()
    | some.sampled_from(["", "x", "é", "\ud800", "gzip", "2026-01-01T00:00:00Z", "__type__"])
    | some.just({"__type__": "uuid", "__value__": "0"}),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=300, deadline=None)
@given(some.data())
def test_what_is_read_in_one_step_is_what_two_steps_read_and_accept(data: some.DataObject) -> None:
    message = text(frame("tasks.x", "q", [1], task_id="1", headers=OURS))
    parts = [message, message["headers"], message["properties"], message["properties"]["delivery_info"]]
    for _ in range(data.draw(some.integers(1, 3))):
        part = data.draw(some.sampled_from(parts))
        name = data.draw(some.sampled_from([*part, *HEADERS_OF_CELERY]))
        if data.draw(some.booleans()):
            part[name] = data.draw(json_values)
        else:
            part.pop(name, None)
    raw = json.dumps(message).encode()

    found = usual(raw)

    if found is not None:
        check(loads(raw))
        assert found == loads(raw)
        assert repr(found["headers"]).count("True") == repr(loads(raw)["headers"]).count("True")  # 1 is no True


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b'"x"', b"{", b"\xff", frame("tasks.x", "q", [], task_id="1").replace(b'"q"', b'"\xff"')]
)
def test_what_is_no_message_is_left_to_the_two_steps(raw: bytes) -> None:
    assert usual(raw) is None
