"""What an environment is made from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devctl.stack.local import environment, recipe
from devctl.stack.local.recipe import Install
from devctl.stack.local.root import Root
from devctl.stack.model import Build, Service


@pytest.mark.parametrize(
    ("poetry", "expected"),
    [
        ("*", ""),
        ("5.3.1", "==5.3.1"),
        ("^5.3.1", ">=5.3.1,<6"),
        ("^0.115.0", ">=0.115.0,<0.116"),
        ("^0.0.3", ">=0.0.3,<0.0.4"),
        ("^2", ">=2,<3"),
        ("~1.2.3", ">=1.2.3,<1.3"),
        ("~2", ">=2,<3"),
        ("~=1.4", "~=1.4"),
        (">=1,<2", ">=1,<2"),
        ("5.2.*", "==5.2.*"),
    ],
)
def test_a_version_as_poetry_writes_it(poetry: str, expected: str) -> None:
    assert expected == environment.versions(poetry)


def calls(folder: Path, tool: str, *words: str) -> tuple[list[str], str]:
    """Return the call of uv, and the list that it reads."""
    (folder / "env").mkdir(exist_ok=True)
    step = Install("Dockerfile:3", "", tool, words, "/app")
    found = list(environment._installs("uv", step, Root(folder / "root", folder / "volumes", folder), folder / "env"))
    (folder / "env" / "requirements.txt").touch()
    return found[0], (folder / "env" / "requirements.txt").read_text()


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "root" / "app"
    folder.mkdir(parents=True)
    return folder


def test_poetry_s_project_and_the_versions_of_its_lock(tmp_path: Path, app: Path) -> None:
    (app / "pyproject.toml").write_text("""\
[tool.poetry.dependencies]
python = "^3.11"
celery = {extras = ["redis"], version = "^5.3"}
flower = "*"
mine = {path = "../mine"}
colorama = {version = "^0.4", markers = "sys_platform == 'win32'"}
[tool.poetry.group.dev.dependencies]
pytest = "^8"
[tool.poetry.group.docs]
optional = true
[tool.poetry.group.docs.dependencies]
sphinx = "*"
""")
    (app / "poetry.lock").write_text(
        '[[package]]\nname = "celery"\nversion = "5.3.6"\n[[package]]\nname = "flower"\nversion = "2.0.1"\n'
    )
    call, wanted = calls(tmp_path, "poetry")
    main = ["celery[redis]>=5.3,<6", "flower", "colorama>=0.4,<0.5 ; sys_platform == 'win32'"]
    assert [*main, "pytest>=8,<9"] == wanted.splitlines()
    assert "celery==5.3.6\nflower==2.0.1\n" == (tmp_path / "env" / "constraints.txt").read_text()
    assert ["-c", str(tmp_path / "env" / "constraints.txt")] == call[-2:]
    assert main == calls(tmp_path, "poetry", "--without", "dev")[1].splitlines()
    assert main == calls(tmp_path, "poetry", "--only=main")[1].splitlines()
    assert [*main, "pytest>=8,<9", "sphinx"] == calls(tmp_path, "poetry", "--with", "docs")[1].splitlines()


def test_pipenv_s_lock(tmp_path: Path, app: Path) -> None:
    lock = {
        "default": {"celery": {"version": "==5.3.6", "extras": ["redis"], "markers": "python_version >= '3.8'"}},
        "develop": {"pytest": {"version": "==8.0"}},
    }
    (app / "Pipfile.lock").write_text(json.dumps(lock))
    line = "celery[redis]==5.3.6 ; python_version >= '3.8'"
    assert [line] == calls(tmp_path, "pipenv", "--system", "--deploy")[1].splitlines()
    assert [line, "pytest==8.0"] == calls(tmp_path, "pipenv", "--dev")[1].splitlines()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("-r", "/requirements.txt"), ["-r", "ROOT/requirements.txt"]),
        (("-r/requirements.txt",), ["-rROOT/requirements.txt"]),
        (("--requirement=/a.txt",), ["--requirement=ROOT/a.txt"]),
        (("-r", "a.txt"), ["-r", "a.txt"]),
        (("-r", "./a.txt"), ["-r", "./a.txt"]),
        ((".",), ["-e", "."]),
        (("-e", "."), ["-e", "."]),
        (("./lib[extra]", "celery"), ["-e", "./lib[extra]", "celery"]),
        (("/wheels/a.whl",), ["ROOT/wheels/a.whl"]),
    ],
)
def test_pip_s_words_with_the_paths_of_this_machine(
    tmp_path: Path, app: Path, words: tuple[str, ...], expected: list[str]
) -> None:
    call, _ = calls(tmp_path, "pip", *words)
    assert [word.replace("ROOT", str(tmp_path / "root")) for word in expected] == call[3:]


def name(folder: Path, text: str, stack: str = "main") -> str:
    (folder / "Dockerfile").write_text(text)
    found = recipe.read(Service("a", build=Build(folder)), folder)
    assert found is not None
    return environment.of(found, folder / ".devctl", Root(folder / stack, folder, folder)).folder.name


def test_services_that_install_the_same_share_it_and_a_change_makes_another(tmp_path: Path) -> None:
    text = "FROM python:3.12\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\n"
    (tmp_path / "requirements.txt").write_text("celery\n")
    (tmp_path / "tasks.py").write_text("")
    first = name(tmp_path, text)
    (tmp_path / "tasks.py").write_text("changed")
    assert first == name(tmp_path, text + "CMD celery\n", "other")
    assert first != name(tmp_path, text.replace("3.12", "3.11"))
    assert first != name(tmp_path, text.replace("RUN pip", "RUN pip install redis && pip"))
    (tmp_path / "requirements.txt").write_text("celery==5.5.3\n")
    assert first != name(tmp_path, text)


@pytest.mark.parametrize(
    ("run", "alone"),
    [
        ("pip install -e .", True),
        ("uv sync", True),
        ("poetry install", True),
        ("uv sync --no-install-project", False),
        ("poetry install --no-root", False),
        ("pip install celery", False),
    ],
)
def test_a_project_that_is_installed_itself_is_its_service_s_alone(tmp_path: Path, run: str, alone: bool) -> None:
    text = f"FROM python:3.12\nWORKDIR /app\nCOPY . .\nRUN {run}\n"
    assert alone is (name(tmp_path, text, "one") != name(tmp_path, text, "two"))
