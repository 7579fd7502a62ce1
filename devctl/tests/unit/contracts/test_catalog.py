from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devctl.contracts.catalog import Catalog, TaskContract
from devctl.contracts.owners import consumers, owners
from devctl.errors import DevctlError, UsageError
from devctl.stack.model import Build, Service, Stack


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("their_"):
            del sys.modules[name]


def test_the_contracts_of_a_package_or_of_its_tasks_module() -> None:
    assert ["tasks.process_order", "tasks.send_notification", "tasks.health_check"] == [
        one.name for one in Catalog.load("shop")
    ]
    assert "tasks.process_order" == Catalog.load("shop.tasks").default.name


def test_anything_with_a_name_and_a_queue_is_a_contract(module: Path) -> None:
    (module / "their_contracts.py").write_text(
        "class C:\n  name='text.count'; queue='texts'; payload=str; result=int\nCONTRACTS=[C()]"
    )
    (one,) = Catalog.load("their_contracts")
    assert TaskContract("text.count", "texts", str, int) == one


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = 1", "neither their_broken nor their_broken.tasks has CONTRACTS"),
        ("import no_such_thing", "cannot be imported: ModuleNotFoundError: No module named 'no_such_thing'"),
        ("1/0", "cannot be imported: ZeroDivisionError"),
        ("def f(:", "cannot be imported: SyntaxError"),
    ],
)
def test_a_module_that_has_none_or_does_not_work_is_a_problem_with_a_name(
    module: Path, source: str, expected: str
) -> None:
    (module / "their_broken.py").write_text(source)
    with pytest.raises(DevctlError) as caught:
        Catalog.load("their_broken")
    assert expected in caught.value.problem


def test_a_short_name_is_enough_where_it_is_clear() -> None:
    catalog = Catalog(
        [TaskContract("a.run", "q", None), TaskContract("b.run", "q", None), TaskContract("b.stop", "q", 0)]
    )
    assert "b.stop" == catalog.get("stop").name
    assert "a.run" == catalog.get("a.run").name
    assert catalog.find("run") is None


@pytest.mark.parametrize(
    ("name", "meant"),
    [("proces_order", "process_order"), ("tasks.send_notifcation", "tasks.send_notification"), ("zzz", None)],
)
def test_an_unknown_name_says_what_was_meant(name: str, meant: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        Catalog.load("shop").get(name)
    assert (f"no task {name!r}" + (f": did you mean {meant}?" if meant else "")) == caught.value.problem
    assert "tasks.health_check" in caught.value.hint


def test_no_contracts_at_all_is_said() -> None:
    with pytest.raises(DevctlError, match="CONTRACTS is empty"):
        _ = Catalog([]).default


def test_the_first_with_a_payload_is_meant_when_none_is_named_else_the_first() -> None:
    bare, full = TaskContract("tasks.ping", "a", None), TaskContract("tasks.send", "b", dict)
    assert (full, bare) == (Catalog([bare, full]).default, Catalog([bare]).default)


def test_the_owner_of_a_queue_is_the_service_that_implements_its_task(tmp_path: Path) -> None:
    for name, text in (
        ("alpha", "@implements(count)\ndef f(): ..."),
        ("beta", "# @implements(count)\ndef make():\n    @common.implements(contracts.stop)\n    def g(): ..."),
    ):
        (tmp_path / name / "src" / name).mkdir(parents=True)
        (tmp_path / name / "src" / name / "handlers.py").write_text(text)
    services = {name: Service(name, build=Build(tmp_path / name)) for name in ("alpha", "beta")}
    stack = Stack("s", {"redis": Service("redis"), **services}, "redis", ("alpha",), {}, "their")
    catalog = Catalog([TaskContract("text.count", "texts", str), TaskContract("text.stop", "stops", str)])

    assert {"texts": "alpha", "stops": "beta"} == owners(catalog, stack)
    assert {"alpha", "beta"} == consumers(stack)


def test_a_stack_that_names_no_contracts_is_told_what_to_write() -> None:
    with pytest.raises(DevctlError, match="names no task contracts") as told:
        Catalog.load("")
    assert "contracts: MODULE" in told.value.hint
