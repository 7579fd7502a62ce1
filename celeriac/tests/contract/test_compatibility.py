import json
import sys
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from celeriac.contract.compatibility import HOW_TO_VERSION, breaks, check, main, write
from celeriac.contract.contract import Contract
from shop.schemas import OrderPayload, OrderResult
from shop.tasks import process_order

Schema = dict[str, Any]


BASE: Schema = {
    "name": "t",
    "queue": "q",
    "payload": {
        "type": "object",
        "additionalProperties": False,
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "maxLength": 10, "minLength": 1},
            "count": {"type": "integer", "minimum": 1},
            "colour": {"enum": ["red", "green"], "type": "string"},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}, "minItems": 1},
            "tags": {"type": "object", "additionalProperties": {"type": "string"}},
        },
        "$defs": {
            "Line": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"sku": {"type": "string"}},
                "required": ["sku"],
            }
        },
    },
    "result": {"type": "object", "required": ["status"], "properties": {"status": {"enum": ["ok"], "type": "string"}}},
}


def changed(where: str, value: Any) -> Schema:
    """The base, with what lies at this path set to the value; `...` takes it out."""
    contract = deepcopy(BASE)
    *path, last = where.split("/")
    at = contract
    for part in path:
        at = at[part]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return contract


FIELDS = "payload/properties"


@pytest.mark.parametrize(
    ("where", "value", "told"),
    [
        ("queue", "other", "queue: q became other"),
        (f"{FIELDS}/note", ..., "payload.note: removed or renamed"),
        ("payload/$defs/Line/properties/sku", ..., "payload.lines[].sku: removed or renamed"),
        ("payload/required", ["name", "count"], "payload.count: required now"),
        ("payload/$defs/Line/required", ["sku", "price"], "payload.lines[].price: new and required"),
        (f"{FIELDS}/count", {"type": "string"}, "payload.count: integer became string"),
        (f"{FIELDS}/name/maxLength", 9, "payload.name: maxLength became 9 (was 10)"),
        (f"{FIELDS}/name/minLength", 2, "payload.name: minLength became 2 (was 1)"),
        (f"{FIELDS}/name/pattern", "^a", "payload.name: pattern became ^a (was not limited)"),
        (f"{FIELDS}/count/minimum", 2, "payload.count: minimum became 2 (was 1)"),
        (f"{FIELDS}/count/maximum", 5, "payload.count: maximum became 5 (was not limited)"),
        (f"{FIELDS}/lines/minItems", 2, "payload.lines: minItems became 2 (was 1)"),
        (f"{FIELDS}/colour/enum", ["red"], "payload.colour: green is not accepted any more"),
        (f"{FIELDS}/name/enum", ["a"], "payload.name: only a now"),
        (f"{FIELDS}/note", {"type": "string"}, "payload.note: null is not accepted any more"),
        (f"{FIELDS}/tags/additionalProperties", {"type": "integer"}, "payload.tags.*: string became integer"),
        (f"{FIELDS}/tags/additionalProperties", False, "payload.tags: unknown fields are refused now"),
        (
            "result/properties/status/enum",
            ["ok", "late"],
            "callers of the old version.status: late is not accepted",
        ),
        ("result/properties/status/enum", ["late"], "result.status: ok is not accepted any more"),
        ("result/required", [], "for callers of the old version.status: required now"),
        ("result/properties/status/type", "integer", "result.status: string became integer"),
    ],
)
def test_a_breaking_change_is_named(where: str, value: Any, told: str) -> None:
    found = breaks(BASE, changed(where, value))
    assert any(told in problem for problem in found), found


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (f"{FIELDS}/extra", {"type": "string", "maxLength": 3}),
        ("payload/$defs/Line/properties/price", {"type": "string"}),
        ("payload/required", []),
        ("payload/description", "other words"),
        (f"{FIELDS}/name/maxLength", 11),
        (f"{FIELDS}/name/maxLength", ...),
        (f"{FIELDS}/count/minimum", 0),
        (f"{FIELDS}/count/type", "number"),
        (f"{FIELDS}/colour/enum", ["red", "green", "blue"]),
        (f"{FIELDS}/name", {"anyOf": [{"type": "string", "maxLength": 10, "minLength": 1}, {"type": "null"}]}),
        ("payload/additionalProperties", True),
        ("result/properties/more", {"type": "string"}),
    ],
)
def test_a_harmless_change_passes(where: str, value: Any) -> None:
    assert [] == breaks(BASE, changed(where, value))


