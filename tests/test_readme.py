"""The README's pictures and pages exist, its commands do too, and nothing in it waits to be filled in."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml

from devctl.cli import plugins
from devctl.cli.app import COMMANDS, GROUPS, name_of

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "common" / "README.md",
    ROOT / "celeriac" / "README.md",
    *(ROOT / "docs").rglob("*.md"),
]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [] == [link for link in links if not (page.parent / link).exists()]


def test_nothing_waits_to_be_filled_in() -> None:
    assert "@@" not in README


def test_every_command_is_in_the_table() -> None:
    names = {name_of(command) for command in COMMANDS}
    names |= {f"{group.info.name} {one.name}" for group in GROUPS for one in group.registered_commands[:1]}
    table = README.split("## devctl", 1)[1].split("##", 1)[0]
    assert set() == {name for name in names if not re.search(rf"`(devctl )?{name}\b", table)}


def test_the_picture_of_the_architecture_names_every_command_once() -> None:
    picture = (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")
    drawn = [name for line in re.findall(r'<text class="c"[^>]*>([^<]+)</text>', picture) for name in line.split(" · ")]
    names = {*map(name_of, COMMANDS), *(str(group.info.name) for group in GROUPS)}
    names |= {name for name, target in plugins.found(sys.path).items() if target.startswith("devctl.")}
    assert sorted(names) == sorted(drawn)


@pytest.mark.examples
def test_the_picture_of_the_architecture_names_the_services_of_the_compose_file() -> None:
    picture = (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8").casefold()
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    usual = [name for name, one in services.items() if "profiles" not in one]
    assert [] == [name for name in usual if f">{name}" not in picture]


def test_every_make_target_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set() == set(re.findall(r"(?:`|^)make ([a-z]+)", README, re.MULTILINE)) - targets
