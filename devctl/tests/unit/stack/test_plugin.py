"""Compose's plugin as the reader: asked where it is, once for the same files, and what it refuses in devctl's words."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from devctl import settings
from devctl.errors import DevctlError
from devctl.stack import file, plugin
from devctl.stack.model import Stack

ANSWER = {"name": "shop", "services": {"b": {"image": "from-compose", "environment": {"A": "pa$$word"}}}}
COMPOSE = "services:\n  a: {image: 'here-$TAG', env_file: a.env}\n"


class Docker:
    """A folder with a checkout, and a docker client whose Compose plugin answers what a test says."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root / "shop", root / "docker"
        self.root.mkdir()
        (self.folder / "cli-plugins").mkdir(parents=True)
        self._script(self.folder / "docker", "exit 1")
        self.says(ANSWER)
        (self.root / "compose.yaml").write_text(COMPOSE)
        (self.root / "a.env").write_text("A=1\n")
        (self.root / ".devctl").mkdir()

    def says(self, answer: object, *, first: str = "") -> None:
        (self.folder / "answer").write_text(json.dumps(answer))
        self._plugin(f'{first}\necho \'time="…" level=warning msg="obsolete"\' >&2\ncat {self.folder}/answer')

    def refuses(self, words: str) -> None:
        self._plugin(f'echo "{words}" >&2\nexit 15')

    def _plugin(self, script: str) -> None:
        self._script(self.folder / "cli-plugins" / "docker-compose", f'echo "$@" >> {self.folder}/calls\n{script}')

    @staticmethod
    def _script(path: Path, text: str) -> None:
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        calls = self.folder / "calls"
        return calls.read_text().splitlines() if calls.exists() else []

    def read(self, environ: Mapping[str, str] | None = None) -> Stack:
        """Read the stack as another command would, which remembers nothing."""
        plugin._answers.clear()
        return self.read_again(environ)

    def read_again(self, environ: Mapping[str, str] | None = None) -> Stack:
        path = f"{self.folder}:/usr/bin:/bin"
        given = {"PATH": path, "DOCKER_CONFIG": str(self.folder), **(environ or {})}
        return file.read(settings.load(start=self.root, environ=given))


@pytest.fixture
def docker(tmp_path: Path) -> Docker:
    return Docker(tmp_path)


def test_what_compose_says_counts_and_its_warnings_do_not_disturb(docker: Docker) -> None:
    b = docker.read().services["b"]
    assert ("from-compose", {"A": "pa$word"}) == (b.image, b.environment)


def test_compose_is_asked_for_the_files_the_name_and_the_folder_that_devctl_starts(docker: Docker) -> None:
    (docker.root / "compose.override.yml").write_text("services: {}\n")
    docker.read()
    (call,) = docker.calls
    files = f"--file {docker.root}/compose.yaml --file {docker.root}/compose.override.yml"
    whole = f"{files} --project-name shop --project-directory {docker.root} --profile * config --format json"
    assert whole == call


def test_compose_is_asked_once_for_the_same_files(docker: Docker) -> None:
    assert docker.read() == docker.read({"UNRELATED": "1"})
    assert 1 == len(docker.calls)


@pytest.mark.parametrize("change", ["compose.yaml", "a.env", "compose.override.yml", ".env", "TAG", "COMPOSE_PROFILES"])
def test_compose_is_asked_again_after_each_change(change: str, docker: Docker) -> None:
    docker.read()
    if change.isupper():
        docker.read({change: "other"})
    else:
        before = (docker.root / change).read_text() if (docker.root / change).exists() else ""
        (docker.root / change).write_text(
            before + ("# more\n" if before else "services: {}\n" if "c" in change else "TAG=1\n")
        )
        docker.read()
    assert 2 == len(docker.calls)


def test_a_question_alone_leaves_no_trace_and_one_command_asks_once(docker: Docker) -> None:
    (docker.root / ".devctl").rmdir()
    docker.read()
    docker.read_again()
    assert 1 == len(docker.calls)
    assert not (docker.root / ".devctl").exists()


def test_what_is_kept_is_for_its_owner_alone(docker: Docker) -> None:
    docker.read()
    kept = docker.root / ".devctl" / "stacks" / "main" / "compose.json"
    assert 0o600 == stat.S_IMODE(kept.stat().st_mode)
    kept.write_text("{")
    assert "from-compose" == docker.read().services["b"].image


def test_what_compose_refuses_for_an_env_file_is_read_by_devctl_and_the_file_is_named(docker: Docker) -> None:
    (docker.root / "a.env").unlink()
    docker.refuses("env file /x/a.env not found: stat /x/a.env: no such file or directory")
    assert (docker.root / "a.env",) == docker.read().services["a"].missing_env_files


@pytest.mark.parametrize(
    ("words", "problem", "hint"),
    [
        ("env file /x/.env not found: stat …", "/x/.env is not there, and a service reads", "mkdir -p /x"),
        ("required variable KEY is missing a value: say it", "KEY is not set: say it", "KEY=… in .env"),
        (
            "validating x: services.a Additional property imag is not allowed",
            "compose.yaml:2: services.a: Compose knows no key 'imag' here: did you mean image?",
            "change it in compose.yaml",
        ),
        ("services.a.x must be a string", "Docker Compose refuses compose.yaml: services.a.x must", "compose config"),
    ],
)
def test_what_compose_alone_refuses_is_told_in_its_words(words: str, problem: str, hint: str, docker: Docker) -> None:
    docker.refuses(words)
    with pytest.raises(DevctlError) as caught:
        docker.read()
    assert problem in caught.value.problem
    assert hint in caught.value.hint


def test_where_a_service_of_some_profile_cannot_be_read_the_others_can(docker: Docker) -> None:
    docker.says(ANSWER, first='case "$*" in *--profile*) echo "env file /x/prod.env not found" >&2; exit 14;; esac')
    assert ["b"] == list(docker.read().services)


def test_without_the_plugin_devctl_reads_the_files_itself(docker: Docker) -> None:
    docker.refuses("docker: 'compose' is not a docker command.")
    assert "here-1" == docker.read({"TAG": "1"}).services["a"].image
    assert "here-1" == docker.read({"TAG": "1", "PATH": "/nowhere"}).services["a"].image


def test_the_services_stand_in_the_order_of_the_file(docker: Docker) -> None:
    docker.says({"name": "shop", "services": {name: {"image": "x"} for name in ("a", "b", "c")}})
    (docker.root / "compose.yaml").write_text("services: {c: {image: x}, a: {image: x}, b: {image: x}}\n")
    assert ["c", "a", "b"] == list(docker.read().services)
