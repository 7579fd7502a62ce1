"""Which commands a shell script runs, as far as its text and the environment say it."""

from __future__ import annotations

import contextlib
import fnmatch
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from devctl.discovery import condition
from devctl.discovery.shell import Block, Case, Function, Group, If, Loop, Node, Simple, Step, Unreadable, parse
from devctl.discovery.variables import UNKNOWN, Value, Variables

_ASSIGNMENT = re.compile(r"(?P<name>[A-Za-z_]\w*)(?P<add>\+?)=(?P<value>.*)", re.DOTALL)
_TESTS = ("[", "[[", "test")
_SIGNS = ("&&", "||", "(", ")", "]]", "]", "!", "<", ">")
_SILENT = {"alias", "break", "continue", "echo", "printf", "shopt", "sleep", "trap", "ulimit", "umask", "unset", "wait"}
"""Commands that start nothing and leave nothing behind."""
_DEEPEST = 8
_MOST_ROUNDS = 20
_MOST_RUNS = 400
_BEFORE_A_COMMAND = {"--", "-c", "eval", "exec", "export", "local", "nohup"}
_MOST_CHOICES = 2
"""Variables of one command that a condition gave their values."""

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
    walk = _Walk(Variables(environment, arguments), folder, read)
    with contextlib.suppress(_Ended, Unreadable):
        walk.block(parse(text), may=False)
    return walk.runs


class _Ended(Exception):  # it never leaves this file: exec, or exit
    """Nothing of the script runs after this."""


class _Returned(_Ended):
    """Nothing of the function runs after this."""


