"""Reading and following the logs of replicas."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from devctl.stack import logfiles, rotation


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


def filled(log: Path, first: int, count: int) -> None:
    with log.open("a") as more:
        more.writelines(f"line {number}\n" for number in range(first, first + count))


def rotated(folder: Path) -> Path:
    """A log with two numbered files: lines 0 to 9, 10 to 19, 20 to 29."""
    log = folder / "a-1.log"
    for first in (0, 10, 20):
        if first:
            rotation.rotate(log, 1)
        filled(log, first, 10)
    return log


def test_a_rotated_log_is_read_as_one(tmp_path: Path) -> None:
    rotated(tmp_path)
    assert [f"a-1: line {number}" for number in range(30)] == texts(tmp_path, "a-1")


@pytest.mark.parametrize("count", [0, 1, 10, 11, 25, 30, 99])
def test_the_tail_of_a_rotated_log(count: int, tmp_path: Path) -> None:
    rotated(tmp_path)
    assert [f"a-1: line {number}" for number in range(30)][max(0, 30 - count) :] == texts(tmp_path, "a-1", tail=count)


def test_a_line_that_a_rotation_cuts_is_shown_whole(tmp_path: Path) -> None:
    log = tmp_path / "a-1.log"
    log.write_text("one\nhal")
    rotation.rotate(log, 1)
    with log.open("a") as more:
        more.write("f\n")
    assert ["a-1: one", "a-1: half"] == texts(tmp_path, "a-1")


def test_the_oldest_lines_are_dropped(tmp_path: Path) -> None:
    log = rotated(tmp_path)
    rotation.rotate(log, 1)
    assert [f"a-1: line {number}" for number in range(10, 30)] == texts(tmp_path, "a-1")
    assert 3 == len(list(tmp_path.iterdir()))


def test_a_log_within_the_limit_stays_as_it_is(tmp_path: Path) -> None:
    log = tmp_path / "a-1.log"
    log.write_text("12345")
    rotation.rotate(log, 5)
    assert [log] == list(tmp_path.iterdir())


def test_a_follow_survives_a_rotation_and_misses_nothing(tmp_path: Path) -> None:
    log = tmp_path / "a-1.log"
    filled(log, 0, 3)
    with logfiles.read(lambda: source(tmp_path, "a-1"), follow=True) as lines:
        seen = [next(lines).text for _ in range(3)]
        filled(log, 3, 3)
        rotation.rotate(log, 1)
        filled(log, 6, 20)  # longer than what was read before the rotation
        seen += [next(lines).text for _ in range(23)]
        rotation.rotate(log, 1)
        filled(log, 26, 2)
        seen += [next(lines).text for _ in range(2)]
    assert [f"line {number}" for number in range(28)] == seen


def test_a_writer_goes_on_writing_at_the_new_end(tmp_path: Path) -> None:
    log = tmp_path / "a-1.log"
    with log.open("a") as service:  # as the launcher opens it
        service.write("before\n")
        service.flush()
        rotation.rotate(log, 1)
        service.write("after\n")
    assert ("after\n", "before\n") == (log.read_text(), log.with_name("a-1.log.1").read_text())
