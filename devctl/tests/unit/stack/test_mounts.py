"""What `devctl watch` mounts into a container, and what it knows of the code that runs there."""

from __future__ import annotations

from pathlib import Path

from devctl.stack.compose.mounts import Ran, mounts, override
from devctl.stack.model import HealthCheck, Service, Watch


def a_service(root: Path, **fields: object) -> Service:
    for name in ("src/worker/main.py", "src/worker.egg-info/PKG-INFO", "src/__pycache__/x.pyc", "src/.hidden"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x = 1\n")
    (root / "lib/orders").mkdir(parents=True)
    (root / "lib/one.py").write_text("")
    (root / "lock").write_text("")
    watch = (
        Watch(root / "src", "rebuild", "/app/"),
        Watch(root / "lib", "rebuild", "/app"),
        Watch(root / "lock", "rebuild"),
        Watch(root / "gone", "rebuild", "/gone"),
    )
    return Service("worker", watch=watch, **fields)  # type: ignore[arg-type]  # what a test wants to say


def test_what_lies_in_a_path_is_mounted_where_its_target_is(tmp_path: Path) -> None:
    assert {
        "/app/worker": tmp_path / "src/worker",
        "/app/one.py": tmp_path / "lib/one.py",
        "/app/orders": tmp_path / "lib/orders",
    } == mounts(a_service(tmp_path))


def test_a_single_file_is_mounted_as_such(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("")
    service = Service("worker", watch=(Watch(tmp_path / "a.py", "sync", "/app/a.py"),))
    assert {"/app/a.py": tmp_path / "a.py"} == mounts(service)


def test_the_override_mounts_read_only_and_marks_the_container(tmp_path: Path) -> None:
    plain, checked = a_service(tmp_path), Service("api", healthcheck=HealthCheck(("CMD", "true")))
    document = override([plain, checked])["services"]

    assert isinstance(document, dict)
    assert {"devctl.live": "true"} == document["worker"]["labels"]
    assert {"type": "bind", "source": str(tmp_path / "lib/one.py"), "target": "/app/one.py", "read_only": True} in (
        document["worker"]["volumes"]
    )
    assert "healthcheck" not in document["worker"]
    assert {"start_interval": "200ms"} == document["api"]["healthcheck"]


def test_code_is_current_until_a_file_changes(tmp_path: Path) -> None:
    service, ran = a_service(tmp_path), Ran(tmp_path / "live.json")
    assert not ran.current(service)

    ran.note(ran.codes([service]))
    ran.note({"other": "x"})
    assert ran.current(service)

    (tmp_path / "src/worker/main.py").write_text("x = 22\n")
    assert not ran.current(service)


def test_a_damaged_note_means_one_restart_more(tmp_path: Path) -> None:
    (tmp_path / "live.json").write_text("{")
    assert not Ran(tmp_path / "live.json").current(a_service(tmp_path))
