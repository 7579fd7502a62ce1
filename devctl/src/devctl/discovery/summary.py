"""What was found, and what was not, in few lines: for people, and as a document."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from devctl.broker.masking import masked
from devctl.discovery.model import Answer, CeleryCommand, Found, FoundService, Role

_SHOWN: tuple[Role, ...] = ("worker", "beat", "monitor")
_TOGETHER: tuple[Role, ...] = ("web", "database", "job", "other")


@dataclass(frozen=True)
class Line:
    """One line: what it is about, which services, what is known of them, and what says so."""

    subject: str
    services: str
    facts: str
    source: str
    general: bool = False
    """Of a question: to name a service does not answer it."""


def found_out(found: Found, *, everything: bool = False) -> list[Line]:
    """Return what is known: broker and results, each Celery process, and the rest together unless all is wanted."""
    return [*_broker(found), *_celery(found), *_rest(found, everything)]


def open_questions(found: Found) -> list[Line]:
    """Return what nobody could find out, and what would have to be known."""
    lines = []
    if found.broker.value is None:
        lines.append(Line("broker", "", "", masked(found.broker.source), general=found.broker_url.value is not None))
    elif found.broker_url.value is None:
        lines.append(Line("broker URL", "", "", masked(found.broker_url.source), general=True))
    if found.result_url.value is None and found.having("worker"):
        lines.append(Line("results", "", "", masked(found.result_url.source), general=True))
    lines += [Line(name, "", "", masked(found.services[name].source)) for name in found.having("unknown")]
    return lines


def document(found: Found) -> dict[str, Any]:
    """Return what was found as values for JSON; passwords are hidden."""
    return {
        "broker": _answer(found.broker),
        "broker_url": _answer(found.broker_url),
        "result_url": _answer(found.result_url),
        "services": [_service(one) for one in found.services.values()],
    }


def _answer(answer: Answer[str]) -> dict[str, Any]:
    return {"value": masked(answer.value), "source": masked(answer.source)}


def _service(one: FoundService) -> dict[str, Any]:
    commands = [*([one.celery] if one.celery else []), *one.more]
    return {
        "name": one.name,
        "roles": [*one.roles],
        "source": masked(one.source),
        "celery": [
            {"subcommand": command.subcommand, "app": command.app, "queues": [*command.queues]} for command in commands
        ],
        "celeriac": one.celeriac,
    }


def _broker(found: Found) -> Iterator[Line]:
    url = found.broker_url
    if found.broker.value is not None:
        source = found.broker.source
        if url.value is not None and url.source != source:
            source = f"{source}; {url.source}"
        yield Line("broker", found.broker.value, masked(url.value or ""), masked(source))
    elif url.value is not None:
        yield Line("broker", "", masked(url.value), masked(url.source))
    results = found.result_url
    if results.value is not None:
        none = results.value.startswith("disabled")
        holders = ", ".join(found.having("results"))
        yield Line("results", holders, "none are kept" if none else masked(results.value), masked(results.source))


def _celery(found: Found) -> Iterator[Line]:
    for role in _SHOWN:
        for name in found.having(role):
            one = found.services[name]
            commands = [command for command in (one.celery, *one.more) if command is not None and _is(command, role)]
            facts = ", ".join(dict.fromkeys(_said(command) for command in commands))
            yield Line(role, name, f"{facts}, celeriac".strip(", ") if one.celeriac else facts, masked(one.source))


def _is(command: CeleryCommand, role: Role) -> bool:
    serves = {"worker": ("worker",), "beat": ("beat",), "monitor": ("flower", "events")}
    return command.subcommand in serves.get(role, ())


def _said(command: CeleryCommand) -> str:
    """`-A shop -Q images -c 2`"""
    options = {
        "-A": command.app,
        "-Q": ",".join(command.queues),
        "-c": "" if command.concurrency is None else str(command.concurrency),
        "-P": command.pool,
    }
    return " ".join(f"{option} {value}" for option, value in options.items() if value)


def _rest(found: Found, everything: bool) -> Iterator[Line]:
    for role in _TOGETHER:
        names = found.having(role)
        if everything:
            yield from (Line(role, name, "", masked(found.services[name].source)) for name in names)
        elif names:
            yield Line(role, ", ".join(names), "", "")
