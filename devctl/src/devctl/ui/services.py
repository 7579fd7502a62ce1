"""How services look when a command is done: how each came up, and what each is now."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from devctl.stack.overview import ServiceState
from devctl.stack.report import LeftOut, ServiceStart, StartReport
from devctl.ui.console import sign
from devctl.ui.paint import Colour, Paint
from devctl.ui.progress import SIGNS
from devctl.ui.units import age, duration, size

if TYPE_CHECKING:
    from pathlib import Path

    from devctl.discovery.needs import Need
    from devctl.stack.file import Unset
    from devctl.stack.isolation import Moved
    from devctl.stack.unused import Unused

_WAIT_WORTH_TELLING_SECONDS = 0.05


def show_start(report: StartReport, addresses: Mapping[str, Sequence[str]], stream: IO[str] | None = None) -> None:
    """Each service that is there: how long it took, what it waited for, where it answers."""
    stream = stream or sys.stdout
    paint = Paint(stream)
    width = max((len(one.service) for one in report.services), default=0)
    for one in report.services:
        if one.phase not in ("ready", "finished"):
            continue
        symbol, colour = SIGNS[one.phase]
        time = "" if one.was_running else duration(one.seconds)
        where = "  ".join(addresses.get(one.service, ()))
        said = "running already" if one.was_running else one.detail
        head = f"{paint(sign(symbol, stream), colour)} {one.service.ljust(width)} {time:>6}  {one.phase}"
        parts = [part for part in (paint(where, "cyan"), paint(said, "dim")) if part]
        stream.write("  ".join([head, "  ".join(parts)]).rstrip() + "\n")
        if waited := _waited(one):
            stream.write(paint(f"  {waited}", "dim") + "\n")
    stream.flush()


def show_next(steps: Sequence[tuple[str, str]], stream: IO[str] | None = None) -> None:
    """What to type next, and what for."""
    stream = stream or sys.stderr
    paint = Paint(stream)
    width = max((len(command) for command, _ in steps), default=0)
    for command, why in steps:
        line = f"{paint(command.ljust(width), 'cyan')}   {why}" if why else paint(command, "cyan")
        stream.write(f"{sign('→', stream)} {line}\n")
    stream.flush()


@dataclass(frozen=True)
class _Column:
    head: str
    cell: Callable[[ServiceState], str]
    right: bool = False


_COLUMNS = (
    _Column("SERVICE", lambda s: s.name),
    _Column("STATE", lambda s: "done" if s.done else s.state),
    _Column("HEALTH", lambda s: "-" if s.health == "none" else s.health),
    _Column("UP", lambda s: " ".join(part for part in (_up(s), _count(s)) if part)),
    _Column("CPU", lambda s: "" if s.cpu_percent is None else f"{s.cpu_percent:.1f}%", right=True),
    _Column("MEM", lambda s: "" if s.memory_bytes is None else size(s.memory_bytes), right=True),
    _Column("PORTS", lambda s: " ".join(port.partition("->")[0] for port in s.ports)),
)
_COLOURS: Mapping[str, Colour] = {
    "healthy": "green",
    "degraded": "yellow",
    "starting": "yellow",
    "restarting": "red",
    "exited": "red",
    "unhealthy": "red",
}


def show_table(services: Sequence[ServiceState], stream: IO[str] | None = None) -> None:
    """The table of `devctl ps`."""
    stream = stream or sys.stdout
    paint = Paint(stream)
    rows = [[column.head for column in _COLUMNS], *([column.cell(one) for column in _COLUMNS] for one in services)]
    widths = [max(len(row[index]) for row in rows) for index in range(len(_COLUMNS))]
    for number, row in enumerate(rows):
        cells = []
        for column, width, cell in zip(_COLUMNS, widths, row, strict=True):
            padded = cell.rjust(width) if column.right else cell.ljust(width)
            colour = "dim" if number == 0 else _COLOURS.get(cell) or ("cyan" if column.head == "SERVICE" else None)
            cells.append(paint(padded, colour) if colour else padded)
        stream.write("  ".join(cells).rstrip() + "\n")
    for one in services:
        if one.why:
            stream.write(f"{paint('!', 'yellow')} {one.name} is {one.health}: {one.why}\n")
    stream.flush()


def show_moved(moved: Moved, root: Path, stream: IO[str] | None = None) -> None:
    """What is another one in an isolated stack than in the checkout's own."""
    stream = stream or sys.stderr
    if moved.ports:
        stream.write(f"· on free ports, in place of {', '.join(map(str, moved.ports))}\n")
    if moved.data:
        stream.write(f"· with data of its own, new and empty: {', '.join(_within(root, moved.data))}\n")
    if moved.shared:
        stream.write(f"· both stacks write to what is mounted: {', '.join(_within(root, moved.shared))}\n")


def _within(root: Path, paths: Sequence[str]) -> list[str]:
    return ["." if one == str(root) else one.replace(f"{root}/", "./", 1) for one in paths]


def show_unset(variables: Sequence[Unset], stream: IO[str] | None = None) -> None:
    """Variables that the Compose file uses and nobody set: Compose takes them for empty, and so does devctl."""
    stream = stream or sys.stderr
    for name, where in dict.fromkeys((one.name, one.where) for one in variables):
        stream.write(f"{Paint(stream)('!', 'yellow')} {where}: {name} is not set, and empty here\n")


def show_unused(variables: Sequence[Unused], stream: IO[str] | None = None) -> None:
    """Variables that were set and reach no service."""
    stream = stream or sys.stderr
    for one in variables:
        stream.write(f"{Paint(stream)('!', 'yellow')} {one.name} in {one.where} reaches no service\n")
        if one.meant:
            stream.write(f"{sign('→', stream)} did you mean {one.meant}?\n")


