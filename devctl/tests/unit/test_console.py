from __future__ import annotations

import io
import json
import sys

import pytest

from devctl.__main__ import main
from devctl.ui.console import forgiving, write_json


def ascii_stream() -> tuple[io.BytesIO, io.TextIOWrapper]:
    raw = io.BytesIO()
    return raw, io.TextIOWrapper(raw, encoding="ascii")


def test_a_stream_without_our_symbols_gets_their_plain_forms_and_no_error() -> None:
    raw, stream = ascii_stream()
    forgiving(stream)
    stream.write("✔ a → b ≥ 1 … ü\n")
    stream.flush()
    assert b"ok a -> b >= 1 ... ?\n" == raw.getvalue()


def test_json_loses_nothing_on_a_stream_that_knows_ascii_only(monkeypatch: pytest.MonkeyPatch) -> None:
    raw, stream = ascii_stream()
    monkeypatch.setattr(sys, "stdout", stream)
    write_json({"name": "→ ü"})
    assert {"name": "→ ü"} == json.loads(raw.getvalue())


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_stream_that_was_closed_before_the_start_is_bearable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(sys, name, None)
    assert 2 == main(["no-such-command"])
    assert 2 == main(["no-such-command", "--json"])
    getattr(sys, name).close()
