"""The docker client, called for one answer at a time.

python-on-whales does this, too, and does it for `down`; importing it takes longer than most of these calls.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from devctl.stack.compose import problems


class Failed(Exception):  # never leaves this folder: it becomes a DevctlError that says more
    """The client's exit code was not 0."""

    def __init__(self, output: str, errors: str) -> None:
        super().__init__(errors)
        self.output = output
        self.errors = errors


class Client:
    """`docker`, and `docker compose` for one project."""

    def __init__(self, file: Path, root: Path, project: str, variables: Mapping[str, str]) -> None:
        own = ["--file", str(file), "--project-name", project, "--project-directory", str(root)]
        self.compose = ("docker", "compose", *own)
        # Variables of an isolated stack go before those of the shell, which an --env-file would not.
        self.environment = {**os.environ, **variables}

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
