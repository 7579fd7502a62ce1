"""A program of Python that runs Celery itself: `app.worker_main([...])`, `subprocess.run(["celery", ...])`."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

_STARTS = {"worker_main", "start", "execute_from_commandline"}
_CALLERS = {"call", "check_call", "check_output", "execv", "execvp", "execvpe", "Popen", "run", "run_process", "system"}
_OPTIONS = {"queues": "-Q", "concurrency": "-c", "pool": "-P", "hostname": "-n", "logfile": "-f"}
_HTTP = re.compile(
    r"uvicorn\.(?:run|Server)|\bFlask\(|\bFastAPI\(|\bStarlette\(|web\.run_app|serve_forever|celeriac\.http"
    r"|\b(?:app|socketio|server)\.run\(|\bHTTPServer\(|tornado\.|gunicorn|hypercorn|waitress|sanic"
)


@dataclass(frozen=True)
class Started:
    """A command line of Celery in a program of Python."""

    words: tuple[str, ...]
    line: int
    celeriac: bool = False
    of_app: bool = False
    """An app runs it: one that the module has."""


def started(text: str, arguments: tuple[str, ...] = ()) -> list[Started]:
    """Return what this module runs, in the order of its lines; nothing where it is no Python."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return sorted(_of(tree, arguments), key=lambda one: one.line)


def answers_http(text: str) -> bool:
    """Whether this program looks like a server of HTTP."""
    return bool(_HTTP.search(text))


def _of(tree: ast.Module, arguments: tuple[str, ...]) -> Iterator[Started]:
    serving = _serving(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = _name(node.func)
        if name == "worker_main":
            argument = _argument(node, "argv")
            given = _words(argument)
            if given is None and argument is not None and (shown := _text(argument)):
                given = [shown]  # only running it would tell
            words = [*(arguments if given is None else given)]
            words = [word for index, word in enumerate(words) if index or word not in ("celery", "worker")]
            yield Started(("celery", *([] if "worker" in words else ["worker"]), *words), node.lineno, of_app=True)
        elif name == "start" and (given := _words(_argument(node, "argv"))):
            yield Started(("celery", *(given[1:] if given[0] == "celery" else given)), node.lineno)
        elif name == "Worker" and isinstance(node.func, ast.Attribute) and not node.args:
            yield Started(("celery", "worker", *_keywords(node)), node.lineno)
        elif name in _CALLERS or name == "split":
            yield from _command(node)
        elif (isinstance(node.func, ast.Name) and node.func.id in serving) or _dotted(node.func) in serving:
            yield Started(("celery", "worker"), node.lineno, celeriac=True)


def _command(node: ast.Call) -> Iterator[Started]:
    """A command line in a list, or in a string."""
    for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
        words = _words(argument)
        if words is None and (text := _text(argument)) and re.match(r"\s*(?:exec\s+)?(?:python\S* -m )?celery\s", text):
            try:
                words = shlex.split(text)
            except ValueError:
                words = text.split()
        if words and re.search(r"(?:^|/)celery$|^python", words[0]) and "celery" in " ".join(words[:3]):
            yield Started(tuple(words), node.lineno)
            return


def _serving(tree: ast.Module) -> set[str]:
    """The names under which this module has celeriac's `serve` for workers."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "celeriac":
            names |= {alias.asname or alias.name for alias in node.names if alias.name in ("serve", "run_worker")}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "celeriac":
                    names |= {f"{alias.asname or 'celeriac'}.{one}" for one in ("serve", "run_worker")}
    return names


def _keywords(node: ast.Call) -> Iterator[str]:
    for keyword in node.keywords:
        if keyword.arg in _OPTIONS and isinstance(keyword.value, ast.Constant):
            yield from (_OPTIONS[keyword.arg], str(keyword.value.value))


def _argument(node: ast.Call, name: str) -> ast.expr | None:
    return next((one.value for one in node.keywords if one.arg == name), node.args[0] if node.args else None)


def _words(node: ast.expr | None) -> list[str] | None:
    if not isinstance(node, ast.List | ast.Tuple):
        return None
    return [word for item in node.elts for word in [_text(item)] if word is not None]


def _text(node: ast.expr) -> str | None:
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.Constant(value=int() | float() as number):
            return str(number)
        case ast.JoinedStr(values=parts):
            return "".join(_text(part) or f"${{{ast.unparse(part)}}}" for part in parts)
        case ast.Attribute(value=ast.Name(id="sys"), attr="executable"):
            return "python"
        case ast.Starred():
            return None
    return f"${{{ast.unparse(node)}}}"


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return ""
