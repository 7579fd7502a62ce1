"""What a Dockerfile makes, read without a builder: its base, its environment, and what a container of it runs."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from devctl.stack.instructions import Instruction, split
from devctl.stack.model import Build

_EXPANDED = {"ADD", "ARG", "COPY", "ENV", "EXPOSE", "LABEL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"}
"""Where the builder expands variables itself. In RUN, CMD and ENTRYPOINT a shell does, or nobody."""
_SHELL = ("/bin/sh", "-c")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What $PATH is where the base image says nothing else; no more of its environment is known here."""
_VARIABLE = re.compile(
    r"\$(?:(?P<plain>[A-Za-z_]\w*)|\{(?P<name>\w+)(?:(?P<op>:?[-+?]|##?|%%?)(?P<arg>[^{}]*(?:\{[^{}]*\}[^{}]*)*))?\})"
)


@dataclass(frozen=True)
class Image:
    """What the final stage is, and the stages that it is made FROM."""

    path: Path
    """The Dockerfile."""
    base: str
    """The image that the first of these stages begins with: python:3.12-slim; "" where a variable says it."""
    instructions: tuple[Instruction, ...]
    """Of these stages in order, without FROM."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What ENV sets, nothing of the base image."""
    arguments: Mapping[str, str] = field(default_factory=dict)
    """What ARG sets while it is built."""
    folder: str = ""
    """WORKDIR; "" is the base image's."""
    entrypoint: tuple[str, ...] = ()
    """Of the shell form: /bin/sh -c …"""
    command: tuple[str, ...] = ()
    user: str = ""

    def last(self, word: str) -> Instruction | None:
        """The last instruction of this kind: of CMD, ENTRYPOINT or USER the one that counts."""
        return next((one for one in reversed(self.instructions) if one.word == word), None)


def read(build: Build) -> Image | None:
    """Return what this build makes; None where there is nothing to read here, or no such stage."""
    path = build.context / build.dockerfile
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):  # a remote context, no such file, a name that no file can have
        return None
    return of(text, path, build.args, build.target)


def of(text: str, path: Path, arguments: Mapping[str, str], target: str = "") -> Image | None:
    """Return what this text makes, with these build arguments; None where it has no such stage."""
    stages = _stages(text, path, frozenset(arguments.items()))
    if not stages:
        return None
    if not target:
        return stages[-1].image
    named = [stage for stage in stages if stage.name == target.lower()]
    if not named and target.isdecimal() and int(target) < len(stages):
        named = [stages[int(target)]]
    return named[-1].image if named else None


@lru_cache(maxsize=64)  # the services of a stack are often stages of one file, and each asks for several
def _stages(text: str, path: Path, arguments: frozenset[tuple[str, str]]) -> Sequence[_Stage]:
    given, escape = split(text)
    reader = _Reader(path, dict(arguments), escape)
    for one in given:
        reader.take(one)
    return tuple(reader.stages)


@dataclass
class _Stage:
    image: Image
    name: str
    shell: tuple[str, ...] = _SHELL
    has_command: bool = False
    """Whether a CMD stands in this very stage: only that one survives an ENTRYPOINT below it."""


