"""Who imports whom: packages know only what lies below them, and no module leads back to itself; imports for the type
checker, and those inside functions, count."""

import re
import sys
from pathlib import Path

import grimp
import pytest
import yaml

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(init.parent.name for init in ROOT.glob("*/src/*/__init__.py"))
CONTRACTS = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["x-devctl"]["contracts"].partition(".")[0]
KNOWN = {"celeriac": set(), CONTRACTS: {"celeriac"}, "devctl": {"celeriac"}}  # everybody else is a service
OF_A_SERVICE = {"celeriac", CONTRACTS}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_service_knows_the_contracts_and_no_other_service_and_devctl_knows_neither(package: str) -> None:
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    found = {
        (module, imported)
        for module in graph.find_descendants(package) | {package}
        for imported in graph.find_modules_directly_imported_by(module)
        if imported.partition(".")[0] not in KNOWN.get(package, OF_A_SERVICE) | {package}
    }
    assert set() == found


@pytest.mark.parametrize("folder", ["celeriac/tests", "devctl/tests", "tests/interop", "tools"])
def test_what_stays_without_the_examples_imports_neither_them_nor_their_contracts(folder: str) -> None:
    theirs = "|".join(sorted({*PACKAGES} - {"celeriac", "devctl"}))
    imports = re.compile(rf"^\s*(?:from|import) (?:{theirs})\b", re.MULTILINE)
    files = [file for file in (ROOT / folder).rglob("*.py") if "repositories" not in file.parts]  # other people's
    found = [file for file in files if imports.search(file.read_text())]
    assert [] == [str(file.relative_to(ROOT)) for file in found]


def circle(package: str) -> list[str]:
    """The modules of one circle of imports, the first of them at both ends; empty if there is none."""
    graph = grimp.build_graph(package, cache_dir=None)
    imports = {module: sorted(graph.find_modules_directly_imported_by(module)) for module in sorted(graph.modules)}
    done: set[str] = set()
    for start in imports:
        path, open_ = [start], [iter(imports[start])]
        while open_:
            following = next((one for one in open_[-1] if one not in done), None)
            if following is None:
                open_.pop()
                done.add(path.pop())
            elif following in path:
                return [*path[path.index(following) :], following]
            else:
                path.append(following)
                open_.append(iter(imports[following]))
    return []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_has_no_circle_of_imports(package: str) -> None:
    if found := circle(package):
        pytest.fail(f"{' → '.join(found)}: take one of these imports out (a Protocol, or a module below both)")


@pytest.mark.parametrize(
    "late", ["if TYPE_CHECKING:\n    from planted.first import x", "def f():\n    import planted.first"]
)
def test_it_is_seen_also_where_it_is_for_the_type_checker_or_late(
    late: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "planted"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "first.py").write_text("from planted import second\n")
    (folder / "second.py").write_text(f"from typing import TYPE_CHECKING\n{late}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert ["planted.first", "planted.second", "planted.first"] == circle("planted")
    assert "planted" not in sys.modules
