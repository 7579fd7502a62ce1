from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest

from celeriac.dead_letter.letters import Letter, Reason
from celeriac.message.frame import frame
from devctl.__main__ import main
from devctl.broker.memory import MemoryBroker
from devctl.cli import dead_letters as cli
from devctl.cli import options
from devctl.contracts.catalog import Catalog
from devctl.dead_letters.replay import Gone, Refused, Replayed
from devctl.logs import own
from devctl.settings import Settings
from devctl.stack.fake import FakeRuntime
from devctl.stack.model import Service, Stack
from devctl.ui import dead_letters as ui

DOCS = Path(__file__).parents[3] / "docs/json"
ORDER: dict[str, Any] = {
    "source_service": "test",
    "customer_id": "c-1",
    "items": [{"product_id": "book", "quantity": 2}],
    "total_amount": "39.90",
}


def died() -> float:
    """A minute and a half before now: of the test, not of the import."""
    return time.time() - 90


class Bench:
    runtime_choice = ("fake", "a test")

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(folder, folder / "docker-compose.yml", "auto", "", {})
        self.stack = Stack("x", {"redis": Service("redis")}, "redis", (), {}, "shop")
        self.runtime = FakeRuntime(self.stack)
        self.tasks = Catalog.load("shop")
        self.broker = MemoryBroker(eager=False)
        self.died = died()

    def bury(self, payload: Any = ORDER, reason: str = "permanent", **more: Any) -> str:
        """A dead letter that is a second younger than the one before."""
        number = len(self.broker._dead)
        task_id = f"{number:08}-0000-4000-8000-000000000000"
        raw = more.pop("raw", None)
        if raw is None:
            raw = frame("tasks.process_order", "orders", [payload], task_id=task_id)
            more = {"task": "tasks.process_order", "task_id": task_id} | more
        time_ = self.died + number
        letter_id = f"orders/{round(time_ * 1000)}-0"
        known = {"error": "PermanentError: no such\nshelf", "starts": 0, "retries": 2, "replays": 1, "worker": "w@a"}
        self.broker.bury(Letter(letter_id, "orders", reason, time_, len(raw), raw=raw, **(known | more)))
        return letter_id


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench(tmp_path)
    monkeypatch.setattr(options, "open_workbench", lambda *_: bench)
    return bench


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(bench: Bench, capsys: pytest.CaptureFixture[str]) -> Run:
    """Exit code, stdout and stderr of `devctl dead-letters …`; JSON is checked against its schema."""

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["dead-letters", *arguments])
        out, err = capsys.readouterr()
        if "--json" in arguments:
            document = json.loads(out)
            name = document["schema"].removeprefix("devctl.").partition("/")[0]
            jsonschema.validate(document, json.loads((DOCS / f"{name}.schema.json").read_text()))
            assert "" == err
        return code, out, err

    return run


def test_the_list_shows_the_newest_first_one_line_each(bench: Bench, run: Run) -> None:
    first, second = bench.bury(), bench.bury(reason="poison", error=None)

    code, out, err = run("list")

    assert 0 == code
    assert [
        "ID                      AGE  REASON     TASK                 ERROR",
        f"{second}   1m  poison     tasks.process_order",
        f"{first}   1m  permanent  tasks.process_order  PermanentError: no such shelf",
    ] == out.splitlines()
    assert "2 dead letters: 1 poison · 1 permanent" in err
    assert f"→ devctl dead-letters show {second}   one in full" in err


def test_a_replay_is_a_line_in_the_logs_and_a_dry_run_is_none(bench: Bench, run: Run) -> None:
    letter = bench.bury()
    run("replay", letter, "--dry-run")
    assert not own.file(bench.settings).exists()

    assert 0 == run("replay", letter)[0]

    (line,) = own.file(bench.settings).read_text().splitlines()
    known = json.loads(line)
    task_id = "00000000-0000-4000-8000-000000000000"
    assert ("task.replayed", task_id, letter) == (known["event"], known["task_id"], known["letter"])


def test_filters_and_limits_choose(bench: Bench, run: Run) -> None:
    ids = [bench.bury(reason=reason) for reason in ("poison", "permanent", "permanent")]

    def listed(*arguments: str) -> list[str]:
        return [line.split()[0] for line in run("list", *arguments)[1].splitlines()[1:]]

    assert [ids[2], ids[1]] == listed("--reason", "permanent")
    assert [ids[2]] == listed("--reason", "permanent", "--limit", "1")
    assert [ids[0]] == listed("--oldest", "--limit", "1")
    assert ids == listed("--oldest", "--limit", "0")
    assert [ids[0]] == listed("00000000")
    assert [] == listed("--older-than", "1h")
    assert 3 == len(listed("--newer-than", "1h", "--task", "process_order", "--queue", "orders"))


