"""Bodies that are almost JSON, and JSON that two readers would understand differently."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from celeriac.http.errors import ApiError
from celeriac.http.strict_json import parse

PATH = "/letters"
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "it is empty"),
        (b"{", "line 1, column 2"),
        (b'{"customer_id": c-1}', "line 1, column 17"),
        (b'{"a": 1,}', "line 1"),
        (b"{'a': 1}", "line 1"),
        (b'{"a": 1} {"b": 2}', "Extra data"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": Infinity}', "Infinity is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' stands twice"),
        (b'{"a": {"b": 1, "b": 2}}', "the key 'b' stands twice"),
        (b'{"a": "\xff"}', "not UTF-8, at byte 7"),
        (b'{"a": "\x00"}', "line 1"),
        (b'\xef\xbb\xbf{"a": 1}', "BOM"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
        (b"[" * 60_000, "nested deeper than 32"),
        (b'{"a":' * 10_000, "nested deeper than 32"),
        (b"[" * 40 + b"]" * 40, "nested deeper than 32"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "more than 100 digits"),
    ],
)
def test_what_is_not_json_is_a_400_that_says_why(client, text, why):
    answer = client.post(PATH, content=text, headers=JSON)

    assert (400, "invalid_json") == (answer.status_code, answer.json()["error"])
    assert why in answer.json()["message"]


@pytest.mark.parametrize("text", [r"c\u0000", r"\ud800", r"a\udfff"])
def test_what_is_not_text_is_a_422_that_names_the_field(client, text):
    answer = client.post(PATH, content='{"recipient": "X", "pages": [{"lines": "?"}]}'.replace("?", text), headers=JSON)

    assert 422 == answer.status_code
    assert "pages.0.lines" == answer.json()["fields"][0]["field"]


def test_a_key_that_is_not_text_is_refused_too(client, body):
    content = json.dumps(body).replace("recipient", r"recipient\ud800")

    assert 422 == client.post(PATH, content=content, headers=JSON).status_code


def test_a_whole_surrogate_pair_is_text(client, body):
    content = json.dumps(body).replace("Anna", r"\ud83d\ude00")

    assert 202 == client.post(PATH, content=content, headers=JSON).status_code


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/Vnd.Order+JSON"])
def test_json_is_taken_under_its_names(client, body, kind):
    assert 202 == client.post(PATH, content=json.dumps(body), headers={"Content-Type": kind}).status_code


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "", "application/x-www-form-urlencoded", "application/jsonp", "application/json; charset=latin-1"],
)
def test_what_is_not_declared_as_json_is_a_415(client, body, kind):
    answer = client.post(PATH, content=json.dumps(body), headers={"Content-Type": kind} if kind else {})

    assert (415, "unsupported_media_type") == (answer.status_code, answer.json()["error"])
    assert "application/json" in answer.json()["message"]


TEXT = st.characters(exclude_characters="\0", exclude_categories=["Cs"])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(TEXT),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(TEXT), inner),
        max_leaves=20,
    )
)
@settings(max_examples=100, deadline=None)
def test_what_json_writes_is_read_back(value):
    assert value == parse(json.dumps(value).encode())


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_read_or_refused(raw):
    with suppress(ApiError):
        json.dumps(parse(raw))
