"""devctl works in any repository: no name of this one's services, queues, tasks or packages stands in its sources."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "devctl/src/devctl"
OURS = ("celeriac", "devctl")
"""What devctl is made of and brings along: it may be named."""
EVERYBODYS = {"worker", "redis", "default", "health_check", "common", "orders", "notifications"}
"""Names that are words, too: they are looked for where only a name can stand."""

pytestmark = pytest.mark.examples


def names() -> set[str]:
    """The names of this repository: from its Compose file, its packages, and its contracts."""
    from common_tasks.tasks import CONTRACTS

    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    ours = {name for name, one in compose["services"].items() if "profiles" not in one}  # with one: Flower and the like
    found = {*ours, *compose["x-devctl"].get("aliases", {}), compose["x-devctl"]["contracts"]}
    found |= {path.parent.name for path in ROOT.glob("*/pyproject.toml")}
    found |= {path.parent.name for path in ROOT.glob("*/src/*/__init__.py")}
    for one in CONTRACTS:
        found |= {one.name, one.name.rpartition(".")[2], one.queue}
    return found - {*OURS}


def sources() -> list[Path]:
    return [path for path in sorted(SOURCES.rglob("*.py")) if "project_files" not in path.parts]


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """The strings and the comments of a file, with their lines."""
    text = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def hits(files: Iterable[Path], pattern: re.Pattern[str]) -> list[str]:
    """`stack/file.py:12: service1`"""
    return [
        f"{path.relative_to(SOURCES)}:{line}: {hit[0]}"
        for path in files
        for line, text in texts(path)
        if (hit := pattern.search(text))
    ]


def test_no_name_of_this_repository_stands_in_devctl() -> None:
    known = names() - EVERYBODYS
    assert {"common_tasks", "service1", "example-service-2", "tasks.process_order", "send_notification"} <= known
    pattern = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, sorted(known)))})(?![\w-])", re.IGNORECASE)
    found = [
        f"{p.relative_to(ROOT)}:{line}: {hit[1]}"
        for p in sources()
        for line, t in texts(p)
        if (hit := pattern.search(t))
    ]
    assert [] == found


def test_no_queue_or_service_of_this_repository_is_a_value_or_an_example_in_devctl() -> None:
    known = (names() & EVERYBODYS) - {"redis", "worker", "default"}  # those are Compose's, Celery's and everybody's
    name = "|".join(map(re.escape, sorted(known)))
    value = re.compile(rf"^({name})$|^({name})/|(?:--queue|--task|--in|devctl [a-z-]+)[ =]({name})\b")
    assert [] == hits(sources(), value)


def test_the_help_texts_name_nobody_of_this_repository() -> None:
    known = names() - {"worker", "redis", "default", "common"}
    pattern = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, sorted(known)))})(?![\w-])")
    files = [*(SOURCES / "cli").glob("*.py"), SOURCES / "chaos/command.py"]
    assert [] == hits(files, pattern)
