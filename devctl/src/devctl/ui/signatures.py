"""How tasks look by their signatures: all in a table, one in full with a call to paste."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import IO, Any

from devctl.contracts.schema import Schema
from devctl.contracts.signatures import Signature
from devctl.discovery.model import Parameter
from devctl.ui.console import sign
from devctl.ui.paint import Paint

_HEADS = ("TASK", "QUEUE", "SERVED BY", "TAKES", "WHERE")
_SHORTEST_TAKES = 12
_UNSURE = "not sure"
_REASONS = 3


def show_all(tasks: Sequence[Signature], option: str, stream: IO[str] | None = None) -> None:
    """One line a task, and below them why a queue is not sure."""
    stream = stream or sys.stdout
    paint = Paint(stream)
    rows = [_HEADS, *(_row(one) for one in tasks)]
    width = shutil.get_terminal_size().columns if stream.isatty() else 0
    for number, cells in enumerate(_fitted(rows, width)):
        first, *rest = cells
        line = "  ".join([paint(first, "cyan"), *rest]) if number else paint("  ".join(cells).rstrip(), "dim")
        stream.write(line.rstrip() + "\n")
    stream.flush()
    for why, count in Counter(one.found.queue.source for one in tasks if not one.queue).most_common(_REASONS):
        sys.stderr.write(_wrapped(f"{sign('!', sys.stderr)} queue not sure of {count}: {why}", sys.stderr))


def _row(one: Signature) -> tuple[str, ...]:
    nobody = _UNSURE if one.found.others_may else "-"
    served = ", ".join(one.found.services) or ("alive" if one.found.nodes else nobody)
    where = f"{one.found.file}:{one.found.line}" if one.found.file else "only registered"
    return (one.name, one.queue or _UNSURE, served, takes(one), where)


def _fitted(rows: Sequence[tuple[str, ...]], width: int) -> list[list[str]]:
    """The cells, padded; in a terminal without what has no room: first where, then what it takes."""
    columns = [*range(len(_HEADS))]
    sizes = [max(len(row[column]) for row in rows) for column in columns]
    if width and sum(sizes) + 2 * (len(columns) - 1) > width:
        columns = columns[:-1]
        left = width - sum(sizes[:3]) - 2 * 3
        sizes[3] = left
        if left < _SHORTEST_TAKES:
            columns = columns[:-1]
    return [[_cut(row[column], sizes[column]).ljust(sizes[column]) for column in columns] for row in rows]


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else f"{text[: size - 1]}…"


def takes(one: Signature) -> str:
    """`path, width, height=0, *, keep=True`."""
    if one.found.parameters is None:
        return "?"
    parts = []
    star = False
    for parameter in one.parameters:
        if parameter.kind == "keyword only" and not star:
            parts.append("*")
        star = star or parameter.kind in ("*", "keyword only")
        lead = {"*": "*", "**": "**"}.get(parameter.kind, "")
        default = "" if parameter.default is None else f"={parameter.default}"
        parts.append(f"{lead}{parameter.name}{default}")
    return ", ".join(parts) or "-"


def show_one(one: Signature, option: str, stream: IO[str] | None = None) -> None:
    """Queue, place, parameters, and a call ready to paste."""
    stream = stream or sys.stdout
    paint = Paint(stream)
    found = one.found
    about = {
        "queue": f"{one.queue} ({found.queue.source})" if one.queue else f"{_UNSURE}: {found.queue.source}",
        "where": f"{found.file}:{found.line}" if found.file else "only a living worker says that it is there",
        "served": ", ".join([*found.services, *(f"{node} (alive)" for node in found.nodes)]) or _nobody(one),
        "result": "not kept" if one.ignore_result else "",
        "options": ", ".join(_option(name, value) for name, value in _options(one)),
        "about": found.docstring,
    }
    stream.write(paint(one.name, "cyan") + "\n")
    for word, text in about.items():
        if text:
            stream.write(_wrapped(f"{word:<8} {text}", stream, " " * 9))
    if found.parameters is None:
        stream.write("takes    nobody knows what: --args and --kwargs send it as you write it\n")
    elif not one.parameters:
        stream.write("takes    nothing\n")
    else:
        stream.write("takes\n")
        _table(one.parameters, stream)
    stream.write("\n" + paste(one, option) + "\n")
    stream.flush()


def _nobody(one: Signature) -> str:
    if one.found.others_may:
        return f"{_UNSURE}: what the workers import cannot be read"
    return "by nobody: no worker of the Compose file imports it and consumes its queue"


def _options(one: Signature) -> Iterable[tuple[str, Any]]:
    yield from ([("bind", True)] if one.found.bind else [])
    yield from ([("pydantic", True)] if one.found.pydantic else [])
    yield from one.found.options.items()


def _option(name: str, value: Any) -> str:
    if value is True:
        return name
    parts = value if isinstance(value, list | tuple) else [value]
    shown = ", ".join(str(getattr(part, "text", part)) for part in parts)
    return f"{name} {shown}"


def _table(parameters: Sequence[Parameter], stream: IO[str]) -> None:
    paint = Paint(stream)
    names = max(len(one.name) for one in parameters)
    types = max(len(one.annotation) for one in parameters)
    for one in parameters:
        lead = f"  {one.name.ljust(names)}  {one.annotation.ljust(types)}  "
        line = _wrapped(lead + _said(one), stream, " " * min(len(lead), 30))
        stream.write(line.replace(one.name, paint(one.name, "cyan"), 1))
        for field in Schema(one.schema).fields()[:20]:
            text = f"    .{field.path}  {field.type}  {'' if field.required else 'optional'} {field.limits}"
            stream.write(_wrapped(text.rstrip(), stream, " " * 8))


def _said(one: Parameter) -> str:
    words = {
        "keyword only": "by name only",
        "positional only": "by position only",
        "*": "any more by position",
        "**": "any more by name",
    }
    parts = [f"default {one.default}" if one.default is not None else "", words.get(one.kind, "")]
    return ", ".join(part for part in parts if part)


def paste(one: Signature, option: str) -> str:
    """A command that sends an example, to be pasted as it stands."""
    parts = ["devctl send-task", one.name]
    example = one.example()
    if one.found.parameters is None:
        parts.append("--args '[]'")
    elif any(isinstance(value, dict | list) for value in example.values()) or any(
        parameter.kind == "positional only" for parameter in one.parameters
    ):
        message = one.message(example)
        parts += [f"--args {shlex.quote(json.dumps(list(message.args)))}"] if message.args else []
        parts += [f"--kwargs {shlex.quote(json.dumps(dict(message.kwargs)))}"] if message.kwargs else []
    else:
        parts += [f"--set {shlex.quote(f'{name}={_text(value)}')}" for name, value in example.items()]
    if not one.queue:
        parts.append("--queue QUEUE")
    return " ".join([*parts, *([] if one.ignore_result else ["--wait"])]) + option


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _wrapped(text: str, stream: IO[str], indent: str = "  ") -> str:
    if not stream.isatty():
        return text.rstrip() + "\n"
    width = max(shutil.get_terminal_size().columns, 40)
    return "\n".join(textwrap.wrap(text, width, subsequent_indent=indent)) + "\n"


def document(tasks: Iterable[Signature]) -> dict[str, Any]:
    """devctl.tasks/1."""
    return {
        "schema": "devctl.tasks/1",
        "tasks": [
            {
                "name": one.name,
                "queue": one.queue,
                "queue_source": one.found.queue.source,
                "payload": dict(one.schema) or None,
                "result": None,
                "result_kept": not one.ignore_result,
                "retries": None,
                "example": one.example() if one.found.parameters is not None else None,
                "parameters": [_parameter(parameter) for parameter in one.parameters]
                if one.found.parameters is not None
                else None,
                "file": one.found.file,
                "line": one.found.line,
                "services": [*one.found.services],
                "nodes": [*one.found.nodes],
            }
            for one in tasks
        ],
    }


def _parameter(one: Parameter) -> dict[str, Any]:
    return {"name": one.name, "kind": one.kind, "annotation": one.annotation, "default": one.default}
