"""Writes docs/reference.md from the docstrings of what `celeriac` makes public.

python tools/reference.py            write it
python tools/reference.py --print    print it, and write nothing
"""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import celeriac

PAGE = Path(__file__).parents[1] / "docs" / "reference.md"
HEAD = """\
# celeriac: reference
<!-- Written by `make reference` from the docstrings; change those. -->
All of it is imported from `celeriac`: `from celeriac import Contract, implements, Outcome, TaskPayload`. This is what
stays: a change of it stands in the [changelog](../celeriac/CHANGELOG.md). Every other module is free to change.
"""
SECTIONS = {
    "Tasks": "What publisher and owner agree on. [Writing a handler](writing-a-handler.md) shows them at work.",
    "Retries": "Which error is tried again, how often, and when.",
    "Any Celery app": "One line for an app that is there already: [installing](installing.md).",
    "Apps and services": "`serve` is a whole service; the others are its parts, for who puts them together otherwise.",
    "Following a task": "What happened to a message, and which request it belongs to.",
    "Queues": "`where` is the app, or a `redis.Redis` of its broker.",
    "Dead letters": "What nobody will run. `client`: a `redis.Redis` of the broker, not with `decode_responses`.",
    "Errors": "",
    "HTTP services": """Of `celeriac.http`, which needs the extra: `pip install 'celeriac[http]'`.
[HTTP services](http-services.md) shows them at work.""",
}
NAMES = {
    "Tasks": "Contract implements Implementation Outcome progress Pending Published Model TaskPayload TaskResult",
    "Retries": "RetryPolicy Kind CLASSIFICATION Breaker",
    "Any Celery app": "install",
    "Apps and services": """serve EventCounter make_app make_worker run_worker CelerySettings WorkerSettings
        configure_logs""",
    "Following a task": "on_event ignore bind_correlation current_correlation",
    "Queues": "pause_queue resume_queue paused_queues",
    "Dead letters": """DeadLetter Reason read_dead_letters find_dead_letter replay_dead_letter drop_dead_letters
        Unreadable""",
    "Errors": """SettingsError TaskError ValidationError WrongPayload PermanentError Conflict TransientError CircuitOpen
        PublishError QueueFull NotPublished OutcomeUnknown""",
}


CONSTANTS = {
    "CLASSIFICATION": "Error class, or its full name -> its kind, or a function that tells.",
    "CORRELATION_ID": "The request header of that name, for an endpoint's `openapi_extra`.",
    "IDEMPOTENCY_KEY": "The request header of that name, for an endpoint's `openapi_extra`.",
}


def page() -> str:
    """The whole page. Raises ValueError for a public name that no section has."""
    missing = {*celeriac.__all__} - {"__version__", *" ".join(NAMES.values()).split()}
    if missing:
        raise ValueError(f"no section of tools/reference.py has {', '.join(sorted(missing))}")
    return "\n".join([HEAD, *(part for title in SECTIONS for part in section(title))])


def section(title: str) -> Iterator[str]:
    yield f"## {title}"
    if title == "Errors":
        drawn, _, words = text_of(tree("celeriac.errors")).partition("\n\n")[2].partition("\n\n")
        yield f"```\n{drawn}\n```\n{words}\n"
    else:
        yield f"{SECTIONS[title]}\n"
    names = NAMES[title].split() if title in NAMES else of_http()
    for name in names:
        yield from entry(name, definition(name, names if title not in NAMES else None))


def of_http() -> dict[str, str]:
    """Public name of celeriac.http -> the module that has it."""
    imports = [one for one in tree("celeriac.http.__init__").body if isinstance(one, ast.ImportFrom)]
    return {one.name: str(where.module) for where in imports for one in where.names}


def entry(name: str, node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.ClassDef):
        words = text_of(node)
        shown = f"{name}{signature(node)}"
        members = [*map(described, zip(node.body, node.body[1:], strict=False)), *map(member, node.body)]
    elif isinstance(node, ast.FunctionDef):
        words, shown, members = text_of(node), f"{name}{arguments(node.args)}{returns(node)}", []
    else:
        words, shown, members = CONSTANTS[name], name, []
    yield f"### `{name}`"
    if shown != name:
        yield f"```python\n{shown}\n```"
    yield f"{words}\n"
    if found := [one for one in members if one]:
        yield "\n".join(found) + "\n"


