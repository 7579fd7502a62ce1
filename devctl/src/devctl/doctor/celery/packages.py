"""Versions that are known to lose work, or to leave a worker deaf."""

from __future__ import annotations

from collections.abc import Iterator

from devctl.doctor.celery.evidence import Evidence, Pin
from devctl.doctor.celery.rule import Finding, Rule


def unpinned(evidence: Evidence) -> Iterator[Finding]:
    """celery without a version: the next build may bring another one."""
    mine = [pin for pin in evidence.packages() if pin.name == "celery"]
    if mine and not any(pin.bounded for pin in mine):
        yield Finding("celery in any version: the next build of the image may bring another one", mine[0].place)


def deaf(evidence: Evidence) -> Iterator[Finding]:
    """kombu 5.2.3 to 5.3 on Redis: a worker that reconnects may take nothing any more."""
    if evidence.broker != "redis":
        return
    for pin in _of(evidence, "kombu"):
        if (5, 2, 3) <= pin.numbers < (5, 4):
            yield Finding(
                f"kombu {pin.version}: a worker whose connection to Redis broke may take no more tasks until it is"
                " restarted",
                pin.place,
            )


def redis_client(evidence: Evidence) -> Iterator[Finding]:
    """A version of redis that kombu excludes."""
    if evidence.broker != "redis":
        return
    kombu = next(iter(_of(evidence, "kombu")), None)
    for pin in _of(evidence, "redis"):
        old = kombu is not None and kombu.numbers < (5, 7)
        if pin.version in ("4.5.5", "5.0.2") or (old and pin.numbers >= (6, 5)):
            yield Finding(
                f"redis {pin.version} is one that kombu excludes: it fails, or leaves workers deaf", pin.place
            )


def results_run_code(evidence: Evidence) -> Iterator[Finding]:
    """celery before 5.2.2: who can write to the result store can run commands (CVE-2021-23727)."""
    for pin in _of(evidence, "celery"):
        if (4,) <= pin.numbers < (5, 2, 2):
            yield Finding(
                f"celery {pin.version}: who can write to the result store can run commands in who reads results"
                " (CVE-2021-23727)",
                pin.place,
            )


def _of(evidence: Evidence, name: str) -> list[Pin]:
    return [pin for pin in evidence.packages() if pin.name == name and pin.numbers]


RULES = (
    Rule("celery-unpinned", "warning", unpinned, "a version, or a lock: celery==5.…"),
    Rule("kombu-deaf", "problem", deaf, "kombu 5.4 or later"),
    Rule("redis-excluded", "problem", redis_client, "celery[redis], and no version of redis beside it"),
    Rule("celery-cve", "warning", results_run_code, "celery 5.2.2 or later"),
)
