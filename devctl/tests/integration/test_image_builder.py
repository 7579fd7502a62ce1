"""What the builder makes of a Dockerfile, beside what devctl reads in it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from devctl.stack.dockerfile import of

pytestmark = pytest.mark.containers

STAGES = r"""
ARG NAME=tasks
ARG LATER
FROM scratch AS form
ENV A=1 B="x y" C=a\ b D='$A' E=$A
ENV F=$A${B:+set}${Z:-unset} G="\$A \"q\" \x" H=${B%y}
ENV OLD  the  rest 'of' "it" $A
CMD ["one"]
ENTRYPOINT ["/start"]
FROM scratch AS shell
SHELL ["/bin/bash", "-lc"]
CMD celery \
  # in between
  -A $X worker
FROM form AS below
ENTRYPOINT run it
FROM form AS again
ENTRYPOINT ["/other"]
CMD ["two"]
FROM form AS kept
USER ${A}:${Z:-7}
WORKDIR relative
WORKDIR ../next/$A
FROM scratch AS arguments
ARG NAME
ARG LATER=own GIVEN=default
ENV NAME_IS=$NAME LATER_IS=$LATER GIVEN_IS=${GIVEN}
WORKDIR "/quoted path"
CMD []
FROM scratch AS broken
CMD exec a
ENTRYPOINT ['single']
"""


@pytest.mark.parametrize("target", ["form", "shell", "below", "again", "kept", "arguments", "broken"])
def test_devctl_reads_what_the_builder_makes(tmp_path: Path, target: str) -> None:
    (tmp_path / "Dockerfile").write_text(STAGES, encoding="utf-8")
    arguments = {"GIVEN": "from the build"}
    tag = f"devctl-test-dockerfile-{target}"
    command = [
        "docker",
        "build",
        "-q",
        "-t",
        tag,
        "--target",
        target,
        "--build-arg",
        "GIVEN=from the build",
        str(tmp_path),
    ]
    subprocess.run(command, check=True, capture_output=True)
    try:
        seen = subprocess.run(["docker", "image", "inspect", tag], check=True, capture_output=True, text=True).stdout
    finally:
        subprocess.run(["docker", "image", "rm", tag], check=True, capture_output=True)
    made = json.loads(seen)[0]["Config"]
    found = of(STAGES, tmp_path / "Dockerfile", arguments, target)
    assert found is not None
    environment = dict(one.split("=", 1) for one in made["Env"])
    environment.pop("PATH")
    assert environment == found.environment
    assert (made["Entrypoint"] or []) == [*found.entrypoint]
    assert (made["Cmd"] or []) == [*found.command]
    assert (made["WorkingDir"] or "/") == (found.folder or "/")
    assert made["User"] == found.user
