"""Every way to fail is one document with --json, of the shape that docs/json shows, and ends with its exit code."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import jsonschema
import pytest

from devctl import errors
from devctl.__main__ import main
from devctl.cli import app as cli
from devctl.ui.errors import show

SCHEMA = json.loads((Path(__file__).parents[3] / "docs/json/error.schema.json").read_text(encoding="utf-8"))


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, object]]:
    code = main([*arguments, "--json"])
    (line,) = capsys.readouterr().out.splitlines()
    document: dict[str, object] = json.loads(line)
    jsonschema.validate(document, SCHEMA)
    assert code == document["exit_code"]
    return code, document


@pytest.mark.parametrize(
    "arguments",
    [("up", "--no-such-option"), ("no-such-command",), ("up", "no-such-service"), ("ps", "--runtime", "moon")],
    ids=" ".join,
)
def test_a_wrong_command_line_is_2(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    code, _ = failure(capsys, *arguments)
    assert errors.USAGE == code


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("--runtime", "local", "up", "worker"), "options come after the command: devctl up worker --runtime local"),
        (("--stack=up", "--json", "ps"), "options come after the command: devctl ps --stack=up --json"),
        (("--stack", "up"), "devctl --help"),
        (("--nonsense", "up"), "devctl --help"),
        (("up", "--nonsense"), "devctl up --help"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_option_before_the_command_is_shown_at_its_place(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], hint: str
) -> None:
    assert errors.USAGE == main(arguments)
    out, err = capsys.readouterr()
    assert hint in (json.loads(out)["hint"] if out else err.splitlines()[1])


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (errors.DevctlError("it is off", hint="turn it on"), 1),
        (errors.WaitTimeout("it is late"), 3),
        (errors.ServiceCrashed("it fell", details=["why"]), 4),
        (errors.Interrupted("stopped"), 130),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("ours"), 70),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_failure_has_its_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, raised: BaseException, expected: int
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr("devctl.settings.load", fail)
    code, _ = failure(capsys, "ps")
    assert expected == code


def test_a_terminal_breaks_no_word_of_a_problem_and_no_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = errors.DevctlError(
        "the worker crashed after a while, and nobody knows why",
        details=["│     WORKER_CONCURRENCY is wrong, it should be a number", "short"],
        hint="devctl up worker --stack with-a-long-name --timeout 120",
    )
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((44, 24)))
    for terminal in (True, False):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal)
        show(problem, as_json=False)
    assert [
        "✘ the worker crashed after a while, and",
        "  nobody knows why",
        "  │     WORKER_CONCURRENCY is wrong, it",
        "  │ should be a number",
        "  short",
        "→ devctl up worker --stack with-a-long-name --timeout 120",
        "✘ the worker crashed after a while, and nobody knows why",
        "  │     WORKER_CONCURRENCY is wrong, it should be a number",
        "  short",
        "→ devctl up worker --stack with-a-long-name --timeout 120",
    ] == capsys.readouterr().err.splitlines()


def test_a_command_is_a_file_of_its_own_and_is_listed() -> None:
    named = {command.__module__.rpartition(".")[2] for command in cli.COMMANDS}
    named |= {str(group.info.name).replace("-", "_") for group in cli.GROUPS}
    shared = {"__init__", "app", "options", "completion", "plugins", "watched"}
    files = {file.stem for file in Path(cli.__file__).parent.glob("*.py")}
    assert files - shared == named