def was_and_became(was: Any, became: Any, part: str = "payload") -> list[str]:
    """What is told when a field turns from one schema to another."""

    def contract(field: Any) -> Schema:
        empty: Schema = {"name": "t", "queue": "q", "payload": {}, "result": {}}
        return empty | {part: {"type": "object", "properties": {"f": field}, "required": ["f"]}}

    return breaks(contract(was), contract(became))


INTEGER, TEXT, FLAG = {"type": "integer"}, {"type": "string"}, {"type": "boolean"}
TEXTS: Schema = {"type": "array", "items": TEXT}
PAIR: Schema = {"type": "array", "prefixItems": [INTEGER, TEXT], "minItems": 2, "maxItems": 2}


@pytest.mark.parametrize(
    ("was", "became", "told"),
    [
        ({"oneOf": [TEXT, INTEGER]}, {"oneOf": [TEXT]}, "payload.f: integer is not accepted any more"),
        ({"oneOf": [TEXT, INTEGER]}, TEXT, "payload.f: integer is not accepted any more"),
        ({"anyOf": [TEXT, FLAG]}, {"oneOf": [TEXT, INTEGER]}, "payload.f: boolean is not accepted any more"),
        (
            {"oneOf": [TEXT, {"type": "null"}]},
            {"oneOf": [TEXT | {"maxLength": 3}, {"type": "null"}]},
            "payload.f: string is not accepted any more",
        ),
        (PAIR, PAIR | {"prefixItems": [INTEGER, INTEGER]}, "payload.f[1]: string became integer"),
        (PAIR, PAIR | {"prefixItems": [TEXT, INTEGER]}, "payload.f[0]: integer became string"),
        (PAIR, TEXTS, "payload.f[0]: integer became string"),
        (TEXTS, TEXTS | {"prefixItems": [INTEGER]}, "payload.f[0]: string became integer"),
        (PAIR | {"maxItems": 3}, PAIR | {"maxItems": 3, "items": False}, "payload.f[]: not accepted any more"),
        ({"type": "array"}, TEXTS, "payload.f[]: anything became string"),
        ({"type": "object"}, {"type": "object", "additionalProperties": TEXT}, "payload.f.*: anything became string"),
        (TEXT | {"const": "a"}, TEXT | {"const": "b"}, "payload.f: a is not accepted any more"),
        (TEXT | {"enum": ["a", "b"]}, TEXT | {"const": "a"}, "payload.f: b is not accepted any more"),
        (TEXT, TEXT | {"const": "a"}, "payload.f: only a now"),
        (TEXTS, TEXTS | {"contains": {"const": "a"}}, "payload.f.contains: a keyword that this check does not know"),
        (TEXTS | {"contains": {"const": "a"}}, TEXTS, "payload.f.contains: a keyword that this check does not know"),
        (TEXT, {"anyOf": [TEXT, {"not": TEXT}]}, "payload.f.anyOf[1].not: a keyword that this check does not know"),
        ({"anyOf": [TEXT, FLAG]}, {"anyOf": [TEXT, FLAG], "maxLength": 3}, "payload.f: string is not accepted any"),
    ],
)
def test_a_break_in_any_part_of_a_schema_is_named(was: Any, became: Any, told: str) -> None:
    found = was_and_became(was, became)
    assert any(problem.startswith(told) for problem in found), found


