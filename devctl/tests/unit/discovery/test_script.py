"""What a shell script runs, as far as its text and the environment say it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devctl.discovery.script import Run, commands


def runs(text: str, *arguments: str, **environment: str) -> list[Run]:
    return commands(text, environment, arguments=arguments)


def lines(text: str, *arguments: str, **environment: str) -> list[str]:
    """Each command in one line, with a question mark where it only may run."""
    return [" ".join(run.words) + (" ?" if run.may else "") for run in runs(text, *arguments, **environment)]


def test_a_start_script_runs_what_it_says() -> None:
    text = (
        "#!/bin/bash\nset -e\n# a comment\npython manage.py migrate\nexec celery -A shop \\\n  worker -l INFO\nnever\n"
    )
    found = runs(text)
    assert [run.words for run in found] == [
        ("python", "manage.py", "migrate"),
        ("celery", "-A", "shop", "worker", "-l", "INFO"),
    ]
    assert [run.line for run in found] == [4, 5]


def test_its_arguments_are_handed_on() -> None:
    assert runs('exec "$@"', "celery", "-A", "a b")[0].words == ("celery", "-A", "a b")
    assert lines("exec $*", "x", "y z") == ["x y z"]
    assert lines('shift; exec gosu app "$@" --end', "first", "second") == ["gosu app second --end"]
    assert lines('set -- celery "$@"; exec "$@"', "worker") == ["celery worker"]
    assert lines('run "$@"') == ["run"]
    assert lines('if [ "${1#-}" != "$1" ]; then set -- redis-server "$@"; fi; exec "$@"', "--save") == [
        "redis-server --save"
    ]


def test_variables_of_the_environment_and_of_the_script_are_filled_in() -> None:
    assert lines('celery -A ${APP:-proj} worker -Q "$QUEUES"', QUEUES="a,b") == ["celery -A proj worker -Q a,b"]
    assert lines('ARGS="-A p worker"; celery $ARGS') == ["celery -A p worker"]
    assert lines("O=(-c 2); O+=(-E); celery ${O[@]}") == ["celery -c 2 -E"]
    assert lines("X='$A'; run \"$X\" \\$A `a` $(b)", A="1") == ["run $A $A \ue000`a` \ue000$(b)"]
    assert lines("run ${NOT} ${NOT:+x} ${A%.*}", A="a.b") == ["run a"]
    assert runs("export U=$R; X=1 run", R="redis://r")[0].environment == {"R": "redis://r", "U": "redis://r", "X": "1"}


def test_what_a_condition_decides_may_run_each_way() -> None:
    text = 'cmd="celery -A p worker"\nif [ -n "$(which x)" ]; then cmd="watch -- $cmd"; fi\nbash -c "$cmd"'
    assert lines(text)[-2:] == ["bash -c watch -- celery -A p worker ?", "bash -c celery -A p worker ?"]
    assert lines(f"{text}; exec $cmd")[-2:] == ["watch -- celery -A p worker ?", "celery -A p worker ?"]
    assert lines('if x; then A="-Q a"; fi; B="celery worker $A"; $B') == [
        "x",
        "celery worker -Q a ?",
        "celery worker ?",
    ]
    assert lines("if x; then A=1; fi; A=2; run $A")[-1:] == ["run 2"]
    assert lines("if x; then A=1; fi; read A; run $A")[-1:] == ["run \ue000$A"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('if [ "$R" = worker ]; then w; else e; fi', ["w"]),
        ('if [[ $R == w* && -n "$R" ]]; then w; else e; fi', ["w"]),
        ('if [ "$R" != worker ] || [ -z "$R" ]; then e; elif true; then w; fi', ["w"]),
        ('case "$R" in beat) b;; worker|w) w;; *) e;; esac', ["w"]),
        ('case "$R" in beat) b;; *) w;; esac', ["w"]),
        ('[ "$R" = worker ] && w', ["w"]),
        ('[ "$R" = beat ] && b; [ "$R" = beat ] || w', ["w"]),
        ("if test -f /x; then a; else b; fi; c", ["a ?", "b ?", "c"]),
        ("if python check.py; then a; fi", ["python check.py", "a ?"]),
        ("case $(hostname) in a) a;; b) b;; esac", ["a ?", "b ?"]),
        ("a || b; c && d", ["a", "b ?", "c", "d"]),
        ("until ping db; do retry; done; w", ["ping db", "retry ?", "w"]),
        ("while true; do w; done", ["w"]),
        ("for q in a b; do w $q; done", ["w a", "w b"]),
        ("web & w", ["web", "w"]),
        ("w | tee log", ["w", "tee log"]),
        ("(cd /x && w); v", ["w", "v"]),
        ("wait_for() { nc $1; }\nunused() { e; }\nwait_for db\nw", ["nc db", "w"]),
        ("if [ -f /x ]; then exec a; fi; exec b", ["a ?", "b ?"]),
        ('if [ "$R" = beat ]; then exit 0; fi; w', ["w"]),
        ('cd /app || exit 1; if [ -z "$R" ]; then exit 1; fi; w', ["w"]),
        ("cat <<EOF\nexec wrong\nEOF\nw > /dev/null 2>&1 < in", ["cat", "w"]),
        ("eval 'w x'", ["w x"]),
        ("if test -f a; then Q=x; else Q=y; fi; w $Q", ["w \ue000$Q"]),
    ],
)
def test_what_runs_under_which_condition(text: str, found: list[str]) -> None:
    assert lines(text, R="worker") == found


def test_the_folder_is_followed() -> None:
    assert [run.folder for run in commands("a; cd src; b; cd /x/../y; c; cd $(pwd); d", {}, folder="/app")] == [
        "/app",
        "/app/src",
        "/y",
        "",
    ]


def test_another_file_is_taken_in() -> None:
    files = {"/lib.sh": "f() { inside $1; }\nX=2"}
    found = commands(". /lib.sh; f 1; w $X; source /not", {}, read=lambda path, folder: files.get(path))
    assert [run.words for run in found] == [("inside", "1"), ("w", "2")]


def test_a_function_that_calls_itself_ends() -> None:
    assert len(lines("f() { a; f; }; f")) < 20


@given(st.text("abif thendofsecw$(){}[]|&;<>\"'\\\n \t#=@1", max_size=60))
def test_no_text_is_an_error(text: str) -> None:
    lines(text, "one")


WORDS = st.text("ab $'\"\\x", max_size=6)
PIECES = st.one_of(
    st.sampled_from(
        [
            "plain",
            "'single $A'",
            '"double $A"',
            "$A",
            "${B:-d e}",
            '"${C:+x}"',
            "\\$A",
            'a"b"c',
            '"$@"',
            '"\\a\\$"',
            "${A%b*}",
        ]
    )
)


@pytest.mark.skipif(shutil.which("sh") is None, reason="no shell here to compare with")
@given(st.lists(PIECES, min_size=1, max_size=4), st.lists(st.sampled_from(["", "a b", "c"]), max_size=2))
def test_words_are_what_a_shell_makes_of_them(pieces: list[str], arguments: list[str]) -> None:
    written = " ".join(pieces)
    environment: Mapping[str, str] = {"A": "a  bc", "C": "1"}
    said = subprocess.run(
        ["sh", "-c", f'show() {{ printf "%s\\0" "$#" "$@"; }}; show {written}', "sh", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    count, *words = said.split("\0")[:-1]
    found = commands(f"show {written}", environment, arguments=arguments)[0].words[1:]
    assert [*found] == words[: int(count)]


def test_the_scripts_of_the_fixtures_read(repositories: Path) -> None:
    for file in (repositories / "django" / "compose" / "django").rglob("start*"):
        assert lines(file.read_text(encoding="utf-8"))
