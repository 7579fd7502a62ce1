"""README, "Make it yours": in a clone, a task, a service, an HTTP API and an endpoint are added, and run; then the
examples are deleted. After each, lint and tests pass, and the demo in the end.

The clone borrows the packages of this checkout's .venv, so that it takes seconds: `make lock` is what it leaves out.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
RECIPE = README.split("## Make it yours", 1)[-1].split("\n## ", 1)[0]
OWN = ("common/tests", "mails/tests", "web/tests")
PROGRAMS = ("pytest", "ruff", "mypy", "lint-imports", "deptry", "devctl")

pytestmark = [pytest.mark.examples, pytest.mark.integration, pytest.mark.timeout(600)]


class Checkout:
    """A folder with an environment whose own packages are the folder's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if (ROOT / ".mypy_cache").exists():
            shutil.copytree(ROOT / ".mypy_cache", folder / ".mypy_cache", ignore=shutil.ignore_patterns("snippets"))

    @classmethod
    def clone(cls, folder: Path) -> Checkout:
        """A copy of the working tree."""
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
        for name in filter(None, names):
            if (ROOT / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        for compiled in {(ROOT / name).parent / "__pycache__" for name in names if name.endswith(".py")}:
            if compiled.exists():  # bytecode knows its source by its time and length: what is edited is compiled anew
                shutil.copytree(compiled, folder / compiled.relative_to(ROOT))
        return cls(folder)

    def borrow(self) -> None:
        """As `make setup` would make it, without installing anything."""
        venv = self.folder / ".venv"
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        (site,) = venv.glob("lib/python*/site-packages")
        sources = sorted(map(str, self.folder.glob("*/src")))
        theirs = str(next(Path(sys.prefix).glob("lib/python*/site-packages")))  # its own .pth files are not read
        (site / "borrowed.pth").write_text("\n".join([*sources, theirs]) + "\n")
        for name in PROGRAMS:
            program = Path(sys.prefix) / "bin" / name
            if program.read_bytes()[:2] != b"#!":
                (venv / "bin" / name).symlink_to(program)
                continue
            text = re.sub(r"^#!.*", f"#!{venv}/bin/python", program.read_text(), count=1)
            (venv / "bin" / name).write_text(text)
            (venv / "bin" / name).chmod(0o755)

    def run(self, *command: str, **variables: str) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("CELERY_", "PYTEST_"))}
        done = subprocess.run(
            command, cwd=self.folder, env=kept | variables, capture_output=True, text=True, check=False, timeout=300
        )
        assert 0 == done.returncode, (
            f"{' '.join(command)}: {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
        )
        return done.stdout

    def edit(self, file: str, changes: Mapping[str, str]) -> None:
        """Pattern -> what takes its place. The README names the file."""
        assert f"`{file}`" in RECIPE, f"the README does not say that {file} is to be changed"
        text = (self.folder / file).read_text()
        for pattern, new in changes.items():
            text, count = re.subn(pattern, new, text, count=1, flags=re.DOTALL | re.MULTILINE)
            assert 1 == count, f"{file} has no {pattern!r}"
        (self.folder / file).write_text(text)

    def devctl(self, *arguments: str) -> Any:
        """Its JSON; on free ports, in local processes."""
        ports = dict.fromkeys(
            re.findall(r"^(\w+_PORT)=", (self.folder / ".env.example").read_text(), re.MULTILINE), "0"
        )
        said = self.run(".venv/bin/devctl", *arguments, "--json", **ports, DEVCTL_RUNTIME="local")
        return json.loads(said)

    def check(self, *tests: str) -> None:
        """What `make lint` does, and the tests that look at the whole tree, and these."""
        self.run("make", "--old-file=setup", "lint")
        files = ("compose_file", "dependencies", "imports", "locks", "settings")
        of_the_tree = [f"tests/test_{name}.py" for name in files]
        self.run(".venv/bin/pytest", "-q", "-p", "no:cacheprovider", *of_the_tree, *tests)


def commands(heading: str) -> list[str]:
    """The lines of a shell in one part of the recipe."""
    part = RECIPE.split(f"### {heading}", 1)[1].split("\n### ", 1)[0]
    lines = "\n".join(re.findall(r"^```sh\n(.*?)^```", part, re.DOTALL | re.MULTILINE)).replace("\\\n", " ")
    return [line.partition("  #")[0].strip() for line in lines.splitlines() if line]


