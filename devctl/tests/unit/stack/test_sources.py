"""Which files a service is made of, and when they are other ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from devctl.stack import sources
from devctl.stack.model import Build, Service, Watch


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


def names(folder: Path, *ignored: str) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in sources.files(folder, ignored))


@pytest.mark.parametrize(
    ("rules", "left"),
    [
        ("", ["README.md", "lock", "src/a.py", "src/b/c.py", "tests/a.py"]),
        ("tests", ["README.md", "lock", "src/a.py", "src/b/c.py"]),
        ("/tests/", ["README.md", "lock", "src/a.py", "src/b/c.py"]),
        ("*.py", ["README.md", "lock", "src/a.py", "src/b/c.py", "tests/a.py"]),
        ("**/*.py", ["README.md", "lock"]),
        ("*/a.py", ["README.md", "lock", "src/b/c.py"]),
        ("*\n!lock\n!src", ["lock", "src/a.py", "src/b/c.py"]),
        ("*\n!src\nsrc/b", ["src/a.py"]),
        ("# tests\n\n  README.md  \n", ["lock", "src/a.py", "src/b/c.py", "tests/a.py"]),
        ("src/[a-b]*\ntest?", ["README.md", "lock"]),
        ("src/[!b].py", ["README.md", "lock", "src/b/c.py", "tests/a.py"]),
        ("[", ["README.md", "lock", "src/a.py", "src/b/c.py", "tests/a.py"]),
    ],
)
def test_a_dockerignore_leaves_out_what_docker_leaves_out(tmp_path: Path, rules: str, left: list[str]) -> None:
    write(tmp_path, "README.md", "lock", "src/a.py", "src/b/c.py", "tests/a.py")
    (tmp_path / ".dockerignore").write_text(rules)

    assert [".dockerignore", *left] == names(tmp_path) or left == names(tmp_path)


def test_what_tools_and_editors_leave_is_no_source(tmp_path: Path) -> None:
    write(
        tmp_path, "a.py", ".git/HEAD", "__pycache__/a.pyc", ".venv/bin/python", "a.py~", ".a.py.swp", "4913", "#a.py#"
    )
    (tmp_path / ".#a.py").symlink_to("someone@elsewhere:1")  # the lock of an Emacs: a link that leads nowhere

    assert ["a.py"] == names(tmp_path)
    assert [] == names(tmp_path, "*.py")


def test_what_a_shared_dockerfile_ignores_stands_beside_it_and_goes_first(tmp_path: Path) -> None:
    write(tmp_path, "web/src/a.py", "web/tests/b.py", "web/lock", "common/src/c.py", "common/tests/d.py")
    (tmp_path / "web/.dockerignore").write_text("lock")
    build = Build(tmp_path / "web", "../Dockerfile", {"common": tmp_path / "common"})

    def sent() -> list[str]:
        return sorted(path.name for path in sources.stamps_of_build(build))

    assert [".dockerignore", "a.py", "b.py", "c.py", "d.py"] == sent()
    (tmp_path / "Dockerfile.dockerignore").write_text("*\n!src\n!lock\n")
    assert ["a.py", "c.py", "d.py", "lock"] == sent(), "another context has its own"


def test_the_paths_of_develop_watch_stand_before_the_build(tmp_path: Path) -> None:
    write(tmp_path, "src/a.py", "src/a.txt", "README.md", "common/b.py", "lock")
    build = Build(tmp_path / "src", additional_contexts={"common": tmp_path / "common"})
    watch = (Watch(tmp_path / "src", "sync+restart", ignore=("*.txt",)), Watch(tmp_path / "lock", "rebuild"))

    assert {"a.py", "a.txt", "b.py"} == {path.name for path in sources.stamps(Service("w", build=build))}
    assert {"a.py", "lock"} == {path.name for path in sources.stamps(Service("w", build=build, watch=watch))}
    assert {} == sources.stamps(Service("redis", image="redis:8"))


def test_a_digest_is_another_one_after_every_kind_of_change(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "b.py")
    service = Service("w", build=Build(tmp_path))

    def now() -> str:
        return sources.digest(sources.stamps(service))

    seen = [now()]
    assert [now()] == seen
    (tmp_path / "a.py").write_text("longer")
    seen.append(now())
    (tmp_path / "a.py").chmod(0o755)
    seen.append(now())
    (tmp_path / "b.py").rename(tmp_path / "c.py")
    seen.append(now())
    (tmp_path / "c.py").unlink()
    seen.append(now())
    os.utime(tmp_path / "a.py", ns=(1, 1))
    seen.append(now())
    assert 6 == len(set(seen))
    assert "" == sources.digest({})


def test_a_digest_of_contents_is_another_one_after_a_change_and_not_after_a_new_time(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "b.py")
    (tmp_path / "link").symlink_to("a.py")
    service = Service("w", build=Build(tmp_path))

    def now() -> str:
        return sources.digest_of_contents(sources.stamps(service))

    seen = [now()]
    os.utime(tmp_path / "a.py", ns=(1, 1))
    assert [now()] == seen
    (tmp_path / "a.py").write_text("longer")
    seen.append(now())
    (tmp_path / "a.py").chmod(0o755)
    seen.append(now())
    (tmp_path / "b.py").rename(tmp_path / "c.py")
    seen.append(now())
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("c.py")
    seen.append(now())
    assert 5 == len(set(seen))
    assert "" == sources.digest_of_contents({})
