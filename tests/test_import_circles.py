"""No module of this repository leads back to itself by its imports: also not by those for the type checker, nor by
those inside functions."""

import sys
from pathlib import Path

import grimp
import pytest

PACKAGES = ["celeriac", "common_tasks", "worker", "service1", "service2", "devctl"]


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