class _Walk:
    def __init__(self, variables: Variables, folder: str, read: Callable[[str, str], str | None]) -> None:
        self.runs: list[Run] = []
        self._variables, self._folder, self._read = variables, folder, read
        self._functions: dict[str, Block] = {}
        self._depth = self._depth_of_calls = self._choices = 0
        self._left = False
        """Whether the script may have ended before, in a branch that may run."""
        self._builtins: dict[str, Callable[[list[str], bool], Status]] = {
            **dict.fromkeys(("true", ":"), lambda rest, may: True),
            **dict.fromkeys(("false",), lambda rest, may: False),
            **dict.fromkeys(_SILENT, lambda rest, may: None),
            **dict.fromkeys((".", "source"), self._source),
            "cd": self._cd,
            "eval": lambda rest, may: self._inside(" ".join(rest), may),
            "exit": self._exit,
            "read": self._read_in,
            "return": self._return,
            "set": self._set,
            "shift": self._shift,
        }

    def block(self, block: Block, *, may: bool) -> Status:
        status: Status = None
        test = False
        for step in block.steps:
            if (step.after == "&&" and status is False) or (step.after == "||" and status is True):
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
        for asked, body in node.branches:
            holds = self.block(asked, may=may) if asked.steps else True
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
        variables = self._variables
        before, folder = dict(variables.values), self._folder
        after: list[tuple[dict[str, Value], str]] = []
        for branch in branches:
            variables.values, self._folder = dict(before), folder
            with contextlib.suppress(_Ended):
                self.block(branch, may=True)
                after.append((variables.values, self._folder))
        if not after:
            raise _Ended
        variables.merge([values for values, _ in after])
        folders = {one for _, one in after}
        self._folder = folders.pop() if len(folders) == 1 else ""
        return None

    def _loop(self, node: Loop, may: bool) -> Status:
        if node.name:
            words = [word for written in node.words for word in self._variables.expand(written)]
            for word in words[:_MOST_ROUNDS]:
                self._variables.values[node.name] = word
                self.block(node.body, may=may or UNKNOWN in word)
            return None
        holds = self.block(node.condition, may=may)
        if holds is None or holds != node.until:
            self.block(node.body, may=may or holds is None)
        return None

    def _case(self, node: Case, may: bool) -> Status:
        word = " ".join(self._variables.expand(node.word))
        open_branches: list[Block] = []
        for patterns, body in node.branches:
            expanded = [" ".join(self._variables.expand(pattern)) for pattern in patterns]
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
        chosen = self._variables.choice([*_deciding(node.words)])
        if chosen and self._choices < _MOST_CHOICES:
            return self._for_each(node, *chosen)
        written = [*node.words]
        own: dict[str, Value] = {}
        while written and (found := _ASSIGNMENT.fullmatch(written[0])):
            own[found["name"]] = self._assigned(found)
            written.pop(0)
        if not written:
            self._variables.values |= own
            return None
        if written[0] in _TESTS:
            words = [word if word in _SIGNS else self._variables.text(word) for word in written[1:]]
            return condition.holds(words[:-1] if words[-1:] in (["]"], ["]]"]) else words)
        if written[0] in ("declare", "export", "local", "readonly", "typeset"):
            return self._declare(written[0], written[1:])
        words = [word for one in written for word in self._variables.expand(one)]
        return self._command(words, own, node.line, may) if words else None

    def _for_each(self, node: Simple, name: str, values: Sequence[Value]) -> Status:
        """Walk a command once for each of the values that one of its variables may have."""
        variables = self._variables
        before = variables.values
        after: list[dict[str, Value]] = []
        self._choices += 1
        for value in values:
            variables.values = {**before, name: value}
            with contextlib.suppress(_Ended):
                self._simple(node, may=True)
                after.append(variables.values)
        self._choices -= 1
        if not after:
            raise _Ended
        variables.merge(after)
        return None

    def _command(self, words: list[str], own: dict[str, Value], line: int, may: bool) -> Status:
        name, rest = words[0], words[1:]
        if name in self._functions:
            return self._call(name, rest, may)
        if name in self._builtins:
            return self._builtins[name](rest, may)
        if name == "exec":
            if not rest:  # only redirections
                return None
            self._ran(rest, line, may, own)
            self._left = self._left or may
            raise _Ended
        self._ran(words, line, may, own)
        return None

    def _call(self, name: str, rest: Sequence[str], may: bool) -> Status:
        if self._depth_of_calls >= _DEEPEST:
            return None
        variables = self._variables
        before, variables.arguments = variables.arguments, tuple(rest)
        self._depth_of_calls += 1
        try:
            self.block(self._functions[name], may=may)
        except _Returned:
            pass
        finally:
            self._depth_of_calls -= 1
            variables.arguments = before
        return None

    def _inside(self, text: str, may: bool) -> Status:
        with contextlib.suppress(Unreadable):
            self.block(parse(text), may=may)
        return None

    def _source(self, rest: list[str], may: bool) -> Status:
        text = self._read(rest[0], self._folder) if rest else None
        return None if text is None else self._inside(text, may)

    def _cd(self, rest: list[str], may: bool) -> Status:
        folder = rest[-1] if rest else "~"
        if UNKNOWN in folder or folder.startswith("~") or folder == "-":
            self._folder = ""
        elif folder.startswith("/"):
            self._folder = posixpath.normpath(folder)
        elif self._folder:
            self._folder = posixpath.normpath(posixpath.join(self._folder, folder))
        return None

    def _set(self, rest: list[str], may: bool) -> Status:
        if "--" in rest:
            self._variables.arguments = tuple(rest[rest.index("--") + 1 :])
        elif rest and not rest[0].startswith(("-", "+")):
            self._variables.arguments = tuple(rest)
        return None

    def _shift(self, rest: list[str], may: bool) -> Status:
        count = int(rest[0]) if rest and rest[0].isdecimal() else 1
        self._variables.arguments = self._variables.arguments[count:]
        return None

    def _read_in(self, rest: list[str], may: bool) -> Status:
        for word in rest:
            if word.isidentifier():
                self._variables.forget(word)
        return None

    def _exit(self, rest: list[str], may: bool) -> Status:
        if rest[:1] in ([], ["0"]):
            self._left = self._left or may
        raise _Ended

    def _return(self, rest: list[str], may: bool) -> Status:
        if self._depth_of_calls:
            raise _Returned
        return self._exit(rest, may)

    def _ran(self, words: Iterable[str], line: int, may: bool, own: Mapping[str, Value]) -> None:
        environment = self._variables.exported(own)
        self.runs.append(Run(tuple(words), line, may or self._left, self._folder, environment))

    def _declare(self, name: str, written: Sequence[str]) -> Status:
        for word in written:
            if found := _ASSIGNMENT.fullmatch(word):
                self._variables.values[found["name"]] = self._assigned(found)
            if name == "export" and not word.startswith("-"):
                self._variables.export(word.partition("=")[0])
        return None

    def _assigned(self, found: re.Match[str]) -> Value:
        return self._variables.assigned(found["name"], found["value"], added=bool(found["add"]))


def _deciding(words: Sequence[str]) -> Iterator[str]:
    """The words of a command that say what runs, and not with which arguments."""
    if words[0] in _TESTS:
        return
    begins = True
    for word in words:
        assigns = begins and _ASSIGNMENT.fullmatch(word)
        if begins:
            yield word
        begins = bool(assigns) or word in _BEFORE_A_COMMAND


def _is_test(node: Node) -> bool:
    return isinstance(node, Simple) and node.words[:1] != () and node.words[0] in _TESTS