def definition(name: str, homes: dict[str, str] | None) -> ast.stmt:
    """Where it is defined, in the source: so the page is the same on every Python."""
    module, _, there = (homes[name] if homes else f"celeriac.{celeriac._HOMES[name]}").partition(":")  # noqa: SLF001  the face's own table
    for node in tree(module).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == (there or name):
            return node
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == name:
            return node
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return node
    raise ValueError(f"{module} does not define {there or name} itself")


@cache
def tree(module: str) -> ast.Module:
    path = Path(celeriac.__file__).parent.joinpath(*module.split(".")[1:]).with_suffix(".py")
    return ast.parse(path.read_text())


def text_of(node: Any) -> str:
    return ast.get_docstring(node) or ""


def signature(node: ast.ClassDef) -> str:
    """How it is made: by its own __init__, or from its fields and those of its bases."""
    for one in node.body:
        if isinstance(one, ast.FunctionDef) and one.name == "__init__":
            return arguments(one.args)
    if any(ast.unparse(base) in ("StrEnum",) for base in node.bases):
        return ""
    found = list(fields(node))
    return f"({wrapped(found)})" if found else ""


def fields(node: ast.ClassDef) -> Iterator[str]:
    for base in node.bases:
        if ast.unparse(base).startswith("Spec["):
            yield from fields(next(one for one in tree("celeriac.contract.spec").body if is_class(one, "Spec")))
    for one in node.body:
        if not isinstance(one, ast.AnnAssign) or ast.unparse(one.target).startswith("_"):
            continue
        kind = ast.unparse(one.annotation)
        if kind.startswith("ClassVar"):
            continue
        if not isinstance(one.value, ast.Call) or "init=False" not in ast.unparse(one.value):
            yield f"{ast.unparse(one.target)}: {plain(kind)}{default(one.value)}"


def is_class(node: ast.stmt, name: str) -> Any:
    return isinstance(node, ast.ClassDef) and node.name == name


def default(value: ast.expr | None) -> str:
    if value is None:
        return ""
    if isinstance(value, ast.Call) and ast.unparse(value.func) in ("field", "Field"):
        if value.args:
            return f" = {ast.unparse(value.args[0])}"
        given = {one.arg: one.value for one in value.keywords}
        if "default" in given:
            return f" = {ast.unparse(given['default'])}"
        return " = …" if "default_factory" in given else ""
    return f" = {ast.unparse(value)}"


def arguments(given: ast.arguments) -> str:
    words: list[str] = []
    positional = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(positional) - len(given.defaults)) + given.defaults
    for one, value in zip(positional, defaults, strict=True):
        if one.arg not in ("self", "cls"):
            words.append(argument(one, value))
    if given.vararg:
        words.append("*" + argument(given.vararg, None))
    elif given.kwonlyargs:
        words.append("*")
    words += [argument(one, value) for one, value in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    if given.kwarg:
        words.append("**" + argument(given.kwarg, None))
    return f"({wrapped(words)})"


def wrapped(words: list[str]) -> str:
    line = ", ".join(words)
    return line if len(line) < 90 else "\n    " + ",\n    ".join(words) + ",\n"


def on_one_line(text: str) -> str:
    return " ".join(text.split()).replace("( ", "(").replace(", )", ")")


def argument(one: ast.arg, value: ast.expr | None) -> str:
    kind = f": {plain(ast.unparse(one.annotation))}" if one.annotation else ""
    return f"{one.arg}{kind}{default(value)}"


def returns(node: ast.FunctionDef) -> str:
    return f" -> {plain(ast.unparse(node.returns))}" if node.returns else ""


def plain(kind: str) -> str:
    """A type without the quotes of a forward reference."""
    return kind.replace("'", "")


def described(pair: tuple[ast.stmt, ast.stmt]) -> str | None:
    """The line of a field with a text below it."""
    field, text = pair
    if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
        return f"- `{ast.unparse(field.target)}`: {' '.join(str(text.value.value).split())}"
    return None


def member(node: ast.stmt) -> str | None:
    """The line of a public method, property or value of an enum."""
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
        return f"- `{ast.unparse(node.targets[0])}`"
    if not isinstance(node, ast.FunctionDef) or node.name.startswith("_") or not text_of(node):
        return None
    words = " ".join(text_of(node).split("\n\n")[0].split())
    if any(ast.unparse(one) == "property" for one in node.decorator_list):
        return f"- `{node.name}`: {words}"
    return f"- `{node.name}{on_one_line(arguments(node.args))}`: {words}"


def main(words: list[str]) -> int:
    text = page()
    if words == ["--print"]:
        sys.stdout.write(text)
    else:
        PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
