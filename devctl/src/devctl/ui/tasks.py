"""How task contracts look: all in a table, one in full with an example to paste."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import IO, Any

from devctl.contracts.catalog import Catalog, TaskContract
from devctl.contracts.schema import Field, Schema
from devctl.ui.json_text import fitting
from devctl.ui.paint import Paint


@dataclass(frozen=True)
class _Column:
    head: str
    cell: Callable[[TaskContract], str]
    right: bool = False


def show_all(catalog: Catalog, stream: IO[str] | None = None) -> None:
    """One line a contract."""
    stream = stream or sys.stdout
    paint = Paint(stream)
    columns = list(_COLUMNS)
    width = shutil.get_terminal_size().columns if stream.isatty() else 0
    while width and len(columns) > 2 and sum(_widths(columns, catalog)) + 2 * (len(columns) - 1) > width:
        del columns[-2]  # the result's type first, then the payload's: `tasks NAME` has both
    widths = _widths(columns, catalog)
    for one in (None, *catalog):
        cells = [column.head if one is None else column.cell(one) for column in columns]
        cells = [
            cell.rjust(size) if column.right else cell.ljust(size)
            for column, cell, size in zip(columns, cells, widths, strict=True)
        ]
        line = "  ".join([paint(cells[0], "cyan"), *cells[1:]]) if one else paint("  ".join(cells).rstrip(), "dim")
        stream.write(line.rstrip() + "\n")
    stream.flush()


def _widths(columns: Sequence[_Column], catalog: Catalog) -> list[int]:
    return [max([len(column.head), *(len(column.cell(one)) for one in catalog)]) for column in columns]


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
    # A word that is longer than a line, such as a pattern, is broken: the terminal would do it, and lose the indent.
    return textwrap.wrap(lead + text, width, subsequent_indent=" " * len(lead)) or [lead]


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


_COLUMNS = (
    _Column("TASK", lambda one: one.name),
    _Column("QUEUE", lambda one: one.queue),
    _Column("PAYLOAD", lambda one: _type(one.payload)),
    _Column("RESULT", lambda one: _type(one.result)),
    _Column("RETRIES", _retry_count, right=True),
)


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
