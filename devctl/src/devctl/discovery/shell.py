"""A shell script as a tree: as much of the language as start scripts of containers are written in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

_OPERATORS = ("&&", "||", ";;&", ";;", ";&", "|&", ";", "|", "&", "(", ")")
_REDIRECTION = re.compile(r"&>>?|\d*(?:<<<|<<-?|>>|<>|>&|<&|>\||>|<)")
_NAME = re.compile(r"[A-Za-z_]\w*")
_ARRAY = re.compile(r"[A-Za-z_]\w*\+?=\(")
_DEEPEST = 60


class Unreadable(ValueError):
    """Not a shell script, or one that is written in another way than this reader knows."""


@dataclass(frozen=True)
class Token:
    """A word as it is written, quotes included, or an operator; a line break is the operator of that name."""

    text: str
    line: int
    operator: bool = False


@dataclass(frozen=True)
class Simple:
    """One command: its words as they are written. `[[ … ]]` is one too."""

    words: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class If:
    """Pairs of a condition and what runs under it; the last condition is empty where it is `else`."""

    branches: tuple[tuple[Block, Block], ...]


@dataclass(frozen=True)
class Loop:
    """while, until and for; a `for` has a name and words instead of a condition."""

    condition: Block
    body: Block
    until: bool = False
    name: str = ""
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """A word, and for each branch its patterns and what runs."""

    word: str
    branches: tuple[tuple[tuple[str, ...], Block], ...]


@dataclass(frozen=True)
class Function:
    """A definition; nothing in it runs before somebody calls it."""

    name: str
    body: Block


@dataclass(frozen=True)
class Group:
    """`( … )` and `{ … }`."""

    body: Block


Node = Simple | If | Loop | Case | Function | Group


@dataclass(frozen=True)
class Step:
    """One node, and how it hangs together with the one before."""

    node: Node
    after: str = ""
    """&&, ||, | or ""."""
    negated: bool = False
    background: bool = False


@dataclass(frozen=True)
class Block:
    """Steps, one after the other."""

    steps: tuple[Step, ...] = field(default=())


def parse(text: str) -> Block:
    """Return the tree of a script; Unreadable for what is none."""
    parser = _Parser([*_tokens(text)])
    try:
        block = parser.block(())
    except RecursionError:
        raise Unreadable("nested too deep") from None
    if parser.at < len(parser.tokens):
        raise Unreadable(f"line {parser.tokens[parser.at].line}: {parser.tokens[parser.at].text}")
    return block


def _tokens(text: str) -> Iterator[Token]:
    at, line = 0, 1
    awaited: list[tuple[str, bool]] = []
    """Here-documents whose text begins on the next line."""
    while at < len(text):
        character = text[at]
        if character == "\n":
            yield Token("\n", line, operator=True)
            at, line = at + 1, line + 1
            at, line = _after_documents(text, at, line, awaited)
        elif text.startswith("\\\n", at):
            at, line = at + 2, line + 1
        elif character.isspace():
            at += 1
        elif character == "#":
            at = _index(text, "\n", at)
        elif found := _REDIRECTION.match(text, at):  # what is read or written is no word of the command
            begin = _skip_blanks(text, found.end())
            at = _word_end(text, begin)
            if found[0].endswith(("<<", "<<-")):
                awaited.append((re.sub(r"[\\'\"]", "", text[begin:at]), found[0].endswith("-")))
        elif operator := next((one for one in _OPERATORS if text.startswith(one, at)), ""):
            yield Token(operator, line, operator=True)
            at += len(operator)
        else:
            end = _word_end(text, at)
            if end == at:
                raise Unreadable(f"line {line}: {character}")
            yield Token(text[at:end], line)
            line += text.count("\n", at, end)
            at = end


def _after_documents(text: str, at: int, line: int, awaited: list[tuple[str, bool]]) -> tuple[int, int]:
    while awaited and at < len(text):
        name, tabs = awaited[0]
        end = _index(text, "\n", at)
        given = text[at:end].lstrip("\t") if tabs else text[at:end]
        at, line = end + 1, line + 1
        if given == name:
            awaited.pop(0)
    return min(at, len(text)), line


def _skip_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t":
        at += 1
    return at


def _index(text: str, wanted: str, at: int) -> int:
    found = text.find(wanted, at)
    return len(text) if found < 0 else found


def _word_end(text: str, at: int) -> int:
    """Return where this word ends: quotes, `$( … )`, `${ … }` and arrays are inside it."""
    if found := _ARRAY.match(text, at):
        return _closed(text, found.end(), "(", ")")
    while at < len(text):
        character = text[at]
        if character == "\\":
            at += 2
        elif character == "'":
            at = _index(text, "'", at + 1) + 1
        elif character == '"':
            at = _double_quoted(text, at + 1)
        elif character == "`":
            at = _index(text, "`", at + 1) + 1
        elif text.startswith(("$(", "<(", ">("), at):
            at = _closed(text, at + 2, "(", ")")
        elif text.startswith("${", at):
            at = _closed(text, at + 2, "{", "}")
        elif character.isspace() or character in ";|&()<>":
            break
        else:
            at += 1
    return min(at, len(text))


def _double_quoted(text: str, at: int) -> int:
    while at < len(text):
        if text[at] == "\\":
            at += 2
        elif text[at] == '"':
            return at + 1
        elif text.startswith("$(", at):
            at = _closed(text, at + 2, "(", ")")
        elif text.startswith("${", at):
            at = _closed(text, at + 2, "{", "}")
        else:
            at += 1
    raise Unreadable("a quote is not closed")


def _closed(text: str, at: int, opening: str, closing: str) -> int:
    depth = 1
    while at < len(text):
        character = text[at]
        if character == "\\":
            at += 1
        elif character == "'":
            at = _index(text, "'", at + 1)
        elif character == '"':
            at = _double_quoted(text, at + 1) - 1
        elif character == opening:
            depth += 1
        elif character == closing:
            depth -= 1
            if not depth:
                return at + 1
        at += 1
    raise Unreadable(f"a {opening} is not closed")


class _Parser:
    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens, self.at, self._depth = tokens, 0, 0

    def block(self, ends: Sequence[str]) -> Block:
        """Read steps until one of these words, which stays."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise Unreadable("nested too deep")
        steps: list[Step] = []
        after = ""
        while (token := self._peek()) is not None:
            if token.operator and token.text in ("\n", ";", "&"):
                if token.text == "&" and steps:
                    steps[-1] = Step(steps[-1].node, steps[-1].after, steps[-1].negated, background=True)
                self.at += 1
                continue
            if token.text in ends:
                break
            if token.operator and token.text in ("&&", "||", "|", "|&"):
                after, self.at = token.text[:2].replace("|&", "|"), self.at + 1
                continue
            negated = not token.operator and token.text == "!"
            self.at += negated
            steps.append(Step(self._node(), after, negated))
            after = ""
        self._depth -= 1
        return Block(tuple(steps))

    def _node(self) -> Node:
        token = self._peek()
        if token is None:
            raise Unreadable("it ends in the middle of a command")
        if token.operator:
            if token.text != "(":
                raise Unreadable(f"line {token.line}: {token.text}")
            return Group(self._inside(")"))
        word: dict[str, Callable[[], Node]] = {
            "if": self._if,
            "while": self._while,
            "until": self._while,
            "for": self._for,
            "case": self._case,
            "{": lambda: Group(self._inside("}")),
        }
        if token.text in word:
            return word[token.text]()
        if token.text == "function" or self._is_operator(1, "("):
            return self._function()
        return self._simple()

    def _inside(self, end: str) -> Block:
        self.at += 1
        body = self.block((end,))
        self._expect(end)
        return body

    def _simple(self) -> Simple:
        first = self.tokens[self.at]
        words: list[str] = []
        test = first.text == "[["
        while (token := self._peek()) is not None:
            if token.operator and not (test and token.text != "\n"):
                break
            words.append(token.text)
            self.at += 1
            if test and token.text == "]]":
                break
        return Simple(tuple(words), first.line)

    def _if(self) -> If:
        branches: list[tuple[Block, Block]] = []
        self.at += 1
        while True:
            condition = self.block(("then",))
            self._expect("then")
            branches.append((condition, self.block(("elif", "else", "fi"))))
            end = self._next()
            if end == "else":
                branches.append((Block(), self.block(("fi",))))
                self._expect("fi")
            if end != "elif":
                return If(tuple(branches))

    def _while(self) -> Loop:
        until = self._next() == "until"
        condition = self.block(("do",))
        self._expect("do")
        body = self.block(("done",))
        self._expect("done")
        return Loop(condition, body, until=until)

    def _for(self) -> Loop:
        self.at += 1
        if self._is_operator(0, "("):
            raise Unreadable("for (( … ))")
        name, words = self._next(), ['"$@"']
        self._skip_lines()
        token = self._peek()
        if token is not None and token.text == "in":
            self.at += 1
            words = []
            while (token := self._peek()) is not None and not token.operator:
                words.append(self._next())
        self._skip_lines(";")
        self._expect("do")
        body = self.block(("done",))
        self._expect("done")
        return Loop(Block(), body, name=name, words=tuple(words))

    def _case(self) -> Case:
        self.at += 1
        word = self._next()
        self._skip_lines()
        self._expect("in")
        branches: list[tuple[tuple[str, ...], Block]] = []
        while True:
            self._skip_lines()
            token = self._peek()
            if token is None or token.text == "esac":
                self._expect("esac")
                return Case(word, tuple(branches))
            patterns: list[str] = []
            while (part := self._next()) != ")":
                if part not in ("(", "|"):
                    patterns.append(part)
            branches.append((tuple(patterns), self.block((";;", ";;&", ";&", "esac"))))
            if (token := self._peek()) is not None and token.text != "esac":
                self.at += 1

    def _function(self) -> Function:
        name = self._next()
        if name == "function":
            name = self._next()
        if self._is_operator(0, "("):
            self.at += 1
            self._expect(")")
        self._skip_lines()
        body = self._node()
        return Function(name, Block((Step(body),)))

    def _peek(self) -> Token | None:
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def _next(self) -> str:
        token = self._peek()
        if token is None:
            raise Unreadable("it ends in the middle of a command")
        self.at += 1
        return token.text

    def _expect(self, word: str) -> None:
        if (found := self._next()) != word:
            raise Unreadable(f"{word} expected, not {found!r}")

    def _is_operator(self, ahead: int, text: str) -> bool:
        at = self.at + ahead
        return at < len(self.tokens) and self.tokens[at].operator and self.tokens[at].text == text

    def _skip_lines(self, *others: str) -> None:
        while (token := self._peek()) is not None and token.operator and token.text in ("\n", *others):
            self.at += 1
