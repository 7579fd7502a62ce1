"""devctl new project: this repository's own files, in a folder of one's own."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import jsonschema
import pytest

from devctl.__main__ import main
from devctl.new import parts

ROOT = Path(__file__).parents[4]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "our-shop"


def test_it_has_the_stack_as_it_is_here_with_what_is_executable(shop: Path) -> None:
    assert 0 == main(["new", "project", "our-shop"])
    made = {file.relative_to(shop) for file in shop.rglob("*") if file.is_file()}
    assert set(parts.files(ROOT)) == made
    for file in made - {Path("README.md"), Path("Makefile")}:
        assert (ROOT / file).read_bytes() == (shop / file).read_bytes()
    assert os.access(shop / "tools/setup", os.X_OK)
    assert (shop / "README.md").read_text().startswith("# our-shop\n")


def test_the_same_again_changes_nothing_and_keeps_what_is_new_there(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["new", "project", "our-shop"])
    (shop / "docker-compose.yml").write_text("services: {}\n")
    capsys.readouterr()
    assert 0 == main(["new", "project", "our-shop"])
    assert "nothing to do: all of it is there already\n" == capsys.readouterr().out
    assert "services: {}\n" == (shop / "docker-compose.yml").read_text()


def test_a_dry_run_writes_nothing(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["new", "project", "our-shop", "--dry-run", "--json"])
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, json.loads((ROOT / "docs/json/new.schema.json").read_text()))
    assert "docker-compose.yml" in [one["path"] for one in document["files"]]
    assert not shop.exists()


def test_a_folder_that_holds_something_else_is_refused(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop.mkdir()
    (shop / "novel.txt").write_text("Once")
    assert 2 == main(["new", "project", "our-shop"])
    assert "is there already, and not empty" in capsys.readouterr().err
    assert ["novel.txt"] == [file.name for file in shop.iterdir()]


def test_its_makefile_offers_nothing_whose_tool_is_not_there(shop: Path) -> None:
    main(["new", "project", "our-shop"])
    text = (shop / "Makefile").read_text()
    assert [] == [tool for tool in re.findall(r"\btools/[\w.]+", text) if not (shop / tool).exists()]
    assert {"demo", "test", "lint", "lock"} <= set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))


def test_a_service_that_was_added_here_is_there_too(tmp_path: Path) -> None:
    (tmp_path / "mails/src/mails").mkdir(parents=True)
    (tmp_path / "mails/pyproject.toml").write_text("[project]\n")
    (tmp_path / "mails/src/mails/main.py").write_text("")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/idea.txt").write_text("")
    assert [Path("mails/pyproject.toml"), Path("mails/src/mails/main.py")] == list(parts.files(tmp_path))


def test_every_part_that_is_listed_is_there() -> None:
    deleted = (".ci/order.py",)  # by a team, with the examples
    assert [] == [part for part in parts.PARTS if not (ROOT / part).exists() and part not in deleted]
