"""What the command line of a worker or a beat does wrong."""

from __future__ import annotations

from collections.abc import Iterator

from devctl.doctor.celery.evidence import Evidence, Runner
from devctl.doctor.celery.rule import Finding, Rule

_GREEN = {"gevent", "eventlet"}
_BLOCKING = {
    "psycopg2": "psycogreen",
    "psycopg2-binary": "psycogreen",
    "mysqlclient": "",
}
"""Drivers in C that green threads cannot interrupt -> the package that mends it."""


def detached(evidence: Evidence) -> Iterator[Finding]:
    """Celery in the background of a container, which then ends, or hides its death."""
    for one in _all(evidence):
        if one.option("-D", "--detach") or (one.command and one.command.subcommand == "multi"):
            yield Finding(
                f"{one.name} starts Celery in the background: the container ends at once, or never says that it died",
                one.found.source,
            )


def logfile(evidence: Evidence) -> Iterator[Finding]:
    """A worker that logs to a file in its container."""
    for one in _all(evidence):
        if one.command and one.command.logfile and not one.command.logfile.startswith(("/dev/", "/proc/")):
            yield Finding(
                f"{one.name} logs to {one.command.logfile} in its container: its log is empty, also when it dies",
                one.found.source,
            )


def green_driver(evidence: Evidence) -> Iterator[Finding]:
    """gevent or eventlet with a database driver in C: one query stops all tasks."""
    if not evidence.pools & _GREEN:
        return
    names = {pin.name for pin in evidence.packages()}
    for pin in evidence.packages():
        if pin.name in _BLOCKING and _BLOCKING[pin.name] not in names:
            pool = next(iter(evidence.pools & _GREEN))
            yield Finding(f"{pin.name} blocks in C: with {pool}, all tasks of a worker wait for each query", pin.place)
            return


def _all(evidence: Evidence) -> list[Runner]:
    return list({one.name: one for one in (*evidence.workers, *evidence.beats)}.values())


RULES = (
    Rule("detached", "problem", detached, "celery -A … worker, in the foreground"),
    Rule("logfile", "warning", logfile, "without --logfile"),
    Rule("green-driver", "warning", green_driver, "psycopg 3, psycogreen, or the prefork pool"),
)
