"""Reading and following the logs of replicas."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from devctl.stack.local import logfiles


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logfiles, "_LOOK_SECONDS", 0.005)


def source(folder: Path, *replicas: str) -> logfiles.Source:
    return {name: (name.partition("-")[0], folder / f"{name}.log") for name in replicas}


def texts(folder: Path, *replicas: str, since: float | None = None, tail: int | None = None) -> list[str]:
    with logfiles.read(lambda: source(folder, *replicas), since=since, tail=tail) as lines:
        return [f"{line.replica}: {line.text}" for line in lines]


def test_lines_of_several_logs_come_by_time(tmp_path: Path) -> None:
    (tmp_path / "a-1.log").write_text(
        '{"timestamp": "2026-11-23T16:00:02Z"}\n  its second line\n2026-11-23T16:00:04Z d\n'
    )
    (tmp_path / "b-1.log").write_text("no time\n2026-11-23 16:00:01+00:00 b\n2026-11-23T18:00:03+02:00 c\n")
    assert [
        "b-1: no time",
        "b-1: 2026-11-23 16:00:01+00:00 b",
        'a-1: {"timestamp": "2026-11-23T16:00:02Z"}',
        "a-1:   its second line",
        "b-1: 2026-11-23T18:00:03+02:00 c",
        "a-1: 2026-11-23T16:00:04Z d",
    ] == texts(tmp_path, "a-1", "b-1")


def test_since_leaves_out_what_is_older_and_keeps_lines_beside_their_predecessor(tmp_path: Path) -> None:
    (tmp_path / "a-1.log").write_text("first\n2026-11-23T16:00:01Z a\n more\n2026-11-23T16:00:02Z b\n more\n")
    assert ["a-1: 2026-11-23T16:00:02Z b", "a-1:  more"] == texts(tmp_path, "a-1", since=1_795_449_601.5)


@pytest.mark.parametrize("count", [0, 1, 3, 5000])
def test_the_tail_of_a_long_log(count: int, tmp_path: Path) -> None:
    every = [f"line {number} {'x' * 50}" for number in range(4000)]
    (tmp_path / "a-1.log").write_text("\n".join(every) + "\n")
    expected = [f"a-1: {text}" for text in every[max(0, len(every) - count) :]] if count else []
    assert expected == texts(tmp_path, "a-1", tail=count)


def test_the_tail_counts_for_each_replica(tmp_path: Path) -> None:
    for name in ("a-1", "a-2"):
        (tmp_path / f"{name}.log").write_text("1\n2\n")
    assert ["a-1: 2", "a-2: 2"] == texts(tmp_path, "a-1", "a-2", tail=1)


def test_a_line_without_its_end_is_shown_when_nobody_follows(tmp_path: Path) -> None:
    (tmp_path / "a-1.log").write_text("whole\nhalf")
    assert ["a-1: whole", "a-1: half"] == texts(tmp_path, "a-1")


def test_a_log_that_is_not_there_and_bytes_that_are_no_text_are_no_failure(tmp_path: Path) -> None:
    (tmp_path / "a-1.log").write_bytes(b"\xff\xfe\n")
    assert ["a-1: \ufffd\ufffd"] == texts(tmp_path, "a-1", "b-1")


def test_a_follow_sees_new_lines_a_truncated_log_and_a_new_replica(tmp_path: Path) -> None:
    log, late = tmp_path / "a-1.log", tmp_path / "a-2.log"
    log.write_text("old\nhal")
    replicas = ["a-1"]
    with logfiles.read(lambda: source(tmp_path, *replicas), follow=True) as lines:
        assert "old" == next(lines).text
        with log.open("a") as more:
            more.write("f\n")
        assert "half" == next(lines).text
        log.write_text("new\n")
        assert "new" == next(lines).text
        late.write_text("late\n")
        replicas.append("a-2")
        line = next(lines)
        assert ("a-2", "late") == (line.replica, line.text)


def test_leaving_ends_a_follow_that_waits_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "a-1.log").write_text("")
    with logfiles.read(lambda: source(tmp_path, "a-1"), follow=True) as lines:
        waiting = threading.Thread(target=lambda: list(lines))
        waiting.start()
    waiting.join(timeout=5)
    assert not waiting.is_alive()
