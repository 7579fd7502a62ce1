from base64 import b64decode, b64encode, encodebytes

import pytest
from hypothesis import given
from hypothesis import strategies as some

from celeriac.message.reading import Undecodable, raw_body


def read(text: object) -> bytes | str:
    return raw_body({"body": text, "properties": {"body_encoding": "base64"}})


@given(some.binary(max_size=200))
def test_a_body_in_base64_is_read_with_and_without_line_breaks(body: bytes) -> None:
    assert [body, body] == [read(b64encode(body).decode()), read(encodebytes(body).decode())]


@given(some.text("Aa9+/=\n!é", max_size=12))
def test_any_text_is_read_as_kombu_reads_it_or_is_no_base64(text: str) -> None:
    try:
        expected = b64decode(text)
    except ValueError:
        with pytest.raises(Undecodable, match="not base64"):
            read(text)
    else:
        assert expected == read(text)
