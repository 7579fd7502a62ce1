"""The two ways to an engine: python-on-whales for what changes containers, the docker client for quick questions.

python-on-whales takes 150 ms to import, and the calls that change something take seconds: there that does not count.
A question takes 30 ms; `ps` and completion ask some, so they do without it.
"""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devctl.stack.compose import problems

if TYPE_CHECKING:
    from python_on_whales import DockerClient

_ANSI = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")  # Compose 2.26 writes \x1b[2K into piped logs, whatever the flags
_PATIENCE_SECONDS = 2.0  # between asking and killing


class Failed(Exception):  # never leaves this folder: it becomes a DevctlError that says more
    """The client's exit code was not 0."""

    def __init__(self, output: str, errors: str) -> None:
        super().__init__(errors)
        self.output = output
        self.errors = errors


class Client:
    """An engine, and one Compose project on it."""

    def __init__(
        self,
        files: Sequence[Path],
        root: Path,
        project: str,
        variables: Mapping[str, str],
        env_files: Sequence[Path] = (),
    ) -> None:
        self._own = self._base = [*files]
        """The files of the checkout, and those that Compose reads instead."""
        self._added: list[Path] = []
        self._env_files = [*env_files]
        self._root, self._project, self._variables = root, project, variables
        # Variables of an isolated stack go before those of the shell, which an --env-file would not.
        self.environment = {**os.environ, **variables}

    @property
    def compose(self) -> tuple[str, ...]:
        """`docker compose` for this project."""
        return self._compose([*self._base, *self._added])

    def _compose(self, files: Iterable[Path]) -> tuple[str, ...]:
        named = [word for file in files for word in ("--file", str(file))]
        named += [word for file in self._env_files for word in ("--env-file", str(file))]
        own = ("--project-name", self._project, "--project-directory", str(self._root))
        return ("docker", "compose", *named, *own)

    def resolved(self) -> dict[str, Any]:
        """Return what Compose makes of the checkout's files, if it can with the services of all profiles; Failed."""
        call, config = self._compose(self._own), ("config", "--format", "json")
        try:
            text = self.call(*call, "--profile", "*", *config)
        except Failed:  # a file that only a service of some profile needs may not be there
            text = self.call(*call, *config)
        return dict(json.loads(text))

    def use(self, file: Path) -> None:
        """Have Compose read this file in place of the checkout's from now on."""
        self._base = [file]

    def add(self, override: Path) -> None:
        """Have Compose read this file, too, from now on."""
        if override not in self._added:
            self._added.append(override)

    @contextmanager
    def changing(self, *, terminal: bool = False, everything: bool = False) -> Iterator[DockerClient]:
        """python-on-whales for this project; Failed with what an engine or Compose says.

        With everything, Compose knows the services of all profiles. It hides what a call prints, so a question of
        Compose's is answered by an empty input; not where the call gets the terminal.
        """
        from python_on_whales import DockerClient, DockerException

        call = ["/usr/bin/env", *(f"{name}={value}" for name, value in self._variables.items()), "docker"]
        whales = DockerClient(
            client_call=call if terminal else ["/bin/sh", "-c", 'exec "$0" "$@" </dev/null', *call],
            compose_env_files=list(self._env_files),
            compose_files=[*self._base, *self._added],
            compose_profiles=["*"] if everything else [],
            compose_project_name=self._project,
            compose_project_directory=self._root,
        )
        try:
            yield whales
        except DockerException as failed:
            raise Failed(failed.stdout or "", failed.stderr or "") from failed

    def call(self, *command: str) -> str:
        """Return what a command prints; Failed with what it says."""
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=self.environment, check=False)
        output, errors = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
        if done.returncode:
            raise Failed(output, errors)
        return output

    def docker(self, *words: str) -> str:
        """Return what `docker …` prints; DevctlError with its reason."""
        try:
            return self.call("docker", *words)
        except Failed as failed:
            raise problems.call(f"docker {words[0]}", failed.errors) from failed

    def file(self, container: str, path: str) -> bytes:
        """Return a file of a container, whether it runs or not; empty where there is none, or no file."""
        command = ("docker", "cp", "--follow-link", f"{container}:{path}", "-")
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=self.environment, check=False)
        try:
            with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
                found = archive.extractfile(archive.next() or "")
                return found.read() if found else b""
        except (tarfile.TarError, KeyError):
            return b""


@contextmanager
def following(
    command: Sequence[str],
    failed: Callable[[int], None] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Iterator[str]]:
    """Run a command and yield its lines, stdout and stderr together; leaving the context ends it and its children.

    python-on-whales' own streams leave `docker compose` running after their reader is gone, hence this one.
    `failed` hears of an exit code other than 0, where the output was read to its end.
    """
    with subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,  # a group of its own: docker and its plugin are ended together
    ) as process:
        try:
            yield _lines(process, failed)
        finally:
            _end(process)


def _lines(process: subprocess.Popen[bytes], failed: Callable[[int], None] | None) -> Iterator[str]:
    assert process.stdout is not None
    try:
        for line in process.stdout:
            yield _ANSI.sub(b"", line).decode(errors="replace").rstrip("\r\n")
    except ValueError:  # the context was left, and its pipe closed, while another thread read here
        return
    code = process.wait()
    if code and failed:
        failed(code)


def _end(process: subprocess.Popen[bytes]) -> None:
    for sent in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            break
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sent)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_SECONDS)
