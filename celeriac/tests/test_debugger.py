"""breakpoint() without a terminal, and what counts as somebody who looks."""

from __future__ import annotations

import io
import logging
import pdb
import sys
from types import SimpleNamespace

import pytest

from celeriac import debugger


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONBREAKPOINT", raising=False)
    monkeypatch.setattr(sys, "breakpointhook", sys.__breakpointhook__)
    debugger.install()


def test_without_a_terminal_the_code_goes_on_and_the_log_says_where(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("c\n"))
    with caplog.at_level(logging.WARNING, "celeriac"):
        breakpoint()
    (record,) = caplog.records
    assert "breakpoint.passed" == record.message
    assert record.fields["where"].startswith(__file__)  # type: ignore[attr-defined]  # what emit adds
    assert "devctl run" in record.fields["hint"]  # type: ignore[attr-defined]  # what emit adds


def test_in_a_process_without_a_stdin_it_goes_on_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    breakpoint()


def test_a_choice_of_the_user_s_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = []
    monkeypatch.setattr(sys, "breakpointhook", lambda: chosen.append(1))
    debugger.install()
    breakpoint()
    assert [1] == chosen

    monkeypatch.setattr(sys, "breakpointhook", sys.__breakpointhook__)
    monkeypatch.setenv("PYTHONBREAKPOINT", "0")
    debugger.install()
    assert sys.breakpointhook is sys.__breakpointhook__


def test_somebody_looks_while_a_prompt_is_open_or_an_editor_is_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    monkeypatch.setattr(pdb.Pdb, "interaction", lambda *_: looked.append(debugger.somebody_looks()))
    assert not debugger.somebody_looks()
    debugger._prompt().interaction(None, None)
    assert [True] == looked
    assert not debugger.somebody_looks()

    connected = [True, False]
    monkeypatch.setitem(sys.modules, "debugpy", SimpleNamespace(is_client_connected=lambda: connected.pop(0)))
    assert debugger.somebody_looks()
    assert not debugger.somebody_looks()
