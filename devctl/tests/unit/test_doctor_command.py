from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from devctl.__main__ import main
from devctl.cli import options
from devctl.discovery.model import Found
from devctl.doctor import checks as registered
from devctl.doctor.check import Check
from devctl.doctor.facts import Facts
from devctl.errors import DevctlError
from devctl.settings import Settings
from devctl.ui import console, doctor
from devctl.workbench import Workbench

SCHEMA = json.loads((Path(__file__).parents[3] / "docs/json/doctor.schema.json").read_text())
OK = Check("engine", "ok", "Docker 26.1, Compose 2.26")
WARNING = Check(
    "redis", "warning", "eviction policy allkeys-lru: queued tasks can vanish", "set maxmemory-policy noeviction"
)
PROBLEM = Check(
    "port 8001", "problem", "held by python (pid 4121): service1 cannot start", "SERVICE1_PORT=8011 devctl up"
)
SETTINGS = Settings(Path("/nowhere"), Path("/nowhere/docker-compose.yml"), "auto", "", {})
SKIPPED = Check("broker", "skipped", "not started", "devctl up")


class Unread:
    """A workbench over a Compose file that does not read."""

    settings = SETTINGS

    @property
    def found(self) -> Found:
        raise DevctlError("docker-compose.yml:1: not YAML")


def finds(monkeypatch: pytest.MonkeyPatch, *findings: Check) -> None:
    def check(_: Facts) -> Iterator[Check]:
        yield from findings

    monkeypatch.setattr(registered, "CHECKS", (check,))
    monkeypatch.setattr(options, "open_workbench", lambda *_, **__: Unread())
    console.out.cache_clear()


def test_warnings_are_no_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    finds(monkeypatch, OK, WARNING, SKIPPED)
    assert 0 == main(["doctor"])
    assert [
        "! redis   eviction policy allkeys-lru: queued tasks can vanish",
        "          → set maxmemory-policy noeviction",
        "– broker  not started",
        "          → devctl up",
        "✔ in order: engine",
        "1 ok · 1 warning · 1 not checked",
    ] == capsys.readouterr().out.splitlines()


def test_the_worst_comes_first_in_its_subject_and_all_shows_what_is_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def celery(_: Facts) -> Iterator[Check]:
        yield Check("prefetch", "warning", "several", "= 1", "app.py:3")
        yield Check("acks-early", "problem", "lost", "= True", "app.py:3")

    def machine(_: Facts) -> Iterator[Check]:
        yield OK

    finds(monkeypatch)
    monkeypatch.setattr(registered, "CHECKS", (celery, machine))
    monkeypatch.setattr(registered, "SUBJECTS", {"Celery": (celery,), "Machine": (machine,)})
    assert 1 == main(["doctor", "--all"])
    assert [
        "Celery",
        "✘ acks-early  lost",
        "              app.py:3",
        "              → = True",
        "! prefetch    several",
        "              app.py:3",
        "              → = 1",
        "Machine",
        "✔ engine  Docker 26.1, Compose 2.26",
        "1 ok · 1 warning · 1 problem",
    ] == capsys.readouterr().out.splitlines()


def test_of_one_kind_three_are_shown_and_the_way_out_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finds(monkeypatch, *(Check("long-wait", "problem", f"task {n} waits", "less", f"a.py:{n}") for n in range(5)))
    assert 1 == main(["doctor"])
    out = capsys.readouterr().out
    assert (3, 1, 1) == (out.count("waits"), out.count("→ less"), out.count("and 2 more of these: devctl doctor --all"))
    assert 1 == main(["doctor", "--all"])
    assert 5 == capsys.readouterr().out.count("waits")


def test_a_problem_is_exit_code_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    finds(monkeypatch, OK, PROBLEM, replace(PROBLEM, message="held by another"))
    assert 1 == main(["doctor"])
    assert "1 ok · 2 problems" == capsys.readouterr().out.splitlines()[-1]


def test_the_same_of_several_places_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finds(monkeypatch, *(Check("request-timeout", "warning", "no timeout", "timeout=10", f"a.py:{n}") for n in (3, 9)))
    assert 0 == main(["doctor"])
    assert [
        "! request-timeout  no timeout",
        "                   a.py:3, a.py:9",
        "                   → timeout=10",
        "2 warnings",
    ] == capsys.readouterr().out.splitlines()


def test_json_fits_its_schema_and_says_whether_all_is_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for findings, code in (((OK, WARNING, SKIPPED), 0), ((OK, PROBLEM), 1)):
        finds(monkeypatch, *findings)
        assert code == main(["doctor", "--json"])
        document = json.loads(capsys.readouterr().out)
        jsonschema.validate(document, SCHEMA)
        assert (code == 0) == document["healthy"]
        assert [one.name for one in findings] == [one["name"] for one in document["checks"]]


