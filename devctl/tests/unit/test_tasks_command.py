from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import shop
from devctl.__main__ import main
from devctl.cli import completion, options
from devctl.contracts.catalog import Catalog, TaskContract
from devctl.contracts.payload import checked
from devctl.settings import Settings
from devctl.stack.model import Service, Stack

COMPOSE = 'x-devctl: {broker: redis, workers: [], contracts: shop}\nservices: {redis: {image: "redis:8-alpine"}}\n'
SCHEMA = json.loads((Path(__file__).parents[3] / "docs/json/tasks.schema.json").read_text())


class Bench:
    def __init__(self, folder: Path) -> None:
        self.settings = Settings(folder, folder / "docker-compose.yml", "auto", "", {})
        self.stack = Stack("x", {"redis": Service("redis")}, "redis", (), {}, "shop")
        self.tasks = Catalog.load("shop")


@pytest.fixture(autouse=True)
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench(tmp_path)
    monkeypatch.setattr(options, "open_workbench", lambda *_: bench)
    return bench


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert code == main(["tasks", *arguments])
    return capsys.readouterr().out


def test_all_contracts_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys).splitlines()
    assert ["TASK", "QUEUE", "PAYLOAD", "RESULT", "RETRIES"] == lines[0].split()
    assert ["tasks.process_order", "orders", "OrderPayload", "OrderResult", "3"] == lines[1].split()
    assert ["tasks.health_check", "default", "none", "HealthResult", "0"] == lines[3].split()


def test_one_contract_shows_every_field_with_its_limits(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "process_order")
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in text.splitlines() if line.startswith("  ")}
    assert "queue    orders" in text
    assert "retries  3, each after a random part of 1s, doubled up to 30s" in text
    assert "result   OrderResult: order_id, status, notification_id" in text
    assert "integer ≥ 1, ≤ 10,000" == rows["items.0.quantity"]
    assert "list of OrderItem 1 to 1,000 entries" == rows["items"]
    assert "LOW | NORMAL | HIGH default NORMAL" == rows["priority"]
    assert "UUID optional" == rows["task_id"]


def test_the_example_can_be_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "process_order")
    command, _, rest = text[text.index("devctl send-task") :].partition("\n")
    assert "devctl send-task process_order --wait --json-file - <<'EOF'" == command
    document, end, _ = rest.partition("\nEOF\n")
    assert "\nEOF\n" == end
    assert checked(Catalog.load("shop").default, json.loads(document))


def test_a_task_without_payload_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "health_check")
    assert "payload  none" in text
    assert "retries  none" in text
    assert text.endswith("\ndevctl send-task health_check --wait\n")


def test_an_unknown_task_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    shown(capsys, "helth_check", code=2)


def test_json_is_as_documented_and_the_same_every_time(capsys: pytest.CaptureFixture[str]) -> None:
    document: dict[str, Any] = json.loads(shown(capsys, "--json"))
    jsonschema.validate(document, SCHEMA)
    assert ["tasks.process_order", "tasks.send_notification", "tasks.health_check"] == [
        one["name"] for one in document["tasks"]
    ]
    order = document["tasks"][0]
    jsonschema.validate(order["example"], order["payload"])
    assert {"limit": 3, "cap_seconds": 30, "base_seconds": 1.0} == order["retries"]
    assert None is document["tasks"][2]["payload"]
    assert document == json.loads(shown(capsys, "--json"))
    assert [order] == json.loads(shown(capsys, "process_order", "--json"))["tasks"]


def test_a_contract_of_plain_things_is_shown_too(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.tasks = Catalog([TaskContract("text.count", "texts", str, int), TaskContract("text.list", "t", list[int])])
    assert "payload  str" in shown(capsys, "text.count")
    assert "payload  list" in shown(capsys, "text.list")
    jsonschema.validate(json.loads(shown(capsys, "--json")), SCHEMA)


class Context:
    def __init__(self, name: str) -> None:
        self.params = {"name": name}


def test_names_are_completed_long_and_short() -> None:
    assert ["tasks.process_order"] == completion.tasks("tasks.p")
    assert ["process_order"] == completion.tasks("pro")
    assert [] == completion.tasks("zzz")


def test_fields_of_the_named_task_are_completed() -> None:
    assert ["items.0.product_id=", "items.0.quantity="] == completion.paths(Context("process_order"), "items.0.")
    assert ["recipient="] == completion.paths(Context("tasks.send_notification"), "rec")
    assert ["customer_id="] == completion.paths(Context(""), "cus")


def test_answers_are_kept_until_the_contracts_change(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ["tasks.process_order"] == completion.tasks("tasks.p")
    bench.tasks = Catalog([TaskContract("tasks.pack", "q", None)])
    assert ["tasks.process_order"] == completion.tasks("tasks.p")

    monkeypatch.setattr(completion, "_key", lambda *_: "changed")

    assert ["tasks.pack"] == completion.tasks("tasks.p")


def test_a_damaged_file_of_answers_is_made_anew(bench: Bench) -> None:
    bench.settings.state.mkdir()
    (bench.settings.state / "tasks.json").write_text("[1, ")
    assert ["tasks.process_order"] == completion.tasks("tasks.p")


def test_the_key_changes_with_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "their_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = completion._key("their_package.tasks", tmp_path)
    assert before == completion._key("their_package.tasks", tmp_path)

    (package / "tasks.py").write_text("CONTRACTS = []")

    assert before != completion._key("their_package.tasks", tmp_path)
    assert "" != completion._key("no_such_package", tmp_path)


@pytest.mark.integration
def test_completion_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text(COMPOSE)
    program = "from devctl.cli import completion; completion.tasks('')"
    light = (
        "import sys; from devctl.cli import completion; print(completion.tasks(''));"
        "print([name for name in ('celery', 'redis', 'pydantic', 'kombu') if name in sys.modules])"
    )
    with_shop = {**os.environ, "PYTHONPATH": shop.PATH}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=with_shop, check=True, capture_output=True)
    done = subprocess.run(
        [sys.executable, "-c", light], cwd=tmp_path, env=with_shop, check=True, capture_output=True, text=True
    )
    assert "tasks.process_order" in done.stdout
    assert "[]" == done.stdout.splitlines()[1]
