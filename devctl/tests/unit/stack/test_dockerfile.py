"""A Dockerfile, read as the builder reads it; what the builder makes of one: integration/test_image_builder.py."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devctl.stack.dockerfile import Image, of, read
from devctl.stack.model import Build

FILE = Path("app/Dockerfile")


def image(text: str, arguments: Mapping[str, str] | None = None, target: str = "") -> Image:
    found = of(text, FILE, arguments or {}, target)
    assert found is not None
    return found


def test_a_usual_file_gives_base_folder_environment_and_command() -> None:
    found = image(
        "# syntax=docker/dockerfile:1\n"
        "FROM python:3.12-slim\n"
        "ENV PYTHONUNBUFFERED=1 APP_HOME=/srv/app\n"
        "WORKDIR $APP_HOME\n"
        "COPY --chown=app:app requirements.txt .\n"
        "RUN pip install \\\n"
        "    # a comment in the middle\n"
        "\n"
        "    -r requirements.txt\n"
        "USER app\n"
        'CMD ["celery", "-A", "proj", "worker"]\n'
    )
    assert found.base == "python:3.12-slim"
    assert found.folder == "/srv/app"
    assert found.environment == {"PYTHONUNBUFFERED": "1", "APP_HOME": "/srv/app"}
    assert found.command == ("celery", "-A", "proj", "worker")
    assert found.user == "app"
    words = [(one.line, one.word) for one in found.instructions]
    assert words == [(3, "ENV"), (4, "WORKDIR"), (5, "COPY"), (6, "RUN"), (10, "USER"), (11, "CMD")]
    assert found.instructions[2].flags == {"chown": "app:app"}
    assert found.instructions[3].text.split() == ["pip", "install", "-r", "requirements.txt"]


def test_the_shell_form_runs_in_the_shell_that_the_file_names() -> None:
    assert image("FROM x\nCMD celery -A $APP worker").command == ("/bin/sh", "-c", "celery -A $APP worker")
    named = image('FROM x\nSHELL ["/bin/bash", "-lc"]\nENTRYPOINT run $X')
    assert named.entrypoint == ("/bin/bash", "-lc", "run $X")
    assert image("FROM x\nCMD ['celery']").command == ("/bin/sh", "-c", "['celery']")  # no JSON: a shell gets it


def test_an_entrypoint_resets_the_command_of_the_stages_below_and_not_of_its_own() -> None:
    below = 'FROM x AS base\nCMD ["web"]\n'
    assert image(below + 'FROM base\nENTRYPOINT ["/start"]\n').command == ()
    assert image(below + 'FROM base\nENTRYPOINT ["/start"]\nCMD ["worker"]\n').command == ("worker",)
    assert image(below + 'FROM base\nCMD ["worker"]\nENTRYPOINT ["/start"]\n').command == ("worker",)
    assert image(below + "FROM base\n").command == ("web",)


def test_a_stage_inherits_from_its_stage_and_the_chain_has_one_base() -> None:
    text = (
        "ARG PYTHON=3.11\n"
        "FROM python:${PYTHON}-slim AS base\n"
        "ENV A=1\n"
        "WORKDIR /srv\n"
        "FROM node:22 AS assets\n"
        "RUN npm ci\n"
        "FROM base AS Worker\n"
        "ENV B=${A}2\n"
        "WORKDIR app\n"
    )
    found = image(text)
    assert (found.base, found.folder) == ("python:3.11-slim", "/srv/app")
    assert found.environment == {"A": "1", "B": "12"}
    assert [one.word for one in found.instructions] == ["ENV", "WORKDIR", "ENV", "WORKDIR"]
    assert image(text, {"PYTHON": "3.13"}).base == "python:3.13-slim"
    assert image(text, target="assets").base == "node:22"
    assert image(text, target="worker") == found
    assert image(text, target="1").base == "node:22"
    assert of(text, FILE, {}, "nothing") is None


def test_arguments_come_from_the_build_else_from_the_file_and_never_over_an_env() -> None:
    text = (
        "ARG TAG=1\nARG UNUSED=2\nFROM x\nARG TAG\nARG APP=proj OTHER\nENV T=$TAG U=$UNUSED A=${APP} O=${OTHER:-none}\n"
    )
    assert image(text).environment == {"T": "1", "U": "", "A": "proj", "O": "none"}
    assert image(text, {"TAG": "9", "OTHER": "o"}).environment == {"T": "9", "U": "", "A": "proj", "O": "o"}
    assert image("FROM x\nENV A=env\nARG A=arg\nENV B=$A\n").environment["B"] == "env"
    assert image("FROM x\nARG A=arg\nRUN a\n").arguments == {"A": "arg"}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("ENV X=a", "a"),
        ("ENV X a  b 'c'", "a  b c"),
        ('ENV X="a b" Y=2', "a b"),
        ("ENV X='$HERE' Y=2", "$HERE"),
        ("ENV X=\\$HERE", "$HERE"),
        ('ENV X="\\"a\\" \\x"', '"a" \\x'),
        ("ENV X=a\\ b", "a b"),
        ("ENV X=${HERE}/bin", "here/bin"),
        ("ENV X=${NOT:-${HERE}}", "here"),
        ("ENV X=${HERE:+set}${NOT:+set}", "set"),
        ("ENV X=${HERE#h}${HERE%%e*}", "ereh"),
        ("ENV X=$PATH:/a", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/a"),
        ("ENV X=", ""),
    ],
)
def test_values_are_expanded_and_unquoted_as_the_builder_does(line: str, value: str) -> None:
    assert image(f"FROM x\nENV HERE=here\n{line}\n").environment["X"] == value


def test_a_value_in_one_env_line_sees_what_was_before_that_line() -> None:
    assert image("FROM x\nENV A=1\nENV A=2 B=$A\nENV C=$A\n").environment == {"A": "2", "B": "1", "C": "2"}


def test_here_documents_are_no_instructions() -> None:
    found = image("FROM x\nRUN <<EOF\nCMD wrong\nEOF\nCOPY <<-'ONE' <<TWO /etc/\n\ta\n\tONE\nb\nTWO\nCMD right\n")
    assert found.command == ("/bin/sh", "-c", "right")
    assert [one.heredocs for one in found.instructions] == [("CMD wrong\n",), ("a\n", "b\n"), ()]
    assert image('FROM x\nRUN cat <<<"EOF"\nCMD right\n').command == ("/bin/sh", "-c", "right")


def test_another_escape_character_leaves_backslashes_alone() -> None:
    found = image("# escape=`\nFROM x\nENV A=C:\\temp `\n  B=2\n")
    assert found.environment == {"A": "C:\\temp", "B": "2"}
    late = image("# a comment first\n# escape=`\nFROM x\nENV A=1 \\\n  B=2\n")
    assert late.environment == {"A": "1", "B": "2"}


def test_flags_and_the_exec_form_are_read_apart() -> None:
    found = image(
        'FROM x\nARG D=data\nCOPY --from=builder --link ["a b", "/$D/"]\nRUN --mount=type=cache,target=/c a -b\n'
    )
    copy, run = found.instructions[1:]
    assert (copy.flags, copy.words) == ({"from": "builder", "link": "true"}, ("a b", "/data/"))
    assert (run.flags, run.text, run.words) == ({"mount": "type=cache,target=/c"}, "a -b", None)


def test_it_is_read_beside_its_context_and_what_is_not_here_is_none(tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "Dockerfile.worker").write_text("FROM a\nFROM b AS c\n", encoding="utf-8")
    found = read(Build(tmp_path, "docker/Dockerfile.worker"))
    assert found is not None
    assert (found.path, found.base) == (tmp_path / "docker" / "Dockerfile.worker", "b")
    assert read(Build(tmp_path)) is None
    assert read(Build(Path("https://example.org/a.git"))) is None
    assert read(Build(tmp_path, "docker/Dockerfile.worker", target="d")) is None
    (tmp_path / "Dockerfile").write_bytes(b"\xff\xfe nothing\n")
    assert read(Build(tmp_path)) is None


INSTRUCTIONS = st.lists(
    st.sampled_from(
        [
            "FROM python:3.12 AS one",
            "FROM one AS two",
            "ARG A=1",
            "ENV B=$A C='x y'",
            "WORKDIR app",
            "RUN a && b",
            'CMD ["celery", "worker"]',
            "CMD celery worker",
            'ENTRYPOINT ["/start"]',
            "USER $B",
        ]
    ),
    max_size=12,
)


@given(INSTRUCTIONS, st.randoms())
def test_layout_says_nothing(lines: list[str], random: Random) -> None:
    def laid_out(line: str) -> str:
        word, _, rest = line.partition(" ")
        gap = random.choice([" ", "\t", "  ", " \\\n  ", " \\ \n# comment\n\n  "])
        before = random.choice(["", "\n", "  # comment\n", "  "])
        return before + random.choice([word, word.lower()]) + gap + rest

    plain = of("\n".join(lines), FILE, {})
    other = of("\n".join(map(laid_out, lines)), FILE, {})
    assert (plain is None) == (other is None)
    if plain and other:
        assert (plain.base, plain.environment, plain.folder) == (other.base, other.environment, other.folder)
        assert (plain.entrypoint, plain.command, plain.user) == (other.entrypoint, other.command, other.user)
        assert [(one.word, one.words) for one in plain.instructions] == [(o.word, o.words) for o in other.instructions]


@given(st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" ")))
def test_any_value_comes_back_that_was_quoted(value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    assert image(f'FROM x\nENV X="{quoted}"\n').environment["X"] == value


@given(st.text("FROMCDENV xX=[]\"'\\$`{}#:-+%\n\t<", max_size=80))
def test_no_text_is_an_error(text: str) -> None:
    of(text, FILE, {})
    of(f"FROM x\nCMD {text}\nENV {text}\nCOPY {text}\n", FILE, {"X": text})
