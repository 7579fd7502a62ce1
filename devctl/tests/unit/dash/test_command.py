from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from devctl.__main__ import main
from devctl.cli import options
from devctl.dash.fake import FakeStack
from devctl.settings import Settings

SCHEMAS = Path(__file__).parents[4] / "docs/json"
SCHEMA = json.loads((SCHEMAS / "dash.schema.json").read_text())


class Bench:
    runtime_choice = ("fake", "a test")

    def __init__(self, shop: FakeStack, folder: Path) -> None:
        self.settings = Settings(folder, folder / "docker-compose.yml", "auto", "", {})
        self.dashboard = shop.sources


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStack:
    shop = FakeStack()
    monkeypatch.setattr(options, "open_workbench", lambda *_: Bench(shop, tmp_path))
    monkeypatch.setenv("WORKER_MOUNT", "")
    return shop


def test_once_is_a_still_picture_that_fits_into_80_columns(
    shop: FakeStack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shop.clock.sleep(1.0)
    shop.send(1, 2)
    shop.bury("0190b3c2-id")

    assert 0 == main(["dash", "--once"])

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("shop  fake  redis://127.0.0.1:6379/0  ")
    assert [
        "  SERVICE   STATE    HEALTH   REPLICAS  ROLE    PORTS",
        "  redis     running  healthy         1  redis   127.0.0.1:6379",
        "  worker    running  healthy         2  worker",
        "  web       running  healthy         1  web     127.0.0.1:8001",
        "",
        "  QUEUE     WAITING  CLAIMED  DUE  DEAD   IN/s  OUT/s  OLDEST  2 MINUTES",
        "  images          2        0    0     1      -      -    0.0s                  █",
        "",
        "  WORKER      SERVICE  BUSY  RUNS      TASK         FOR  PROGRESS",
        "  worker@one  worker    0/1  -",
        "  worker@two  worker    0/1  -",
        "",
        "  FAILED           TASK      ID        QUEUE   REASON     ERROR",
        "  0s ago  dead     resize    0190b3c2  images  permanent  ValueError: no such i…",
    ] == lines[2:]


def test_json_is_one_document_with_its_schema(shop: FakeStack, capsys: pytest.CaptureFixture[str]) -> None:
    shop.bury("id-1")

    assert 0 == main(["dash", "--once", "--json"])

    document: Any = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, SCHEMA)
    assert (True, "images", "dead") == (
        document["broker"]["reachable"],
        document["queues"][0]["name"],
        document["failures"][0]["kind"],
    )


def test_a_broker_that_is_away_is_told_and_the_rest_is_shown(
    shop: FakeStack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    shop.broker.away = "the broker at 127.0.0.1:6379 does not answer: Connection refused"

    assert 0 == main(["dash", "--once"])

    out = capsys.readouterr().out
    assert "\n! the broker at 127.0.0.1:6379 does not answer: Connection\n  refused\n" in out
    assert "  worker    running" in out


def test_without_a_terminal_it_says_what_works(shop: FakeStack, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["dash"])
    assert "devctl dash --once" in capsys.readouterr().err


def test_a_queue_is_paused_and_resumed_on_the_command_line(shop: FakeStack, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["queues", "pause", "images"])
    assert {"images"} == shop.broker.paused()
    ran = capsys.readouterr()
    assert "✔ images is paused: it takes messages in, and no worker takes one out\n" == ran.out
    assert "→ devctl queues resume images   have it consumed again" in ran.err

    assert 0 == main(["queues", "resume", "images", "--json"])
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, json.loads((SCHEMAS / "queues-pause.schema.json").read_text()))
    assert (False, set()) == (document["paused"], shop.broker.paused())


def test_a_queue_with_a_slip_in_its_name_is_not_paused(shop: FakeStack, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["queues", "pause", "image"])
    assert "no queue 'image' here: did you mean images?" in capsys.readouterr().err
    assert set() == shop.broker.paused()


def test_options_before_the_command_are_refused(shop: FakeStack, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["queues", "--json", "pause", "images"])
    assert set() == shop.broker.paused()