def delete_the_examples(clone: Checkout) -> None:
    for command in commands("Delete the examples"):
        if command.startswith("rm"):
            clone.run("sh", "-c", command)
    clone.edit(
        "docker-compose.yml",
        {
            r"^  service1:\n.*?(?=^  mails:)": "",
            r"^  aliases:\n.*?(?=^  contracts)": "",
            r"^  demo:.*?(?=^x-hardened)": "\n",
            r"^      RETRY_TASKS_PROCESS_ORDER[^\n]*\n": "",
        },
    )
    clone.edit(
        ".env.example",
        {
            r"^SERVICE1_PORT=8001\nSERVICE2_PORT=8002\n": "",
            r"^RETRY_TASKS_PROCESS_ORDER=\nRETRY[^\n]*NOTIFICATION=\n": "",
        },
    )
    clone.edit("monitoring/prometheus.yml", {r"^  - job_name: service1\n.*?(?=^  - job_name: mails)": ""})
    clone.edit(
        "common/src/common_tasks/tasks.py",
        {
            r"^process_order = .*?(?=^health_check)": "",
            r"\(process_order, send_notification, ": "(",
            r"^    (Notification|Order)\w+,\n.*?(?=^    Send)": "",
        },
    )
    clone.edit(
        "common/src/common_tasks/schemas.py",
        {
            r"^from decimal.*?(?=^from celeriac)": "from pydantic import AwareDatetime\n\n",
            r"import Model, (TaskPayload, TaskResult\n).*?(?=^class HealthResult)": r"import \1\n\n",
        },
    )
    clone.edit(
        "worker/src/worker/handlers.py",
        {
            r"^@implements\(process_order\).*?(?=^@implements\(health_check)": "",
            r"import Outcome, implements": "import implements",
            r"schemas import \(.*?\)\n": "schemas import HealthResult\n",
            r"import health_check, [^\n]*": "import health_check",
        },
    )
    clone.edit(
        "worker/src/worker/main.py", {"check_health, handle_order": "check_health", "handle_order, check": "check"}
    )


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A clone with what `devctl new` adds."""
    made = Checkout.clone(tmp_path_factory.mktemp("clone") / "our-shop")
    made.borrow()
    for command in commands("Add a task, a service, an endpoint"):
        if command == "make setup":
            made.borrow()
        else:
            made.run("sh", "-c", f".venv/bin/{command}")
    return made


@pytest.fixture(scope="module")
def own(extended: Checkout) -> Checkout:
    """The same without the examples."""
    delete_the_examples(extended)
    extended.borrow()
    return extended


def test_what_was_added_passes_lint_and_tests(extended: Checkout) -> None:
    extended.check(*OWN)


def test_what_was_added_runs(extended: Checkout) -> None:
    try:
        started = extended.devctl("up", "mails", "web")
        assert ["redis", "mails", "web"] == [one["name"] for one in started["services"]]
        (task,) = extended.devctl("send-task", "send_mail", "--wait")["tasks"]
        assert ("succeeded", "text") == (task["state"], *task["result"])
    finally:
        extended.devctl("down", "--volumes")


def test_without_the_examples_nothing_is_left_that_names_them(own: Checkout) -> None:
    own.check(*OWN, "worker/tests/test_handlers.py", "devctl/tests/unit/contracts")
    collected = own.run(".venv/bin/pytest", "--collect-only", "-q", "-p", "no:cacheprovider").splitlines()[-1]
    assert "error" not in collected


def test_the_demo_without_the_examples_sends_the_own_task(own: Checkout) -> None:
    told = own.devctl("demo")
    assert [("mails", "tasks.send_mail", "succeeded")] == [
        (one["service"], one["task"], one["state"]) for one in told["journey"]
    ]
    assert {"redis", "worker", "mails", "web"} == {*told["start"]["services"]}


def test_a_new_project_is_green_and_takes_a_task_as_a_clone_does(tmp_path: Path) -> None:
    subprocess.run([Path(sys.prefix) / "bin" / "devctl", "new", "project", tmp_path / "shop"], check=True)
    made = Checkout(tmp_path / "shop")
    made.borrow()
    made.devctl("new", "task", "refund", "--queue", "orders", "--in", "worker")
    collected = made.run(".venv/bin/pytest", "--collect-only", "-q", "-p", "no:cacheprovider").splitlines()[-1]
    assert "error" not in collected
    made.check("common/tests", "worker/tests/test_refund.py", "worker/tests/test_orders.py")