class _Reader:
    """Goes through the instructions as the builder does, from the first to the last."""

    def __init__(self, path: Path, arguments: Mapping[str, str], escape: str) -> None:
        self.stages: list[_Stage] = []
        self._path, self._arguments, self._escape = path, arguments, escape
        self._global: dict[str, str] = {}

    def take(self, one: Instruction) -> None:
        if one.word == "FROM":
            self.stages.append(self._from(one))
        elif not self.stages:
            if one.word == "ARG":
                self._global |= self._declared(one, self._global, {})
        else:
            self._in_stage(self.stages[-1], one)

    def _from(self, one: Instruction) -> _Stage:
        words = self._expand(one.text, self._global).split()
        name = words[2].lower() if len(words) > 2 and words[1].upper() == "AS" else ""
        base = words[0] if words and words[0].upper() != "AS" else ""
        for stage in reversed(self.stages):
            if base and stage.name == base.lower():
                return _Stage(stage.image, name, stage.shell)
        return _Stage(Image(self._path, base, ()), name)

    def _in_stage(self, stage: _Stage, one: Instruction) -> None:
        image = stage.image
        known = {"PATH": _PATH, **image.arguments, **image.environment}
        changes: dict[str, object] = {}
        match one.word:
            case "ARG":
                changes["arguments"] = {**image.arguments, **self._declared(one, known, self._global)}
            case "ENV":
                changes["environment"] = {**image.environment, **self._pairs(one.text, known)}
            case "WORKDIR":
                folder = self._expand(one.text, known)
                changes["folder"] = posixpath.normpath(posixpath.join("/", image.folder, folder))
            case "USER":
                changes["user"] = self._expand(one.text, known)
            case "SHELL":
                stage.shell = one.words or stage.shell
            case "CMD":
                changes["command"] = self._command(stage, one)
                stage.has_command = True
            case "ENTRYPOINT":
                changes["entrypoint"] = self._command(stage, one)
                if not stage.has_command:
                    changes["command"] = ()
        if one.word in _EXPANDED:
            text = self._expand(one.text, known, quotes=one.words is None and one.word not in ("ARG", "ENV", "LABEL"))
            words = one.words if one.words is None else tuple(self._expand(word, known) for word in one.words)
            one = replace(one, text=text, words=words)
        stage.image = replace(image, instructions=(*image.instructions, one), **changes)  # type: ignore[arg-type]  # fields of Image

    def _command(self, stage: _Stage, one: Instruction) -> tuple[str, ...]:
        if one.words is not None:
            return one.words
        return (*stage.shell, one.text) if one.text else ()

    def _declared(self, one: Instruction, known: Mapping[str, str], above: Mapping[str, str]) -> dict[str, str]:
        """Return the values of an ARG: the build's argument, else its default, else that of an ARG before FROM."""
        found: dict[str, str] = {}
        for word in self._words(one.text):
            name, equals, default = word.partition("=")
            if name in self._arguments:
                found[name] = self._arguments[name]
            elif equals:
                found[name] = self._expand(default, {**known, **found})
            elif name in above:
                found[name] = above[name]
        return found

    def _pairs(self, text: str, known: Mapping[str, str]) -> dict[str, str]:
        words = self._words(text)
        if words and "=" not in words[0]:  # the old form: ENV NAME the rest of the line
            name, _, value = text.partition(" ") if " " in text else text.partition("\t")
            return {name: self._expand(value.strip(), known)}
        pairs = (word.partition("=") for word in words)
        return {self._expand(name, known): self._expand(value, known) for name, equals, value in pairs if equals}

    def _words(self, text: str) -> list[str]:
        """Split at blanks outside quotes; quotes and escapes stay."""
        words: list[str] = []
        word, quote, skip = "", "", False
        for character in text:
            if skip:
                word, skip = word + character, False
            elif character == self._escape and quote != "'":
                word, skip = word + character, True
            elif quote:
                word, quote = word + character, "" if character == quote else quote
            elif character in "\"'":
                word, quote = word + character, character
            elif character.isspace():
                words, word = ([*words, word] if word else words), ""
            else:
                word += character
        return [*words, word] if word else words

    def _expand(self, text: str, known: Mapping[str, str], *, quotes: bool = True) -> str:
        """Replace variables, outside single quotes; with `quotes`, quotes and escapes go, as in a value of ENV."""
        return "".join(self._expanded(text, known, quotes))

    def _expanded(self, text: str, known: Mapping[str, str], quotes: bool) -> Iterator[str]:
        at, quote = 0, ""
        while at < len(text):
            character = text[at]
            if character == self._escape and quote != "'" and at + 1 < len(text):
                following = text[at + 1]
                keep = quote == '"' and following not in f'"${self._escape}'
                yield text[at : at + 2] if keep or not (quotes or following == "$") else following
                at += 2
            elif character in "\"'" and quote in ("", character):
                quote = "" if quote else character
                yield "" if quotes else character
                at += 1
            elif character == "$" and quote != "'" and (found := _VARIABLE.match(text, at)):
                yield self._value(found, known)
                at = found.end()
            else:
                yield character
                at += 1

    def _value(self, found: re.Match[str], known: Mapping[str, str]) -> str:
        value = known.get(found["plain"] or found["name"])
        operator, argument = found["op"] or "", found["arg"] or ""
        present = value is not None and not (":" in operator and value == "")
        match operator[-1:]:
            case "-":
                return (value or "") if present else self._expand(argument, known)
            case "+":
                return self._expand(argument, known) if present else ""
            case "#" | "%" if value:
                return _cut(value, operator, self._expand(argument, known))
        return value or ""


def _cut(value: str, operator: str, pattern: str) -> str:
    """`${X#p}`, `${X##p}`, `${X%p}`, `${X%%p}`: without the shortest or longest piece at the start or the end."""
    start = operator[0] == "#"
    lengths = range(len(value) + 1)
    piece: Callable[[int], str] = (lambda n: value[:n]) if start else (lambda n: value[len(value) - n :])
    for length in reversed(lengths) if len(operator) > 1 else lengths:
        if fnmatch.fnmatchcase(piece(length), pattern):
            return value[length:] if start else value[: len(value) - length]
    return value
