"""How task contracts look: all in a table, one in full with an example to paste."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from typing import IO, Any

from devctl.contracts.catalog import Catalog, TaskContract
from devctl.contracts.schema import Field, Schema
from devctl.ui.json_text import fitting
from devctl.ui.paint import Paint


def show_all(catalog: Catalog, stream: IO[str] | None = None) -> None:
    """One line a contract."""
    stream = stream or sys.stdout
    paint = Paint(stream)
    rows = [("TASK", "QUEUE", "PAYLOAD", "RESULT", "RETRIES")]
    rows += [(one.name, one.queue, _type(one.payload), _type(one.result), _retry_count(one)) for one in catalog]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        cells.append(row[-1].rjust(widths[-1]))
        if number == 0:
            stream.write(paint("  ".join(cells).rstrip(), "dim") + "\n")
        else:
            stream.write("  ".join([paint(cells[0], "cyan"), *cells[1:]]).rstrip() + "\n")
    stream.flush()


def show_one(contract: TaskContract, example: Any, stream: IO[str] | None = None) -> None:
    """Queue, fields, retries, result, and an example ready to paste."""
    stream = stream or sys.stdout
    paint = Paint(stream)
    width = shutil.get_terminal_size().columns if stream.isatty() else 0
    about = {"queue": contract.queue, "retries": _retries(contract), "result": _result(contract)}
    stream.write(paint(contract.name, "cyan") + "\n")
    for word, text in about.items():
        _paragraph(f"{word:<8} ", text, width, stream)
    described = Schema(contract.schema).fields()
    if contract.payload is None:
        stream.write("payload  none\n")
    else:
        stream.write(f"payload  {_type(contract.payload)}\n")
        _table(described, width, stream)
    stream.write("\n" + "\n".join(paste(contract, example, width or 80)) + "\n")
    stream.flush()


def paste(contract: TaskContract, example: Any, width: int) -> list[str]:
    """A command that sends the example, to be pasted as it stands: so it is not indented."""
    command = f"devctl send-task {contract.short} --wait"
    if contract.payload is None:
        return [command]
    return [f"{command} --json-file - <<'EOF'", fitting(example, width), "EOF"]


def _table(described: Sequence[Field], width: int, stream: IO[str]) -> None:
    paint = Paint(stream)
    paths = max((len(one.path) for one in described), default=0)
    types = max((len(one.type) for one in described), default=0)
    for one in described:
        filled_in = f"default {one.default}" if one.default else "optional"
        said = ", ".join(part for part in ("" if one.required else filled_in, one.limits) if part)
        lines = _wrapped(f"  {one.path.ljust(paths)}  {one.type.ljust(types)}  ", said, width)
        stream.write(lines[0].replace(one.path, paint(one.path, "cyan"), 1).rstrip() + "\n")
        stream.write("".join(line + "\n" for line in lines[1:]))


def _paragraph(lead: str, text: str, width: int, stream: IO[str]) -> None:
    stream.write("\n".join(_wrapped(lead, text, width)) + "\n")


def _wrapped(lead: str, text: str, width: int) -> list[str]:
    """Text behind a lead, continued below itself; in a pipe one line, which tools like better."""
    if width < len(lead) + 20:
        return [lead + text]
    return textwrap.wrap(lead + text, width, subsequent_indent=" " * len(lead), break_long_words=False) or [lead]


def _type(kind: Any) -> str:
    return "none" if kind is None else str(getattr(kind, "__name__", kind))


def _result(contract: TaskContract) -> str:
    if contract.ignore_result:
        return "not kept"
    inside = ", ".join(one.path for one in Schema(contract.result_schema).fields() if "." not in one.path)
    return f"{_type(contract.result)}: {inside}" if inside else _type(contract.result)


def _retry_count(contract: TaskContract) -> str:
    return str(getattr(contract.retries, "limit", "-"))


def _retries(contract: TaskContract) -> str:
    policy = contract.retries
    limit, base, cap = (getattr(policy, name, None) for name in ("limit", "base_seconds", "cap_seconds"))
    if limit is None:
        return "-" if policy is None else str(policy)
    if not limit:
        return "none"
    return f"{limit}, each after a random part of {base:g}s, doubled up to {cap:g}s"


def document(contracts: Iterable[tuple[TaskContract, Any]]) -> dict[str, Any]:
    """devctl.tasks/1."""
    return {
        "schema": "devctl.tasks/1",
        "tasks": [
            {
                "name": one.name,
                "queue": one.queue,
                "payload": dict(one.schema) or None if one.payload is not None else None,
                "result": dict(one.result_schema) or None if one.result is not None else None,
                "result_kept": not one.ignore_result,
                "retries": _plain(one.retries),
                "example": example,
            }
            for one, example in contracts
        ],
    }


def _plain(policy: Any) -> dict[str, Any] | None:
    if not is_dataclass(policy):
        return None
    values = {field.name: getattr(policy, field.name) for field in fields(policy)}
    return {name: value for name, value in values.items() if isinstance(value, int | float | str)}
