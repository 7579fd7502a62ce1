"""tools/runner_cost.py stands in for parts of a worker: a change of these must not break it unseen."""

import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[1] / "tools/runner_cost.py"


@pytest.mark.parametrize("kind", ["noop", "add", "number", "order"])
def test_messages_of_each_kind_go_through_a_runner(kind: str) -> None:
    command = [sys.executable, str(TOOL), "timed", kind, "as it is", "20"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 0 == said.returncode, said.stderr
    assert float(said.stdout) > 0