def test_a_terminal_of_80_columns_is_never_overflown(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    console.out.cache_clear()
    long = Check("compose file", "warning", "words " * 40, "fix " * 40)
    doctor.show([replace(PROBLEM, status="warning"), long])
    console.out.cache_clear()
    lines = terminal.getvalue().splitlines()
    assert max(len(line) for line in lines) <= 80
    assert "! compose file  words" == lines[2][:21]
    assert " " * 16 + "words" == lines[3][:21]
    assert "\x1b[3" not in terminal.getvalue()


def test_without_utf8_the_signs_are_words(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    console.out.cache_clear()
    doctor.show([OK, WARNING, PROBLEM, SKIPPED])
    sys.stdout.flush()
    console.out.cache_clear()
    lines = raw.getvalue().decode("ascii").splitlines()
    assert ["FAIL", "->", "!", "->", "-", "->", "ok", "1"] == [line.split()[0] for line in lines]
    assert "1 ok - 1 warning - 1 problem - 1 not checked" == lines[-1]


def test_the_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == main(["doctor", "--help"])
    assert "devctl doctor --json" in capsys.readouterr().out


@pytest.mark.parametrize("in_a_service", [False, True])
def test_a_wrong_line_in_dotenv_is_one_problem_and_the_rest_is_looked_at(
    fakes: Any, capsys: pytest.CaptureFixture[str], in_a_service: bool
) -> None:
    file = fakes.root / "docker-compose.yml"
    if in_a_service:
        file.write_text(file.read_text() + "    env_file: .env\n")
    (fakes.root / ".env").write_text("REDIS_PORT=0\nSECRET=pa${word\nSERVICE1_PORT=0\n")

    assert 1 == main(["doctor", "--json"])

    out, err = capsys.readouterr()
    checks = json.loads(out)["checks"]
    assert [f"{fakes.root}/.env:2: the value of SECRET has a ${{ that does not begin a variable"] == [
        one["message"] for one in checks if "SECRET" in one["message"]
    ]
    assert "word" not in out + err
    assert any(one["status"] == "ok" for one in checks)


@pytest.mark.parametrize("text", [b"SECRET=pa${word\n", b"SECRET=pa-caf\xe9\n"])
def test_every_other_command_names_the_wrong_line_and_ends(
    fakes: Any, capsys: pytest.CaptureFixture[str], text: bytes
) -> None:
    (fakes.root / ".env").write_bytes(text)
    assert 1 == main(["ps"])
    said = capsys.readouterr().err
    assert f"{fakes.root}/.env:1: " in said.replace("\n", "")
    assert "Traceback" not in said
    assert "word" not in said


def test_what_was_found_stands_first_and_what_was_not_below_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "compose.yaml").write_text(
        "services:\n"
        "  queue: {image: redis}\n"
        "  jobs:\n"
        "    image: acme/jobs\n"
        "    command: celery -A shop worker -Q mail -c 2\n"
        "    environment: {CELERY_BROKER_URL: redis://:secret@queue/0}\n"
        "  db: {image: postgres}\n"
        "  cache: {image: postgres}\n"
        "  odd: {image: acme/odd}\n"
    )
    settings = Settings(tmp_path, tmp_path / "compose.yaml", "auto", "", {"DOCKER_HOST": "tcp://nowhere"})
    finds(monkeypatch, OK)
    monkeypatch.setattr(options, "open_workbench", lambda *_, **__: Workbench(settings))
    monkeypatch.setattr(Facts, "started", False)
    assert 0 == main(["doctor"])
    assert [
        "Found in compose.yaml",
        "  broker    queue      redis://:********@queue/0 · jobs: CELERY_BROKER_URL",
        "  worker    jobs       -A shop -Q mail -c 2 · compose.yaml: command of jobs",
        "  database  db, cache",
        "Not found out",
        "  results  no worker's environment or code says where results go",
        "  odd      what acme/odd runs is not known here",
        "  → name them in compose.yaml, x-devctl: {broker: SERVICE, workers: [SERVICE]}; devctl init begins it",
        "✔ in order: engine",
        "1 ok",
    ] == capsys.readouterr().out.splitlines()
    assert 0 == main(["doctor", "--json"])
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, SCHEMA)
    assert {"value": "redis://:********@queue/0", "source": "jobs: CELERY_BROKER_URL"} == document["found"][
        "broker_url"
    ]
    assert [["broker"], ["worker"], ["database"], ["database"], ["unknown"]] == [
        one["roles"] for one in document["found"]["services"]
    ]
