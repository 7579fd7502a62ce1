"""The variables of a shell script, and what its written words become with them."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence

from devctl.discovery.shell import Simple, parse

UNKNOWN = "\ue000"
"""Stands in a value that only running the script would tell."""
Value = str | tuple[str, ...]

_OF_THE_BASE = re.compile(r"HOME|HOSTNAME|LANG|LC_\w+|PATH|PWD|PYTHON\w*|SHELL|TERM|UID|EUID|USER|RANDOM|SECONDS")
"""What an image or the shell sets, whatever the files say; any other name that nobody sets is empty."""
_PARAMETER = re.compile(
    r"(?P<count>#)?(?P<name>[A-Za-z_]\w*|\d+|[@*#?$!-])(?P<index>\[[^]]*\])?(?P<op>:?[-=?+]|##?|%%?)?(?P<arg>.*)",
    re.DOTALL,
)
_PIECE = re.compile(
    r"""\\(?P<escaped>.)|'(?P<single>[^']*)'?|(?P<double>")|(?P<tick>`[^`]*`?)|(?P<dollar>\$)""", re.DOTALL
)
_NAMED = re.compile(r"\$\{?([A-Za-z_]\w*)")
_MOST_VALUES = 4
_ALL = ("[@]", "[*]")


class Variables:
    """Values by their names; an unknown one is a text that begins with the mark UNKNOWN."""

    def __init__(self, values: Mapping[str, str], arguments: Sequence[str]) -> None:
        self.values: dict[str, Value] = {**values}
        self.arguments = tuple(arguments)
        self._exported = {*values}
        self._several: dict[str, tuple[Value, ...]] = {}
        """Name -> the values that it may have, where a condition decides between them."""

    def export(self, name: str) -> None:
        """From now on, commands see it."""
        self._exported.add(name)

    def exported(self, own: Mapping[str, Value]) -> dict[str, str]:
        """Return what a command sees, its own variables over the exported ones."""
        known = {**{name: self.values[name] for name in self._exported if name in self.values}, **own}
        return {name: value for name, value in known.items() if isinstance(value, str)}

    def forget(self, name: str) -> None:
        """Its value is what nobody can read here."""
        self.values[name] = f"{UNKNOWN}${name}"
        self._several.pop(name, None)

    def choice(self, written: Sequence[str]) -> tuple[str, tuple[Value, ...]] | None:
        """The first variable in these words that may have several values, and these."""
        for word in written:
            for name in _NAMED.findall(word):
                if name in self._several and self.values.get(name) == f"{UNKNOWN}${name}":
                    return name, self._several[name]
        return None

    def merge(self, ways: Sequence[Mapping[str, Value]]) -> None:
        """One of these ways was gone: what they leave behind differently is unknown."""
        names = {name for values in ways for name in values}
        self.values = {}
        for name in names:
            first = ways[0].get(name)
            if first is not None and all(values.get(name) == first for values in ways):
                self.values[name] = first
            else:
                self.forget(name)
                found = dict.fromkeys(values.get(name, "") for values in ways)
                if len(found) <= _MOST_VALUES and not any(UNKNOWN in one for value in found for one in value):
                    self._several[name] = tuple(found)

    def assigned(self, name: str, given: str, *, added: bool) -> Value:
        """Return the value of `NAME=given`, `NAME+=given` or `NAME=(given)`."""
        before = self.values.get(name, "")
        if given.startswith("(") and given.endswith(")"):
            words = tuple(word for one in _written(given[1:-1]) for word in self.expand(one))
            return (*(before if isinstance(before, tuple) else ()), *words) if added else words
        return f"{before}{self.text(given)}" if added and isinstance(before, str) else self.text(given)

    def text(self, written: str) -> str:
        """Return what a written word becomes where it stays one word."""
        return " ".join(self.expand(written, split=False))

    def expand(self, written: str, *, split: bool = True) -> list[str]:
        """Return the words that one written word becomes."""
        fields = _Fields(split)
        at = 0
        while at < len(written):
            found = _PIECE.match(written, at)
            if found is None or (found["single"] is not None and fields.inside):
                fields.append(written[at])
                at += 1
                continue
            at = found.end()
            if found["dollar"]:
                value, at = self._parameter(written, at - 1)
                fields.value(value)
            else:
                fields.piece(found)
        return fields.result()

    def _parameter(self, written: str, at: int) -> tuple[Value, int]:
        """Return the value of what begins with this dollar sign, and where it ends."""
        rest = written[at + 1 :]
        if rest.startswith("("):
            end = _end(written, at + 2, "(", ")")
            return f"{UNKNOWN}{written[at:end]}", end
        if rest.startswith("{"):
            end = _end(written, at + 2, "{", "}")
            found = _PARAMETER.fullmatch(written[at + 2 : end - 1])
            return (f"{UNKNOWN}{written[at:end]}" if not found else self._value(found, written[at:end])), end
        plain = re.match(r"[A-Za-z_]\w*|[\d@*#?$!-]", rest)
        if not plain:
            return "$", at + 1
        found = _PARAMETER.fullmatch(plain[0])
        assert found is not None, "a name is a parameter"
        return self._value(found, f"${plain[0]}"), at + 1 + plain.end()

    def _value(self, found: re.Match[str], written: str) -> Value:
        name, index, operator = found["name"], found["index"], found["op"] or ""
        if found["count"] or (found["arg"] and not operator) or (index and index not in _ALL):
            return f"{UNKNOWN}{written}"
        value = self._lookup(name)
        if index and isinstance(value, str):
            value = (value,) if value else ()
        empty = value is None or (":" in operator and not value)
        if operator[-1:] in ("-", "="):
            return self.text(found["arg"]) if empty else (value or "")
        if operator[-1:] == "+":
            return "" if empty else self.text(found["arg"])
        if operator[-1:] in ("#", "%") and isinstance(value, str) and UNKNOWN not in value:
            return _cut(value, operator, self.text(found["arg"]))
        if value is None:
            return f"{UNKNOWN}{written}" if _OF_THE_BASE.fullmatch(name) else ""
        return value

    def _lookup(self, name: str) -> Value | None:
        if name in ("@", "*"):
            return self.arguments
        if name == "#":
            return str(len(self.arguments))
        if name in "0?$!-":
            return f"{UNKNOWN}${name}"
        if name.isdigit():
            return self.arguments[int(name) - 1] if int(name) <= len(self.arguments) else None
        return self.values.get(name)


