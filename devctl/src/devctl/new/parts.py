"""The files of this repository that a project begins with. It is read when devctl is built, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

# Everything but what develops celeriac and devctl themselves: their tests, their figures, their peers. The services are
# beside these; see `_services`.
PARTS = (
    ".ci/order.py",
    ".ci/plain-compose",
    ".ci/run",
    ".env.example",
    ".github/workflows/ci.yml",
    ".gitignore",
    "Dockerfile",
    "Dockerfile.dockerignore",
    "Makefile",
    "README.md",
    "celeriac/CHANGELOG.md",
    "celeriac/LICENSE",
    "celeriac/README.md",
    "celeriac/pyproject.toml",
    "celeriac/src",
    "conftest.py",
    "dev.lock",
    "devctl/LICENSE",
    "devctl/hatch_build.py",
    "devctl/pyproject.toml",
    "devctl/src",
    "docker-compose.yml",
    "docs",
    "monitoring",
    "pyproject.toml",
    "tests/test_compose_file.py",
    "tests/test_containers.py",
    "tests/test_dependencies.py",
    "tests/test_imports.py",
    "tests/test_locks.py",
    "tests/test_settings.py",
    "tools/bootstrap.in",
    "tools/bootstrap.lock",
    "tools/local_prometheus.py",
    "tools/lock",
    "tools/reference.py",
    "tools/setup",
    "tools/terminal_picture.py",
)
LEFT_OUT = ("test_sentinel.py",)
"""Files of tests: it stands on what only the tests of celeriac have: a Sentinel."""
PACKAGES = ("celeriac", "devctl")
"""Those that an installed devctl has beside itself: their code is not packed once more."""
_NOT_OURS = (
    "__pycache__",
    "project_files",
    ".pytest_cache",
    ".hypothesis",
    ".mypy_cache",
    ".ruff_cache",
    ".venv",
    ".git",
    ".devctl",
)


def files(root: Path) -> Iterator[Path]:
    """Yield the files of a repository, relative to it; a part that is not there (any more) is left out."""
    for part in (*PARTS, *_services(root)):
        path = root / part
        for found in sorted(path.rglob("*")) if path.is_dir() else [path]:
            inside = found.relative_to(root)
            foreign = any(name in _NOT_OURS or name.endswith(".egg-info") for name in inside.parts)
            if found.is_file() and not foreign and inside.name not in LEFT_OUT:
                yield inside


def _services(root: Path) -> list[str]:
    """Folders with a package of their own: the contracts and the services, whatever they are called here."""
    folders = {path.parent.name for path in root.glob("*/pyproject.toml")}
    return sorted(folders - {part.partition("/")[0] for part in PARTS})