def show_needs(needs: Sequence[Need], together: str, stream: IO[str] | None = None) -> None:
    """Services that others name and do not depend on: they are not started with them."""
    stream = stream or sys.stderr
    for one in needs:
        stream.write(
            f"{Paint(stream)('!', 'yellow')} {one.service} uses {one.needs} ({one.source}) and does not depend on it:"
            " it is not started with it\n"
        )
    stream.write(f"{sign('→', stream)} {together}\n")


def show_left_out(services: Sequence[LeftOut], stream: IO[str] | None = None) -> None:
    """Services that do not start here, why, and who needs them."""
    stream = stream or sys.stderr
    for one in services:
        needed = f"; left out with it, because they need it: {', '.join(one.needed_by)}" if one.needed_by else ""
        stream.write(f"{Paint(stream)('!', 'yellow')} {one.why.problem}{needed}\n")
    if services:
        stream.write(f"{sign('→', stream)} {services[0].why.hint}\n")


def show_remarks(lines: Sequence[str], stream: IO[str] | None = None) -> None:
    """What a runtime leaves out of what the files say."""
    stream = stream or sys.stderr
    for line in lines:
        stream.write(f"{Paint(stream)('!', 'yellow')} {line}\n")


def show_stale(services: Sequence[str], stream: IO[str] | None = None) -> None:
    """Services that run older code than the checkout has."""
    stream = stream or sys.stderr
    stream.write(f"{Paint(stream)('!', 'yellow')} code changed since it started: {', '.join(services)}\n")


def show_in_terminal(services: Sequence[str], stream: IO[str] | None = None) -> None:
    """Services that somebody has in a terminal: no replica is started beside them."""
    stream = stream or sys.stderr
    if services:
        runs = "runs" if len(services) == 1 else "run"
        stream.write(f"· {', '.join(services)} {runs} in a terminal (devctl run), in place of replicas\n")


def show_stopped(services: Sequence[str], seconds: float, data: str, stream: IO[str]) -> None:
    """What `devctl down` did."""
    paint = Paint(stream)
    what = f"stopped {', '.join(services)} in {duration(seconds)}" if services else "nothing ran"
    stream.write(f"{paint(sign('✔', stream), 'green')} {what}\n{paint(f'  {data}', 'dim')}\n")


def show_built(services: Sequence[str], seconds: float, stream: IO[str]) -> None:
    """What `devctl build` did."""
    stream.write(f"{Paint(stream)(sign('✔', stream), 'green')} built {', '.join(services)} in {duration(seconds)}\n")


def start_document(
    command: str,
    report: StartReport,
    addresses: Mapping[str, Sequence[str]],
    stack: str,
    steps: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """devctl.up/1, devctl.restart/1, devctl.scale/1."""
    return {
        "schema": f"devctl.{command}/1",
        "runtime": report.runtime,
        "stack": stack,
        "seconds": round(report.seconds, 3),
        "built": list(report.built),
        "build_seconds": round(report.build_seconds, 3),
        "services": [
            {
                "name": one.service,
                "state": one.phase,
                "was_running": one.was_running,
                "seconds": round(one.seconds, 3),
                "own_seconds": round(one.own_seconds, 3),
                "waited": {name: round(seconds, 3) for name, seconds in one.waited.items()},
                "replicas": len(one.replicas),
                "ports": [port for replica in one.replicas for port in replica.ports],
                "addresses": list(addresses.get(one.service, ())),
            }
            for one in report.services
        ],
        "next": [{"command": command, "why": why} for command, why in steps],
    }


def ps_document(
    services: Sequence[ServiceState], runtime: str, stack: str, stale: Sequence[str] = ()
) -> dict[str, Any]:
    """devctl.ps/1."""
    return {
        "schema": "devctl.ps/1",
        "runtime": runtime,
        "stack": stack,
        "services": [
            {
                "name": one.name,
                "state": one.state,
                "health": one.health,
                "why": one.why,
                "replicas": one.replicas,
                "ready": one.ready,
                "code_changed": one.name in stale,
                "restarts": one.restarts,
                "uptime_seconds": None if one.uptime_seconds is None else round(one.uptime_seconds, 1),
                "exit_code": one.exit_code,
                "ports": list(one.ports),
                "cpu_percent": None if one.cpu_percent is None else round(one.cpu_percent, 2),
                "memory_bytes": one.memory_bytes,
                "instances": [
                    {"name": r.name, "state": r.state, "health": r.health, "restarts": r.restarts, "pid": r.pid}
                    for r in one.instances
                ],
            }
            for one in services
        ],
    }


def _waited(one: ServiceStart) -> str:
    waited = {name: seconds for name, seconds in one.waited.items() if seconds >= _WAIT_WORTH_TELLING_SECONDS}
    if not waited:
        return ""
    names = ", ".join(f"{name} {duration(seconds)}" for name, seconds in waited.items())
    return f"waited for {names}, then its own start {duration(one.own_seconds)}"


def _up(one: ServiceState) -> str:
    if one.uptime_seconds is None:
        return f"exit {one.exit_code}" if one.exit_code is not None else "-"
    return age(one.uptime_seconds)


def _count(one: ServiceState) -> str:
    counts = [f"{one.ready}/{one.replicas}"] if one.replicas != 1 else []
    counts += [f"{one.restarts} restart{'s' * (one.restarts != 1)}"] if one.restarts else []
    return " ".join(counts)
