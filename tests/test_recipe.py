"""README, "Make it yours": in a clone, the examples are deleted and a service of one's own is added, as it says there;
then lint, tests and demo pass.

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

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
RECIPE = README.split("## Make it yours", 1)[-1].split("\n## ", 1)[0]
PROGRAMS = ("pytest", "ruff", "mypy", "lint-imports", "deptry", "devctl")

pytestmark = [pytest.mark.examples, pytest.mark.integration, pytest.mark.timeout(600)]


class Clone:
    """A copy of the working tree, with an environment whose own packages are the copy's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
        for name in filter(None, names):
            if (ROOT / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        for compiled in {(ROOT / name).parent / "__pycache__" for name in names if name.endswith(".py")}:
            if compiled.exists():  # bytecode knows its source by its time and length: what is edited is compiled anew
                shutil.copytree(compiled, folder / compiled.relative_to(ROOT))
        if (ROOT / ".mypy_cache").exists():
            shutil.copytree(ROOT / ".mypy_cache", folder / ".mypy_cache", ignore=shutil.ignore_patterns("snippets"))

    def borrow(self) -> None:
        """As `make setup` would make it, without installing anything."""
        venv = self.folder / ".venv"
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


def commands(heading: str) -> list[str]:
    """The lines of a shell in one part of the recipe."""
    part = RECIPE.split(f"### {heading}", 1)[1].split("\n### ", 1)[0]
    lines = "\n".join(re.findall(r"^```sh\n(.*?)^```", part, re.DOTALL | re.MULTILINE)).replace("\\\n", " ")
    return [line.partition("  #")[0].strip() for line in lines.splitlines() if line]


def python(name: str) -> str:
    """The code that the recipe shows for this file."""
    (found,) = re.findall(rf"^`{re.escape(name)}`[^\n]*\n```python\n(.*?)^```", RECIPE, re.DOTALL | re.MULTILINE)
    return str(found)


def delete_the_examples(clone: Clone) -> None:
    for command in commands("Delete the examples"):
        if command.startswith("rm"):
            clone.run("sh", "-c", command)
    clone.edit(
        "docker-compose.yml",
        {
            r"^  service1:\n.*?(?=^volumes:)": "",
            r"^  aliases:\n.*?(?=^  contracts)": "",
            r"^  demo:.*?(?=^x-hardened)": "\n",
            r"^      RETRY_TASKS_PROCESS_ORDER[^\n]*\n": "",
        },
    )
    clone.edit(
        ".env.example", {r"^SERVICE1_PORT=8001\nSERVICE2_PORT=8002\n": "", r"^# How a failed.*?NOTIFICATION=\n\n": ""}
    )
    clone.edit(
        "common/src/common_tasks/tasks.py",
        {
            r"^process_order = .*?(?=^health_check)": "",
            r"\(process_order, send_notification, health_check\)": "(health_check,)",
            r"import HealthResult, [^\n]*": "import HealthResult",
            r"import Contract, RetryPolicy": "import Contract",
        },
    )
    clone.edit(
        "common/src/common_tasks/schemas.py",
        {
            r"^from decimal.*?(?=^from celeriac)": "from pydantic import AwareDatetime\n\n",
            r"import Model, TaskPayload, TaskResult\n.*?(?=^class HealthResult)": "import TaskResult\n\n\n",
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


def add_a_service(clone: Clone) -> None:
    clone.edit(
        "common/src/common_tasks/schemas.py",
        {
            r"^from celeriac import TaskResult\n": "from celeriac import TaskPayload, TaskResult\n",
            r"\Z": "\n\n" + python("common/src/common_tasks/schemas.py"),
        },
    )
    clone.edit(
        "common/src/common_tasks/tasks.py",
        {
            r"^from celeriac import Contract\n": "from celeriac import Contract, RetryPolicy\n",
            r"import HealthResult\n": "import HealthResult, Mail, Mailed\n",
            r"^health_check:": python("common/src/common_tasks/tasks.py") + "health_check:",
            r"\(health_check,\)": "(send_mail, health_check)",
        },
    )
    for command in commands("Add a service"):
        if command.startswith(("cp", "mv", "rm", "perl", ".venv/bin/python")):
            clone.run("sh", "-c", command)
    (clone.folder / "mails/src/mails/handlers.py").write_text(python("mails/src/mails/handlers.py"))
    clone.edit("mails/src/mails/main.py", {"check_health": "handle_mail", r"\[check_health\]": "[handle_mail]"})
    (clone.folder / "mails/tests").mkdir()
    (clone.folder / "mails/tests/test_handlers.py").write_text(python("mails/tests/test_handlers.py"))
    compose = (clone.folder / "docker-compose.yml").read_text()
    (block,) = re.findall(r"^  worker:\n.*?(?=^volumes:)", compose, re.DOTALL | re.MULTILINE)
    retries = "      WORKER_MOUNT: ${WORKER_MOUNT:-}"
    block = block.replace(retries, f"      RETRY_TASKS_SEND_MAIL: ${{RETRY_TASKS_SEND_MAIL:-}}\n{retries}")
    clone.edit("docker-compose.yml", {r"^volumes:": block.replace("worker", "mails") + "volumes:"})
    clone.edit(".env.example", {r"^LOG_LEVEL": "RETRY_TASKS_SEND_MAIL=\nLOG_LEVEL"})


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    made = Clone(tmp_path_factory.mktemp("clone") / "our-shop")
    delete_the_examples(made)
    made.borrow()
    return made


@pytest.fixture(scope="module")
def with_a_service(clone: Clone) -> Clone:
    add_a_service(clone)
    shutil.rmtree(clone.folder / ".venv")
    clone.borrow()
    return clone


def test_a_test_of_nothing_that_was_deleted_is_left(clone: Clone) -> None:
    assert (
        "error" not in clone.run(".venv/bin/pytest", "--collect-only", "-q", "-p", "no:cacheprovider").splitlines()[-1]
    )


def test_lint_passes(with_a_service: Clone) -> None:
    with_a_service.run("make", "--old-file=setup", "lint")


def test_what_looks_at_the_tree_and_the_own_service_pass(with_a_service: Clone) -> None:
    files = ["test_compose_file", "test_dependencies", "test_imports", "test_locks", "test_settings"]
    tests = [*(f"tests/{name}.py" for name in files), "common/tests", "mails/tests", "worker/tests/test_handlers.py"]
    with_a_service.run(".venv/bin/pytest", "-q", "-p", "no:cacheprovider", *tests, "devctl/tests/unit/contracts")


def test_the_demo_runs_the_own_task(with_a_service: Clone) -> None:
    told = json.loads(with_a_service.run(".venv/bin/devctl", "demo", "--runtime", "local", "--json", REDIS_PORT="0"))
    assert [("mails", "tasks.send_mail", "succeeded")] == [
        (one["service"], one["task"], one["state"]) for one in told["journey"]
    ]
    assert ["redis", "worker", "mails"] == told["start"]["services"]
