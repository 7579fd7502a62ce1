"""A RUN of a Dockerfile as simple commands, or the part of it that is more than that: pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from devctl.interpolation import InterpolationError, interpolate

_ENDS = ("&&", ";", "||", "\n")
_GROUPS = re.compile(r"^\s*(if|for|while|case|until|function|\{|\()(?=\s|$)")
_COMMENT = re.compile(r"`#[^`]*`")


@dataclass(frozen=True)
class Command:
    """One simple command with what was exported before it; `words` is empty where it is more than one."""

    text: str
    words: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    always: bool = True
    """False: what a `||` runs only if the command before it fails."""


def commands(text: str, known: Mapping[str, str]) -> Iterator[Command]:
    """Split a shell's text; `known` are the variables that ARG and ENV set."""
    text = _COMMENT.sub("", text)
    if _GROUPS.match(text):
        yield Command(text)
        return
    exported: dict[str, str] = {}
    always = True
    for part, end in _parts(text):
        one = _simple(part, {**known, **exported})
        if one is not None and one.words[:1] == ("export",):
            exported |= dict(word.split("=", 1) for word in one.words[1:] if "=" in word)
        elif one is not None and not one.words and one.environment:  # X=1 alone: a variable of this shell
            exported |= one.environment
        elif part.strip():
            known_here = {**exported, **(one.environment if one else {})}
            yield Command(part.strip(), one.words if one else (), known_here, always)
        always = end != "||"


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """Split at the ends of commands, outside quotes and substitutions; each with the end that follows."""
    part, quote, depth, at = "", "", 0, 0
    while at < len(text):
        character = text[at]
        if character == "\\" and quote != "'":
            part, at = part + text[at : at + 2], at + 2
            continue
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"`":
            quote = character
        elif character in "({":
            depth += 1
        elif character in ")}":
            depth -= 1
        elif depth == 0 and (end := next((end for end in _ENDS if text.startswith(end, at)), "")):
            yield part, end
            part, at = "", at + len(end)
            continue
        part, at = part + character, at + 1
    yield part, ""


def _simple(part: str, known: Mapping[str, str]) -> Command | None:
    """Return the words of a command without pipes, redirections to files, substitutions and keywords; else None."""
    if _GROUPS.match(part):
        return None
    quiet = re.sub(r"(?:[12&]?>{1,2}\s*(?:/dev/null|&[12]))", " ", part)
    if re.search(r"[`|<>&()]|\$\(", re.sub(r"'[^']*'|\"[^\"`$]*\"|\\.", "", quiet)):
        return None
    try:
        words = shlex.split(_filled(quiet, known))
    except (ValueError, InterpolationError):
        return None
    environment: dict[str, str] = {}
    while words and (found := re.fullmatch(r"([A-Za-z_]\w*)=(.*)", words[0], re.DOTALL)):
        environment[found[1]] = found[2]
        words = words[1:]
    return Command(part, tuple(words), environment)


def _filled(text: str, known: Mapping[str, str]) -> str:
    """Replace variables outside single quotes, as far as their values are known."""
    pieces = re.split(r"('[^']*')", text)
    return "".join(piece if piece.startswith("'") else interpolate(_kept(piece), known) for piece in pieces)


def _kept(piece: str) -> str:
    """Escape what is a dollar sign for the shell, too, and not the start of a variable."""
    return re.sub(r"\\\$|\$(?![A-Za-z_{])", "$$", piece)