def test_more_than_is_shown_is_counted(bench: Bench, run: Run) -> None:
    for _ in range(3):
        bench.bury()

    assert "3 dead letters, 2 shown (--limit 0 shows all): 3 permanent" in run("list", "--limit", "2")[2]


def test_nothing_to_list_is_said_and_is_no_error(bench: Bench, run: Run) -> None:
    assert (0, "", "runtime  fake (a test)\nno dead letters\n") == run("list")
    assert "no dead letter matches" in run("list", "--reason", "poison")[2]
    assert "! not there: orders/1-0 (replayed or dropped before, or never existed)" in run("list", "orders/1-0")[2]


def test_the_list_in_json_is_as_the_issue_says(bench: Bench, run: Run) -> None:
    letter_id = bench.bury()

    code, out, _ = run("list", "--json")

    (letter,) = json.loads(out)["letters"]
    assert 0 == code
    assert (
        letter.items()
        >= {
            "id": letter_id,
            "task_id": "00000000-0000-4000-8000-000000000000",
            "task": "tasks.process_order",
            "queue": "orders",
            "reason": "permanent",
            "error": "PermanentError: no such\nshelf",
            "starts": 0,
            "retries": 2,
            "worker": "w@a",
        }.items()
    )
    assert letter["time"].endswith("Z")
    assert "raw" not in letter
    bench.bury(raw=b"\xff", reason="undecodable", error=None, starts=None, retries=None, worker=None)
    assert 2 == len(json.loads(run("list", "--json")[1])["letters"])
    assert 1 == len(json.loads(run("list", "--json", "--limit", "1")[1])["letters"])


def test_show_tells_what_happened_and_what_was_asked_for(bench: Bench, run: Run) -> None:
    letter_id = bench.bury(published_at=bench.died - 4.2, correlation_id="c-77")

    code, out, err = run("show", letter_id)

    assert 0 == code
    assert [
        f"{letter_id}  permanent",
        "task         tasks.process_order  00000000-0000-4000-8000-000000000000",
        "error        PermanentError: no such shelf",
        "tried        2 starts · 2 retries · 1 replay",
        "published    4.2s before",
        "correlation  c-77",
        "message      1 kB",
        json.dumps(ORDER),
    ] == [line for line in out.splitlines() if not line.startswith("died")]
    assert "died         1m ago, " in out
    assert f"→ devctl dead-letters replay {letter_id} --dry-run" in err
    assert "→ devctl logs --id 00000000" in err


