"""The rows: all of them, known by name and number, and none too wide for its column."""

from __future__ import annotations

from pathlib import Path

import pytest

from devctl.chaos.catalogue import choose, scenarios
from devctl.chaos.scenario import Conditions, Size, SoakPlan
from devctl.chaos.screen import TITLE_WIDTH
from devctl.errors import UsageError

MATRIX = (Path(__file__).parents[4] / "docs/reliability.md").read_text(encoding="utf-8")


def test_the_matrix_has_a_scenario_for_each_row() -> None:
    assert list(range(1, 23)) == [one.number for one in scenarios()]
    assert 22 == len({one.name for one in scenarios()})


@pytest.mark.parametrize("scenario", scenarios(), ids=lambda one: one.name)
def test_a_scenario_is_in_the_documentation_under_its_number_and_name(scenario: object) -> None:
    assert f"| {scenario.number} | `{scenario.name}`" in MATRIX  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", ["quick", "full"])
@pytest.mark.parametrize("stock", [False, True])
@pytest.mark.parametrize("containers", [False, True])
def test_a_title_fits_its_column_and_every_part_expects_its_fault(size: Size, stock: bool, containers: bool) -> None:
    for one in scenarios():
        assert len(one.title[size]) <= TITLE_WIDTH
        parts = one.parts(Conditions(size, stock, containers))
        assert parts
        assert all(part.expect.fired >= 1 for part in parts)


def test_in_containers_there_are_fewer_kills() -> None:
    (kill,) = choose(["worker-kill"])
    local, containers = (kill.parts(Conditions("full", containers=one))[0] for one in (False, True))

    assert (50, 12) == (local.expect.fired, containers.expect.fired)
    assert local.load == containers.load


def test_none_named_is_the_quick_selection_and_all_is_all() -> None:
    assert 11 >= len(choose([])) >= 6
    assert all(one.in_quick for one in choose([]))
    assert 21 == len(choose(["all"])) == len(choose(["poison", "all"]))


def test_the_soak_is_played_only_by_its_name() -> None:
    assert "soak" not in [one.name for one in (*choose([]), *choose(["all"]))]
    assert ["soak"] == [one.name for one in choose(["soak"])] == [one.name for one in choose(["22"])]
    assert 22 == len(choose(["all", "soak"]))


def test_a_soak_of_320_kills_is_three_million_tasks() -> None:
    assert 3_000_000 < SoakPlan(320).least_tasks < 3_100_000
    assert 500 == SoakPlan(320, tasks=500).least_tasks


def test_names_and_numbers_are_put_in_the_order_of_the_matrix() -> None:
    assert ["worker-kill", "redis-kill", "poison"] == [one.name for one in choose(["12", "redis-kill", "1", "poison"])]


def test_a_name_that_is_nearly_right_is_offered() -> None:
    with pytest.raises(UsageError, match="no scenario 'poisn': did you mean poison"):
        choose(["poisn"])
