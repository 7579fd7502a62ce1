"""The instructions of a Dockerfile: comments, continuations, here-documents and both forms of a command."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_DIRECTIVE = re.compile(r"#\s*(?P<name>[a-z]+)\s*=\s*(?P<value>\S.*?)\s*", re.IGNORECASE)
_FLAG = re.compile(r"--(?P<name>[a-z][a-z0-9-]*)(?:=(?P<value>\S*))?(?:\s+|$)", re.IGNORECASE)
_HEREDOC = re.compile(r"(?<![<\w])\d*<<(?P<tabs>-?)(?P<quote>[\"']?)(?P<name>[A-Za-z_][\w.]*)(?P=quote)")
_WITH_FLAGS = {"ADD", "COPY", "FROM", "HEALTHCHECK", "RUN"}
_WITH_HEREDOCS = {"ADD", "COPY", "RUN"}
_WITH_WORDS = {"ADD", "CMD", "COPY", "ENTRYPOINT", "RUN", "SHELL", "VOLUME"}


@dataclass(frozen=True)
class Instruction:
    """One instruction."""

    line: int
    """The one it begins on."""
    word: str
    """In capitals: RUN, COPY, …"""
    text: str
    """What follows the flags, continuations joined; the variables that the builder itself expands are expanded."""
    words: tuple[str, ...] | None = None
    """Of the exec form, `["a", "b"]`; None for the shell form."""
    flags: Mapping[str, str] = field(default_factory=dict)
    """`--from=builder` is from: builder; one without a value has "true"."""
    heredocs: tuple[str, ...] = ()
    """The here-documents of a RUN, COPY or ADD."""


def split(text: str) -> tuple[list[Instruction], str]:
    """Return the instructions as they stand there, nothing expanded, and the escape character."""
    lines = text.removeprefix("\ufeff").splitlines()
    escape = _escape(lines)
    found: list[Instruction] = []
    number = 0
    while number < len(lines):
        begin = number + 1
        logical, number = _joined(lines, number, escape)
        if logical:
            one = _instruction(logical, begin)
            if one.word in _WITH_HEREDOCS and one.words is None:
                bodies, number = _heredocs(one.text, lines, number)
                one = Instruction(one.line, one.word, one.text, one.words, one.flags, bodies)
            found.append(one)
    return found, escape


def exec_form(text: str) -> tuple[str, ...] | None:
    """Return the words of `["a", "b"]`; None for what is not a JSON list of strings: a shell gets that."""
    try:
        words = json.loads(text)
    except ValueError:
        return None
    if isinstance(words, list) and all(isinstance(word, str) for word in words):
        return tuple(words)
    return None


def _escape(lines: list[str]) -> str:
    """Directives stand before everything else, comments and empty lines included."""
    for line in lines:
        found = _DIRECTIVE.fullmatch(line.strip())
        if not found:
            break
        if found["name"].lower() == "escape":
            return found["value"]
    return "\\"


def _joined(lines: list[str], number: int, escape: str) -> tuple[str, int]:
    """Return one line with its continuations, and the number of the next; comments and empty lines in it are none."""
    goes_on = re.compile(rf"(?<!{re.escape(escape)}){re.escape(escape)}[ \t]*$")
    logical = ""
    while number < len(lines):
        line = lines[number]
        number += 1
        if line.lstrip().startswith("#") or (logical and not line.strip()):
            if logical:
                continue
            return "", number
        end = goes_on.search(line)
        logical += line[: end.start()] if end else line
        if not end:
            break
        logical = logical or " "  # a continuation alone on its line
    return logical.strip(), number


def _instruction(logical: str, line: int) -> Instruction:
    word, _, rest = _first(logical)
    word, rest = word.upper(), rest.strip()
    flags: dict[str, str] = {}
    while word in _WITH_FLAGS and (found := _FLAG.match(rest)):
        flags[found["name"].lower()] = found["value"] if found["value"] is not None else "true"
        rest = rest[found.end() :]
    words = exec_form(rest) if word in _WITH_WORDS else None
    return Instruction(line, word, rest, words, flags)


def _first(text: str) -> tuple[str, str, str]:
    parts = re.split(r"(\s+)", text, maxsplit=1)
    return (parts[0], parts[1], parts[2]) if len(parts) > 1 else (text, "", "")


def _heredocs(text: str, lines: list[str], number: int) -> tuple[tuple[str, ...], int]:
    bodies = []
    for found in _HEREDOC.finditer(text):
        body = []
        while number < len(lines):
            line = lines[number].lstrip("\t") if found["tabs"] else lines[number]
            number += 1
            if line == found["name"]:
                break
            body.append(line)
        bodies.append("".join(f"{line}\n" for line in body))
    return tuple(bodies), number
