"""What a message of a stock client may hold: its arguments, its encodings, the older protocol."""

import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from tests.interop.peers import sig

WHEN = datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30)))
NAMED = UUID("12345678-1234-5678-1234-567812345678")


@pytest.mark.every_peer
@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        "",
        'für 猫 🐈 \u2028 \x00 " \\ \n',
        "\ud800 alone",
        {"ключ": [1, {"": None}]},
        2**53 + 1,
        2**64,
        -(2**200),
        0.1 + 0.2,
        1e308,
        5e-324,
        math.inf,
        '","eta": null, "delivery_tag": "',
        "\x06\x163",
    ],
    ids=ascii,
)
def test_a_value_comes_back_as_it_went(value, client):
    assert client.get(client.send("interop.echo", [value])) == value


def test_minus_zero_and_not_a_number_come_back(client):
    minus, nothing = client.get(client.send("interop.echo", [[-0.0, math.nan]]))
    assert math.copysign(1, minus) == -1
    assert math.isnan(nothing)


@pytest.mark.every_peer
def test_what_kombu_writes_with_its_type_arrives_with_its_type(client):
    values = [WHEN, WHEN.astimezone(UTC), date(2026, 2, 28), Decimal("0.10"), NAMED, b"\x00\xff"]
    kinds = client.get(client.send("interop.kinds", values))
    assert kinds[0] == kinds[1] == "datetime"
    assert kinds[3:] == ["Decimal", "UUID", "bytes"]


def test_results_with_a_type_come_back_with_their_type(client):
    values = [WHEN, Decimal("0.10"), NAMED, b"\x00\xff", [{"deep": Decimal("1E+3")}]]
    assert client.get(client.send("interop.echo", [values])) == values


@pytest.mark.parametrize("megabytes", [1, 8])
def test_a_large_payload_comes_back(megabytes, client):
    value = "ä" * (megabytes * 1024 * 1024 // 2)
    assert client.get(client.send("interop.echo", [value]), timeout=30) == value


def test_a_thousand_arguments_arrive(client):
    assert client.get(client.send("interop.kinds", list(range(1000)))) == ["int"] * 1000


def test_deep_values_come_back(client):
    value = []
    for _ in range(100):
        value = [value]
    assert client.get(client.send("interop.echo", [value])) == value


@pytest.mark.parametrize("compression", ["gzip", "bzip2"])
def test_a_compressed_message_is_read(compression, client):
    assert client.get(client.send("interop.echo", ["long " * 1000], compression=compression)) == "long " * 1000


@pytest.mark.every_peer
def test_the_older_protocol_is_read(client, worker):
    old = client.configured(task_protocol=1)
    assert old.get(old.send("interop.add", [1, 2])) == 3
    assert old.get(old.send("interop.echo", [], {"value": [Decimal("1.5")]})) == [Decimal("1.5")]
    retried = old.send("interop.again", [2])
    assert old.get(retried) == 2
    assert [note["retries"] for note in worker.notes("again", id=retried)] == [0, 1, 2]
    assert old.failure(old.send("interop.boom", ["of old"])).text == "of old"


def test_a_chain_in_the_older_protocol(client, worker):
    old = client.configured(task_protocol=1)
    first = old.run(sig("interop.add", 200, 2, link=[sig("interop.told")]))
    assert old.get(first) == 202


def test_a_contract_is_run_for_a_stock_client(client):
    task = client.send("interop.shout", [{"source_service": "stock", "text": "über"}])
    assert client.get(task) == {"source_service": "ours", "text": "ÜBER"}


def test_a_wrong_payload_is_the_callers_failure(client):
    failure = client.failure(client.send("interop.shout", [{"source_service": "stock", "text": 7}]))
    assert "interop.shout was sent a wrong payload" in failure.text
    assert "text" in failure.text


def test_wrong_arguments_are_the_callers_failure(client):
    assert client.failure(client.send("interop.add", [1])).kind == "TypeError"
    assert client.failure(client.send("interop.add", [1, 2], {"z": 3})).kind == "TypeError"


def test_a_task_that_nobody_knows_kills_nobody(client, worker):
    client.send("interop.unheard-of", [1])
    assert client.get(client.send("interop.add", [1, 1])) == 2
    assert worker.alive()


def test_the_serializer_may_be_named_by_the_message(client):
    assert client.get(client.send("interop.add", [1, 1], serializer="json")) == 2
    client.send("interop.add", [1, 1], serializer="pickle")  # refused, and not by dying
    assert client.get(client.send("interop.add", [2, 1])) == 3
