"""Which commands a shell script runs, as far as its text and the environment say it."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from devctl.discovery.shell import Block, Case, Function, Group, If, Loop, Node, Simple, Step, Unreadable, parse

UNKNOWN = "\ue000"
"""Stands in a value that only running the script would tell."""
_OF_THE_BASE = re.compile(r"HOME|HOSTNAME|LANG|LC_\w+|PATH|PWD|PYTHON\w*|SHELL|TERM|UID|EUID|USER|RANDOM|SECONDS")
_PARAMETER = re.compile(
    r"(?P<count>#)?(?P<name>[A-Za-z_]\w*|\d+|[@*#?$!-])(?P<index>\[[^]]*\])?(?P<op>:?[-=?+]|##?|%%?)?(?P<arg>.*)",
    re.DOTALL,
)
_ASSIGNMENT = re.compile(r"(?P<name>[A-Za-z_]\w*)(?P<add>\+?)=(?P<value>.*)", re.DOTALL)
_DECLARES = {"declare", "export", "local", "readonly", "typeset"}
_DEEPEST = 8
_MOST_ROUNDS = 20
_MOST_RUNS = 400

Value = str | tuple[str, ...]
Status = bool | None
"""Of a test: whether it holds; None: only running it would tell. Any other command counts as None, too."""


@dataclass(frozen=True)
class Run:
    """One command of a script."""

    words: tuple[str, ...]
    line: int
    may: bool
    """It runs only under a condition that no file answers."""
    folder: str
    """The working directory; "" where nothing says it."""
    environment: Mapping[str, str] = field(default_factory=dict)


def commands(
    text: str,
    environment: Mapping[str, str],
    *,
    arguments: Sequence[str] = (),
    folder: str = "",
    read: Callable[[str, str], str | None] = lambda path, folder: None,
) -> list[Run]:
    """Return what runs, in order; `read` gives the text of a file that the script takes in with `source`."""
    walk = _Walk(dict(environment), tuple(arguments), folder, read)
    try:
        walk.block(parse(text), may=False)
    except (_Ended, Unreadable):
        pass
    return walk.runs


class _Ended(Exception):  # it never leaves this file: exec, or exit
    """Nothing of the script runs after this."""


class _Walk:
    def __init__(
        self, values: dict[str, str], arguments: tuple[str, ...], folder: str, read: Callable[[str, str], str | None]
    ) -> None:
        self.runs: list[Run] = []
        self._values: dict[str, Value] = {**values}
        self._exported = {*values}
        self._arguments, self._folder, self._read = arguments, folder, read
        self._functions: dict[str, Block] = {}
        self._depth = self._depth_of_calls = 0
        self._left = False
        """Whether the script may have ended before, in a branch that may run."""

    def block(self, block: Block, *, may: bool) -> Status:
        status: Status = None
        test = False
        for step in block.steps:
            if step.after == "&&" and status is False or step.after == "||" and status is True:
                continue
            doubtful = status is None and (step.after == "||" or (step.after == "&&" and test))
            left = self._left
            try:
                status = self._step(step, may or doubtful)
            except _Ended:
                if not doubtful:
                    raise
                status = None
                if step.after == "||":  # `… || exit`: that is how it fails, and not how it goes
                    self._left = left
            test = _is_test(step.node)
        return status

    def _step(self, step: Step, may: bool) -> Status:
        try:
            status = self._node(step.node, may or self._left)
        except _Ended:
            if step.background or step.after == "|" or isinstance(step.node, Group):
                return None
            raise
        return None if status is None else status != step.negated

    def _node(self, node: Node, may: bool) -> Status:
        self._depth += 1
        try:
            if self._depth > 6 * _DEEPEST or len(self.runs) > _MOST_RUNS:
                return None
            match node:
                case Simple():
                    return self._simple(node, may)
                case If():
                    return self._if(node, may)
                case Loop():
                    return self._loop(node, may)
                case Case():
                    return self._case(node, may)
                case Function():
                    self._functions[node.name] = node.body
                    return None
                case Group():
                    return self.block(node.body, may=may)
        finally:
            self._depth -= 1

    def _if(self, node: If, may: bool) -> Status:
        open_branches: list[Block] = []
        for condition, body in node.branches:
            holds = self.block(condition, may=may) if condition.steps else True
            if holds is False:
                continue
            if holds is True and not open_branches:
                return self.block(body, may=may)
            open_branches.append(body)
            if holds is True:
                break
        else:
            open_branches.append(Block())
        return self._one_of(open_branches)

    def _one_of(self, branches: Sequence[Block]) -> Status:
        """Walk each of these: one of them runs. What they leave behind differently is unknown after."""
        before, folder, ends = dict(self._values), self._folder, 0
        after: list[tuple[dict[str, Value], str]] = []
        for branch in branches:
            self._values, self._folder = dict(before), folder
            try:
                self.block(branch, may=True)
            except _Ended:
                ends += 1
                continue
            after.append((self._values, self._folder))
        if branches and ends == len(branches):
            raise _Ended
        names = {name for values, _ in after for name in values}
        self._values = {
            name: first if all(values.get(name) == first for values, _ in after) else f"{UNKNOWN}${name}"
            for name in names
            for first in [after[0][0].get(name, "")]
        }
        folders = {one for _, one in after}
        self._folder = folders.pop() if len(folders) == 1 else ""
        return None

    def _loop(self, node: Loop, may: bool) -> Status:
        if node.name:
            words = [word for written in node.words for word in self._expand(written)]
            for word in words[:_MOST_ROUNDS]:
                self._values[node.name] = word
                self.block(node.body, may=may or UNKNOWN in word)
            return None
        holds = self.block(node.condition, may=may)
        if holds is None or holds != node.until:
            self.block(node.body, may=may or holds is None)
        return None

    def _case(self, node: Case, may: bool) -> Status:
        word = " ".join(self._expand(node.word))
        open_branches: list[Block] = []
        for patterns, body in node.branches:
            expanded = [" ".join(self._expand(pattern, patterns=True)) for pattern in patterns]
            if UNKNOWN not in word and not any(UNKNOWN in pattern for pattern in expanded):
                if any(fnmatch.fnmatchcase(word, pattern) for pattern in expanded):
                    return self.block(body, may=may)
            else:
                open_branches.append(body)
                if "*" in expanded:
                    break
        else:
            if open_branches:
                open_branches.append(Block())
        return self._one_of(open_branches) if open_branches else None

    def _simple(self, node: Simple, may: bool) -> Status:
        written = [*node.words]
        own: dict[str, Value] = {}
        while written and (found := _ASSIGNMENT.fullmatch(written[0])):
            own[found["name"]] = self._assigned(found)
            written.pop(0)
        if not written:
            self._values |= own
            return None
        if written[0] in ("[[", "[", "test"):
            return self._test([*map(self._operand, written[1:])])
        words = [word for one in written for word in self._expand(one)]
        if not words:
            return None
        return self._command(words, written, own, node.line, may)

    def _command(self, words: list[str], written: list[str], own: dict[str, Value], line: int, may: bool) -> Status:
        name, rest = words[0], words[1:]
        if name in self._functions:
            self._call(name, rest, may)
            return None
        match name:
            case "true" | ":":
                return True
            case "false":
                return False
            case "exit" | "return" if name == "exit" or not self._depth_of_calls:
                return self._leave(may, good=rest[:1] in ([], ["0"]))
            case "cd":
                self._folder = "" if any(UNKNOWN in word for word in rest) else self._joined(rest[-1] if rest else "~")
            case "set":
                if "--" in rest:
                    self._arguments = tuple(rest[rest.index("--") + 1 :])
                elif rest and not rest[0].startswith(("-", "+")):
                    self._arguments = tuple(rest)
            case "shift":
                count = int(rest[0]) if rest and rest[0].isdigit() else 1
                self._arguments = self._arguments[count:]
            case "read":
                self._values |= {word: f"{UNKNOWN}${word}" for word in rest if re.fullmatch(r"[A-Za-z_]\w*", word)}
            case "eval":
                self._inside(" ".join(rest), may)
            case "." | "source":
                text = self._read(rest[0], self._folder) if rest else None
                if text is not None:
                    self._inside(text, may)
            case _ if name in _DECLARES:
                self._declare(name, written[1:])
            case "unset" | "trap" | "umask" | "ulimit" | "echo" | "printf" | "sleep" | "wait" | "alias" | "shopt":
                pass
            case "break" | "continue" | "return":
                pass
            case "exec":
                if rest:
                    self._ran(rest, line, may, own)
                    self._leave(may, good=True)
            case _:
                self._ran(words, line, may, own)
        return None

    def _call(self, name: str, rest: Sequence[str], may: bool) -> None:
        if self._depth_of_calls >= _DEEPEST:
            return
        before, self._arguments = self._arguments, tuple(rest)
        self._depth_of_calls += 1
        try:
            self.block(self._functions[name], may=may)
        finally:
            self._depth_of_calls -= 1
            self._arguments = before

    def _inside(self, text: str, may: bool) -> None:
        try:
            self.block(parse(text), may=may)
        except Unreadable:
            return

    def _leave(self, may: bool, *, good: bool) -> Status:
        if may and good:
            self._left = True
        raise _Ended

    def _ran(self, words: Iterable[str], line: int, may: bool, own: Mapping[str, Value]) -> None:
        known = {**{name: self._values[name] for name in self._exported if name in self._values}, **own}
        environment = {name: value for name, value in known.items() if isinstance(value, str)}
        self.runs.append(Run(tuple(words), line, may or self._left, self._folder, environment))

    def _declare(self, name: str, written: Sequence[str]) -> None:
        for word in written:
            if found := _ASSIGNMENT.fullmatch(word):
                self._values[found["name"]] = self._assigned(found)
            if name == "export" and not word.startswith("-"):
                self._exported.add(word.partition("=")[0])

    def _assigned(self, found: re.Match[str]) -> Value:
        given, before = found["value"], self._values.get(found["name"], "")
        if given.startswith("(") and given.endswith(")"):
            words = tuple(word for one in _split(given[1:-1]) for word in self._expand(one))
            return (*(before if isinstance(before, tuple) else ()), *words) if found["add"] else words
        value = " ".join(self._expand(given, split=False))
        return f"{before}{value}" if found["add"] and isinstance(before, str) else value

    def _joined(self, folder: str) -> str:
        if folder.startswith("~") or folder == "-":
            return ""
        if folder.startswith("/"):
            return posixpath.normpath(folder)
        return posixpath.normpath(posixpath.join(self._folder, folder)) if self._folder else ""

    # Tests

    def _operand(self, written: str) -> str:
        if written in ("&&", "||", "(", ")", "]]", "]", "!", "<", ">"):
            return written
        return " ".join(self._expand(written, split=False))

    def _test(self, words: list[str]) -> Status:
        if words[-1:] in (["]"], ["]]"]):
            words = words[:-1]
        for operators, decisive in ((("||", "-o"), True), (("&&", "-a"), False)):
            for operator in operators:
                if operator in words[1:-1]:
                    at = words.index(operator, 1)
                    sides = [self._test(words[:at]), self._test(words[at + 1 :])]
                    if decisive in sides:
                        return decisive
                    return None if None in sides else not decisive
        if words[:1] == ["!"] and len(words) > 1:
            holds = self._test(words[1:])
            return None if holds is None else not holds
        if any(UNKNOWN in word for word in words) or len(words) > 3:
            return None
        match words:
            case []:
                return False
            case [word]:
                return bool(word)
            case ["-z", word]:
                return not word
            case ["-n", word]:
                return bool(word)
            case [left, "=" | "==", right]:
                return fnmatch.fnmatchcase(left, right)
            case [left, "!=", right]:
                return not fnmatch.fnmatchcase(left, right)
            case [left, "-eq" | "-ne" | "-gt" | "-ge" | "-lt" | "-le" as operator, right] if _number(left, right):
                a, b = int(left), int(right)
                return {"-eq": a == b, "-ne": a != b, "-gt": a > b, "-ge": a >= b, "-lt": a < b, "-le": a <= b}[
                    operator
                ]
        return None

    # Words

    def _expand(self, written: str, *, split: bool = True, patterns: bool = False) -> list[str]:
        """Return the words that one written word becomes."""
        fields: list[str] = []
        current: list[str] = []
        quoted = False

        def add(value: Value, whole: bool) -> None:
            pieces = value if isinstance(value, tuple) else [value] if whole or not split else value.split()
            if isinstance(value, str) and not whole and split and value[:1].isspace() and current:
                fields.append("".join(current))
                current.clear()
            for index, piece in enumerate(pieces):
                if index:
                    fields.append("".join(current))
                    current.clear()
                current.append(piece)

        at, inside = 0, False
        while at < len(written):
            character = written[at]
            if character == "\\" and at + 1 < len(written):
                following = written[at + 1]
                keep = inside and following not in '$`"\\\n'
                current.append(f"\\{following}" if keep else "" if following == "\n" else following)
                at += 2
            elif character == "'" and not inside:
                end = written.find("'", at + 1)
                end = len(written) if end < 0 else end
                current.append(written[at + 1 : end])
                quoted, at = True, end + 1
            elif character == '"':
                inside, quoted, at = not inside, True, at + 1
            elif character == "`":
                end = written.find("`", at + 1)
                current.append(f"{UNKNOWN}`…`")
                at = len(written) if end < 0 else end + 1
            elif character == "$":
                value, at = self._parameter(written, at)
                if not (isinstance(value, tuple) and not value):
                    quoted = quoted or inside
                    add(value, inside)
                elif inside and written in ('"$@"', '"${@}"') or not current and not fields:
                    quoted = False
            else:
                current.append(character)
                at += 1
        if current and "".join(current) or quoted:
            fields.append("".join(current))
        return fields

    def _parameter(self, written: str, at: int) -> tuple[Value, int]:
        """Return the value of what begins with this dollar sign, and where it ends."""
        rest = written[at + 1 :]
        if rest.startswith("("):
            end = _end(written, at + 2, "(", ")")
            return f"{UNKNOWN}{written[at:end] if end - at < 40 else '$(…)'}", end
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
        name, operator, argument = found["name"], found["op"] or "", found["arg"]
        if found["count"] or (argument and not operator):
            return f"{UNKNOWN}{written}"
        value = self._lookup(name)
        if found["index"] in ("[@]", "[*]") and isinstance(value, str):
            value = (value,) if value else ()
        if found["index"] and found["index"] not in ("[@]", "[*]"):
            return f"{UNKNOWN}{written}"
        empty = value is None or (":" in operator and not value)
        match operator[-1:]:
            case "-" | "=":
                return " ".join(self._expand(argument, split=False)) if empty else (value or "")
            case "+":
                return "" if empty else " ".join(self._expand(argument, split=False))
            case "#" | "%" if isinstance(value, str) and UNKNOWN not in value:
                return _cut(value, operator, " ".join(self._expand(argument, split=False)))
        if value is None:
            return f"{UNKNOWN}{written}" if _OF_THE_BASE.fullmatch(name) else ""
        return value

    def _lookup(self, name: str) -> Value | None:
        if name in ("@", "*"):
            return self._arguments
        if name == "#":
            return str(len(self._arguments))
        if name == "0":
            return f"{UNKNOWN}$0"
        if name.isdigit():
            return self._arguments[int(name) - 1] if int(name) <= len(self._arguments) else None
        if name in "?$!-":
            return f"{UNKNOWN}${name}"
        return self._values.get(name)


def _is_test(node: Node) -> bool:
    return isinstance(node, Simple) and node.words[:1] in (("[",), ("[[",), ("test",))


def _number(*words: str) -> bool:
    return all(re.fullmatch(r"-?\d+", word) for word in words)


def _split(text: str) -> Iterator[str]:
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
