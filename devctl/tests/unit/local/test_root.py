"""The files of an image, in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from devctl.errors import DevctlError
from devctl.stack.local import recipe, scripts
from devctl.stack.local.rewrite import Rewrite
from devctl.stack.local.root import Root
from devctl.stack.model import Build, Mount, Service

FILES = {
    "manage.py": "",
    "shop/tasks.py": "",
    "requirements.txt": "",
    ".dockerignore": "secret\n",
    "secret": "",
    "bin/start": "#!/bin/sh\r\nexec /wait-for redis:6379 -- celery -A shop worker\r\n",
    "bin/wait-for": '#!/bin/sh\nshift 2\nexec "$@"\n',
}


def make(folder: Path, text: str, **service: object) -> tuple[Root, recipe.Recipe, Service]:
    context = folder / "checkout"
    for name, content in {**FILES, "Dockerfile": f"FROM python:3.12\n{text}"}.items():
        (context / name).parent.mkdir(parents=True, exist_ok=True)
        (context / name).write_bytes(content.encode())
    one = Service("worker", build=Build(context), **service)  # type: ignore[arg-type]  # fields of Service
    found = recipe.read(one, context)
    assert found is not None
    root = Root(folder / "roots" / "worker", folder / "volumes", folder / "short")
    root.make(found)
    root.mount(one)
    return root, found, one


def files(root: Root) -> set[str]:
    return {str(path.relative_to(root.folder)) for path in root.folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("WORKDIR /app\nCOPY requirements.txt .\n", {"app/requirements.txt"}),
        ("COPY requirements.txt /r.txt\n", {"r.txt"}),
        ("WORKDIR /app\nCOPY shop shop\nCOPY manage.py requirements.txt /x/\n",
         {"app/shop/tasks.py", "x/manage.py", "x/requirements.txt"}),
        ("COPY shop /srv/\n", {"srv/tasks.py"}),
        ("COPY bin/* /usr/local/bin/\n", {"usr/local/bin/start", "usr/local/bin/wait-for"}),
        ("COPY manage.py /a/\nRUN mv /a/manage.py /b.py && mkdir -p /c/d && cp /b.py /c/d && touch /c/e\n",
         {"b.py", "c/d/b.py", "c/e"}),
        ("COPY manage.py /a/\nRUN rm -rf /a /var/lib/apt/lists/* && rm -f /nothing\n", set()),
    ],
)  # fmt: skip
def test_what_is_copied_and_changed_is_there(tmp_path: Path, text: str, expected: set[str]) -> None:
    assert expected == files(make(tmp_path, text)[0])


def test_what_a_builder_is_not_sent_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "checkout" / ".devctl").mkdir(parents=True)
    (tmp_path / "checkout" / ".devctl" / "state").touch()
    found = files(make(tmp_path, "COPY . /app\n")[0])
    assert {"app/manage.py", "app/shop/tasks.py"} <= found
    assert not found & {"app/secret", "app/.devctl/state"}


def test_a_file_that_is_not_there_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DevctlError, match=r"Dockerfile:2: COPY nothing\.txt: .*nothing\.txt is not there"):
        make(tmp_path, "COPY nothing.txt /\n")


def test_nothing_outside_the_folder_is_touched(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("")
    make(tmp_path, f"COPY manage.py /a\nRUN rm -rf {tmp_path}/kept ../../kept && chmod 777 {tmp_path}\n")
    assert (tmp_path / "kept").exists()
    assert 0o777 != tmp_path.stat().st_mode & 0o777


def test_volumes_are_the_checkout_s_folders_and_the_stack_s(tmp_path: Path) -> None:
    code, data = Mount("bind", str(tmp_path / "checkout"), "/app"), Mount("volume", "data", "/data")
    root, found, _ = make(tmp_path, "WORKDIR /app\nCOPY . .\nCOPY requirements.txt /data/\n", mounts=(code, data))
    paths = root.paths(found)
    assert {"/app": f"{tmp_path}/short/app", "/data": f"{tmp_path}/short/data"} == paths
    assert (tmp_path / "checkout").samefile(root.path("/app"))
    assert (tmp_path / "volumes" / "data").samefile(root.path("/data"))
    assert (tmp_path / "volumes" / "data" / "requirements.txt").is_file(), "a new volume begins with the image's files"


def test_paths_of_the_image_are_those_that_were_put_there(tmp_path: Path) -> None:
    root, found, _ = make(
        tmp_path, "WORKDIR /srv\nCOPY shop shop\nCOPY bin/start /usr/local/bin/begin\nCOPY manage.py /tmp/\n"
    )
    assert {"/srv", "/srv/shop", "/usr/local/bin/begin"} == set(root.paths(found))


def test_a_script_is_copied_with_this_machine_s_paths_and_addresses(tmp_path: Path) -> None:
    root, found, service = make(
        tmp_path,
        "COPY bin/start /start\nCOPY bin/wait-for /wait-for\n"
        "RUN sed -i 's/\\r$//g' /start && chmod +x /start\nWORKDIR /app\n",
        entrypoint=("/start",),
    )
    rewrite = Rewrite(
        "worker", {"redis": (6379,), "worker": ()}, lambda *_: 7000, tmp_path / "t", tmp_path, root.paths(found)
    )
    rules = scripts.written(service, found, root, rewrite, tmp_path / "scripts")
    start = Path(rules.arguments(("/start",))[0])
    assert tmp_path / "scripts" / "start" == start
    assert f"#!/bin/sh\nexec {root.short}/wait-for 127.0.0.1:7000 -- celery -A shop worker\n" == start.read_text()
    assert not (tmp_path / "scripts" / "wait-for").exists(), "it says nothing of a container"