@pytest.mark.parametrize(
    ("was", "became"),
    [
        ({"oneOf": [TEXT, INTEGER]}, {"oneOf": [INTEGER, TEXT, FLAG]}),
        ({"anyOf": [TEXT, INTEGER]}, {"oneOf": [TEXT, INTEGER]}),
        (TEXT, {"oneOf": [TEXT, INTEGER]}),
        (PAIR, PAIR | {"prefixItems": [{"type": "number"}, TEXT]}),
        (PAIR, PAIR | {"prefixItems": [INTEGER, TEXT, FLAG], "maxItems": 3}),
        (TEXTS, {"type": "array"}),
        (TEXT | {"const": "a"}, TEXT | {"enum": ["a", "b"]}),
        (TEXT | {"const": "a"}, TEXT | {"const": "a", "description": "other words"}),
        (TEXT | {"const": "a"}, TEXT),
        (TEXTS | {"contains": TEXT}, TEXTS | {"contains": TEXT, "title": "Texts"}),
    ],
)
def test_a_harmless_change_in_any_part_of_a_schema_passes(was: Any, became: Any) -> None:
    assert [] == was_and_became(was, became)


def test_one_more_value_of_a_literal_breaks_callers_only_in_a_result() -> None:
    one, two = TEXT | {"const": "a"}, TEXT | {"enum": ["a", "b"]}
    told = "result, for callers of the old version.f: b is not accepted any more"
    assert ([], [told]) == (was_and_became(one, two), was_and_became(one, two, "result"))


def test_a_keyword_that_refers_to_what_may_have_changed_is_refused() -> None:
    def contract(line: Schema) -> Schema:
        payload = {"$defs": {"Line": line}, "type": "array", "contains": {"$ref": "#/$defs/Line"}}
        return {"name": "t", "queue": "q", "payload": payload, "result": {}}

    assert [] == breaks(contract(TEXT), contract(TEXT))
    assert breaks(contract(TEXT), contract(INTEGER))[0].startswith("payload.contains: a keyword that this check")


def test_renaming_a_required_field_is_two_problems() -> None:
    renamed = changed(f"{FIELDS}/title", BASE["payload"]["properties"]["name"])
    del renamed["payload"]["properties"]["name"]
    renamed["payload"]["required"] = ["title"]
    assert ["payload.name: removed or renamed", "payload.title: new and required"] == breaks(BASE, renamed)


class Stricter(OrderPayload):
    coupon: str


stricter = Contract(process_order.name, process_order.queue, Stricter, OrderResult)


def test_a_break_is_told_with_the_way_to_version_a_contract(tmp_path: Path) -> None:
    write(tmp_path, (process_order,))
    breaking, _ = check(tmp_path, (stricter,))
    assert [
        "tasks.process_order: payload.coupon: new and required",
        HOW_TO_VERSION.format(name="tasks.process_order"),
    ] == breaking


def test_a_contract_that_disappears_is_a_break(tmp_path: Path) -> None:
    write(tmp_path, (process_order,))
    assert "the contract is gone" in check(tmp_path, ())[0][0]


def _module(monkeypatch: pytest.MonkeyPatch, *contracts: Contract[Any, Any]) -> str:
    module = ModuleType("changed_contracts")
    module.CONTRACTS = contracts  # type: ignore[attr-defined]  # what makes it a module of contracts
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module.__name__


def test_the_command_refuses_to_write_over_a_break(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, (process_order,))
    before = (tmp_path / "tasks.process_order.json").read_text()
    assert 1 == main([_module(monkeypatch, stricter), str(tmp_path), "--write"])
    assert before == (tmp_path / "tasks.process_order.json").read_text()
    assert "new and required" in capsys.readouterr().err


def test_the_command_writes_a_harmless_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wider(OrderPayload):
        coupon: str | None = None

    wider = Contract(process_order.name, process_order.queue, Wider, OrderResult)
    write(tmp_path, (process_order,))
    given = [_module(monkeypatch, wider), str(tmp_path)]
    assert (1, 0, 0) == (main(given), main([*given, "--write"]), main(given))
    assert "coupon" in json.loads((tmp_path / "tasks.process_order.json").read_text())["payload"]["properties"]