def test_what_cannot_be_read_is_shown_escaped_and_exported_byte_for_byte(
    bench: Bench, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    raw = bytes(range(256)) * 20
    letter_id = bench.bury(raw=raw, reason="undecodable", error="evil \x1b[31m words")

    assert 0 == main(["dead-letters", "show", letter_id])
    out, err = capfdbinary.readouterr()
    assert rb"\x00\x01\x02" in out
    assert b"\x1b" not in out
    assert b"(5,120 bytes)" in out
    assert f"show {letter_id} --raw".encode() in err

    assert 0 == main(["dead-letters", "show", letter_id, "--raw"])
    assert (raw, b"") == capfdbinary.readouterr()


def test_show_in_json_has_the_message_in_base64(bench: Bench, run: Run) -> None:
    raw = bench.broker._dead[bench.bury()].raw
    (letter,) = json.loads(run("show", "00000000", "--json")[1])["letters"]

    assert raw == base64.b64decode(letter["raw"])
    assert ORDER == letter["message"]


@pytest.mark.parametrize("given", ["orders/1-1", "1-1", "no-such-task"])
def test_a_letter_that_is_not_there_cannot_be_shown(run: Run, given: str) -> None:
    code, _, err = run("show", given)

    assert 1 == code
    assert f"✘ no dead letter {given}: it was replayed or dropped, or never existed" in err
    assert "→ devctl dead-letters list" in err


def test_replay_puts_back_and_the_second_time_does_nothing(bench: Bench, run: Run) -> None:
    letter_id = bench.bury()

    code, out, err = run("replay", letter_id)

    assert 0 == code
    assert out.startswith("✔ 1 dead letter replayed in ")
    assert "orders 1" in out
    assert f"replayed  {letter_id}  tasks.process_order  00000000-" in err
    assert "→ devctl queues" in err
    assert (1, 0) == (lambda depth: (depth.waiting, depth.dead))(bench.broker.queues(["orders"])[0])

    code, out, err = run("replay", letter_id)

    assert (0, "") == (code, out)
    assert f"! not there: {letter_id} (replayed or dropped before, or never existed)" in err
    assert 1 == bench.broker.queues(["orders"])[0].waiting


def test_a_dry_run_says_what_would_happen(bench: Bench, run: Run) -> None:
    bench.bury()
    wrong = bench.bury({**ORDER, "items": []})

    code, out, err = run("replay", "--all", "--dry-run")

    assert 1 == code
    assert [
        "✔ 1 dead letter would be replayed  orders 1",
        "✘ 1 dead letter stays: not valid today",
        f"  tasks.process_order  {wrong}",
        "    items must have at least 1 entry",
    ] == out.splitlines()
    assert "→ the same without --dry-run" in err
    assert (0, 2) == (lambda depth: (depth.waiting, depth.dead))(bench.broker.queues(["orders"])[0])


def test_the_same_problem_many_times_is_told_once(bench: Bench, run: Run) -> None:
    ids = [bench.bury({**ORDER, "items": []}) for _ in range(7)]
    bench.bury("text")

    out = run("replay", "--all")[1].splitlines()

    assert "✘ 8 dead letters stay: not valid today" == out[0]
    assert f"  tasks.process_order  {', '.join(ids[:5])} and 2 more" == out[1]
    assert 5 == len(out)


def test_replay_in_json_tells_each(bench: Bench, run: Run) -> None:
    good = bench.bury()
    wrong = bench.bury({**ORDER, "items": []})
    undecodable = bench.bury(raw=b"\xff", reason="undecodable")
    bench.bury()

    code, out, _ = run("replay", "--json", "--all", "--max", "1")
    assert (0, [good], [], 3) == (code, *(json.loads(out)[name] for name in ("replayed", "refused", "left")))

    code, out, _ = run("replay", "--json", good, wrong, undecodable)

    document = json.loads(out)
    assert (1, [], [good]) == (code, document["replayed"], document["gone"])
    assert [wrong, undecodable] == [one["id"] for one in document["refused"]]
    assert {"field": "items", "problem": "must have at least 1 entry"} in document["refused"][0]["problems"]


def test_nothing_to_replay_is_said(run: Run) -> None:
    assert (0, "no dead letter matches: nothing to replay\n") == run("replay", "--reason", "poison")[:2]


@pytest.mark.parametrize(
    "arguments",
    [
        ["replay"],
        ["replay", "--dry-run"],
        ["replay", "--max", "3"],
        ["replay", "--all", "--queue", "orders"],
        ["replay", "--all", "--rate", "fast"],
        ["replay", "--all", "--max", "0"],
        ["replay", "--reason", "typo"],
        ["list", "--older-than", "soon"],
        ["list", "ab"],
        ["show"],
        ["show", "orders/1-0", "--raw", "--json"],
        ["drop"],
        ["drop", "--max", "3"],
        ["drop", "--all", "--queue", "orders"],
        ["drop", "--all"],
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_exit_code_2_and_touches_nothing(
    bench: Bench, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    bench.bury()

    assert 2 == main(["dead-letters", *arguments])

    assert "✘" in capsys.readouterr().err or "--json" in arguments
    assert 1 == len(list(bench.broker.letters()))


def test_drop_removes_what_was_named_and_no_other(bench: Bench, run: Run) -> None:
    first = bench.bury(reason="poison")
    second, third = bench.bury(), bench.bury()

    assert (0, "✔ 1 dead letter dropped\n") == run("drop", first)[:2]
    code, out, err = run("drop", first)
    assert (0, "0 dead letters dropped\n") == (code, out)
    assert "! not there: " in err
    assert "✔ 1 dead letter dropped\n" == run("drop", "--reason", "permanent", "--max", "1")[1]
    assert [third] == [one.id for one in bench.broker.letters()]
    assert {"schema": "devctl.dead-letters-drop/1", "dropped": 1, "gone": [second]} == json.loads(
        run("drop", "--json", second, third)[1]
    )


def test_all_are_dropped_only_where_it_is_said(bench: Bench, run: Run) -> None:
    for _ in range(3):
        bench.bury()

    code, _, err = run("drop")
    assert 2 == code
    assert "✘ nothing was dropped: say which" in err
    code, _, err = run("drop", "--all")  # no terminal: nobody to ask
    assert 2 == code
    assert "nobody can be asked about 3 dead letters" in err
    assert "✔ 3 dead letters dropped\n" == run("drop", "--all", "--yes")[1]
    assert [] == list(bench.broker.letters())


@pytest.mark.parametrize(("answer", "left"), [("n\n", 3), ("\n", 3), ("y\n", 0)])
def test_on_a_terminal_a_drop_of_all_is_asked_about(
    bench: Bench, run: Run, monkeypatch: pytest.MonkeyPatch, answer: str, left: int
) -> None:
    class Keyboard(io.StringIO):
        def isatty(self) -> bool:
            return True

    for _ in range(3):
        bench.bury()
    monkeypatch.setattr(sys, "stdin", Keyboard(answer))

    run("drop", "--all")

    assert left == len(list(bench.broker.letters()))


def test_without_a_command_it_lists(bench: Bench, run: Run) -> None:
    bench.bury()

    assert run("list") == run()
    assert 0 == run()[0]


@pytest.mark.parametrize(
    "command", [["list"], ["show", "orders/1-0"], ["replay", "--all"], ["drop", "--all", "--yes"]], ids=" ".join
)
def test_a_broker_that_is_away_is_one_clear_error(bench: Bench, run: Run, command: list[str]) -> None:
    bench.broker.away = "the broker does not answer"

    code, out, err = run(*command)

    assert (1, "") == (code, out)
    assert "✘ the broker does not answer" in err


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Terminal]:
    def make(columns: int) -> Terminal:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("NO_COLOR", "1")
        return Terminal()

    return make


LONG = "TransientError: the warehouse said 503 Service Unavailable, and again after three retries " * 3


def _letter(n: int, **more: Any) -> Letter:
    known: dict[str, Any] = {"error": LONG, "task": "tasks.process_order", "task_id": str(uuid.uuid4())} | more
    return Letter(f"notifications/1795703066{n:03}-0", "notifications", "retries-exhausted", died(), 2, **known)


@pytest.mark.parametrize("columns", [80, 120])
def test_no_line_of_the_list_is_wider_than_its_terminal(terminal: Callable[[int], Terminal], columns: int) -> None:
    stream = terminal(columns)

    ui.show([_letter(n) for n in range(30)], stream=stream)

    lines = stream.getvalue().splitlines()
    assert all(len(line) <= columns for line in lines)
    assert 1 + 20 * (2 if columns == 80 else 1) == len(lines)
    assert all(line.endswith("…") for line in (lines[2::2] if columns == 80 else lines[1:]))


def test_a_letter_in_full_fits_its_terminal(terminal: Callable[[int], Terminal]) -> None:
    stream = terminal(80)
    raw = frame("tasks.process_order", "orders", [{**ORDER, "note": "n"}], task_id="x")

    ui.show_one(_letter(1, raw=raw, worker="worker@a"), stream=stream)

    assert all(len(line) <= 80 for line in stream.getvalue().splitlines())
    assert '  "items": [{"product_id": "book", "quantity": 2}],' in stream.getvalue()


def test_progress_is_one_line_redrawn_on_a_terminal(
    terminal: Callable[[int], Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, 0.1, 0.5, 1.0])
    monkeypatch.setattr(ui.time, "monotonic", lambda: next(times))
    stream = terminal(80)

    with ui.Progress(stream=stream) as emit:
        for n in (100, 500, 1_000):
            emit(Replayed(_letter(1), n, 2_000))
        emit(Refused(_letter(1), ()))
        emit(Gone("orders/1-0"))

    assert ["", "● 500 of 2,000  1,000/s", "● 1,000 of 2,000  1,000/s", ""] == stream.getvalue().split("\r\x1b[K")


def test_the_reasons_offered_are_those_there_are() -> None:
    assert tuple(Reason) == cli.REASONS
    assert ["permanent", "poison"] == cli._reasons("p")


def test_completion_offers_commands_and_reasons_and_loads_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text("services: {}\n")

    def offered(typed: str) -> list[str]:
        asked = {"_DEVCTL_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
        code = "import sys; sys.argv = ['devctl']\nfrom devctl.__main__ import run\ntry: run()\nfinally: "
        code += "print([m for m in ('redis', 'celery', 'pydantic') if m in sys.modules], file=sys.stderr)"
        ran = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=os.environ | asked,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "[]\n" == ran.stderr
        return ran.stdout.split()

    assert ["list", "show", "replay", "drop"] == offered("devctl dead-letters ")
    assert ["unknown-task"] == offered("devctl dead-letters list --reason unk")


def test_the_documents_name_their_schema() -> None:
    for name in ("dead-letters", "dead-letters-replay", "dead-letters-drop"):
        schema = json.loads((DOCS / f"{name}.schema.json").read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        assert cast("str", schema["title"]) == f"devctl.{name}/1"


def test_of_stock_celery_it_says_what_becomes_of_tasks_that_fail(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.broker.celeriac, bench.broker.url = False, "redis://h"

    assert 0 == main(["dead-letters"])

    out, err = capsys.readouterr()
    assert "no dead letters: stock Celery keeps none" == out.splitlines()[0]
    assert "→ celeriac.install(app)" in err
    assert 0 == main(["dead-letters", "list", "--json"])
    assert {"schema": "devctl.dead-letters/1", "letters": []} == json.loads(capsys.readouterr().out)
    for command in (["show", "q/1-0"], ["replay", "--all"], ["drop", "--all", "--yes"]):
        assert 1 == main(["dead-letters", *command])
        assert "stock Celery keeps none" in capsys.readouterr().err