class _Fields:
    """The words that come out, while the written one is gone through."""

    def __init__(self, split: bool) -> None:
        self.inside = False
        """In double quotes."""
        self._split, self._quoted = split, False
        self._nothing = False
        """These quotes hold the arguments of a script that has none: "$@" is no word then."""
        self._words: list[str] = []
        self._current = ""

    def append(self, text: str) -> None:
        self._current += text

    def piece(self, found: re.Match[str]) -> None:
        """A quote, what is in single ones, or an escaped character."""
        if found["double"]:
            self._quoted = self._quoted or (self.inside and not self._nothing)
            self.inside, self._nothing = not self.inside, False
        elif found["single"] is not None:
            self._current, self._quoted = self._current + found["single"], True
        elif found["tick"]:
            self._current += f"{UNKNOWN}{found['tick']}"
        else:
            following = found["escaped"]
            keep = self.inside and following not in '$`"\\\n'
            self._current += f"\\{following}" if keep else following.replace("\n", "")

    def value(self, value: Value) -> None:
        """A variable: outside quotes it falls into words, a list of values always does."""
        if isinstance(value, tuple):
            pieces = [*value]
            self._nothing = not pieces
        else:
            pieces = [value] if self.inside or not self._split else value.split()
        for index, piece in enumerate(pieces):
            if index:
                self._words.append(self._current)
                self._current = ""
            self._current += piece

    def result(self) -> list[str]:
        return [*self._words, self._current] if self._current or self._quoted else self._words


def readable(text: str) -> str:
    """Return a text without the marks of what is unknown in it: for people, and for other readers."""
    return text.replace(UNKNOWN, "")


def _written(text: str) -> Iterator[str]:
    """Yield the written words of an array."""
    for step in parse(text.replace("\n", " ")).steps:
        if isinstance(step.node, Simple):
            yield from step.node.words


def _end(text: str, at: int, opening: str, closing: str) -> int:
    depth = 1
    while at < len(text) and depth:
        depth += {opening: 1, closing: -1}.get(text[at], 0)
        at += 1
    return at


def _cut(value: str, operator: str, pattern: str) -> str:
    lengths = range(len(value) + 1)
    for length in reversed(lengths) if len(operator) > 1 else lengths:
        piece = value[:length] if operator[0] == "#" else value[len(value) - length :]
        if fnmatch.fnmatchcase(piece, pattern):
            return value[length:] if operator[0] == "#" else value[: len(value) - length]
    return value
