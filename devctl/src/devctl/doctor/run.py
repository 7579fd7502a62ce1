"""All checks at once, in bounded time: one that hangs is a finding, not a wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from devctl.doctor.check import Check
from devctl.doctor.facts import Examination, Facts
from devctl.errors import DevctlError

AT_MOST_SECONDS = 10.0  # the slowest honest answer is the engine's, 5 s


def examine(
    facts: Facts,
    checks: Sequence[Examination],
    *,
    subjects: Mapping[str, Sequence[Examination]] | None = None,
    seconds: float = AT_MOST_SECONDS,
    patience: Mapping[Examination, float] | None = None,
) -> list[Check]:
    """Run the checks side by side; their findings come in the order of the checks, each with its subject.

    `patience`: the seconds of those that have more to do than to wait for somebody.
    """
    found: list[list[Check]] = [[] for _ in checks]
    threads = [
        threading.Thread(target=_one, args=(check, facts, into), daemon=True, name=check.__name__)
        for check, into in zip(checks, found, strict=True)
    ]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for check, thread, into in zip(checks, threads, found, strict=True):
        most = (patience or {}).get(check, seconds)
        thread.join(max(0.0, begun + most - time.monotonic()))
        if thread.is_alive():
            into = into.copy()  # noqa: PLW2901 – its thread may still write
            into.append(Check(_noun(thread.name), "warning", f"no answer within {most:.0f} s", "try again"))
            found[threads.index(thread)] = into
    subject_of = {check: subject for subject, ones in (subjects or {}).items() for check in ones}
    return _said_once(
        [
            replace(finding, subject=subject_of.get(check, ""))
            for check, findings in zip(checks, found, strict=True)
            for finding in findings
        ]
    )


def _said_once(checks: Sequence[Check]) -> list[Check]:
    """Without repetitions: a file that does not read stops every check that needs it, and is said where it is read."""
    said: set[tuple[str, str, str]] = set()
    own = {(one.message, one.fix, one.place) for one in checks if one.name == "compose file"}
    kept = []
    for check in checks:
        words = (check.message, check.fix, check.place)
        if check.status == "problem" and (words in said or (words in own and check.name != "compose file")):
            continue
        said.add(words)
        kept.append(check)
    return kept


def _one(check: Examination, facts: Facts, into: list[Check]) -> None:
    try:
        for finding in check(facts):
            into.append(finding)  # one by one: what was found before it hangs or fails counts
    except DevctlError as problem:
        into.append(Check(_noun(check.__name__), "problem", problem.problem, problem.hint.replace("\n", "; ")))
    except Exception as bug:  # the other checks are worth as much as before
        message = f"this check failed: {type(bug).__name__}: {bug}"
        into.append(Check(_noun(check.__name__), "warning", message, "please report it: it is a bug in devctl"))


def _noun(function: str) -> str:
    return function.replace("_", " ")
