from __future__ import annotations

import threading
import time
import types
from collections.abc import Iterator

from devctl.doctor.check import Check
from devctl.doctor.checks import CHECKS
from devctl.doctor.facts import Facts, Once
from devctl.doctor.run import examine
from devctl.errors import DevctlError


def facts() -> Facts:
    return Facts(types.SimpleNamespace(settings=None))  # type: ignore[arg-type]


def good(_: Facts) -> Iterator[Check]:
    yield Check("good", "ok", "fine")


def test_findings_come_in_the_order_of_the_checks_whatever_the_time_each_takes() -> None:
    first = threading.Event()

    def slow(_: Facts) -> Iterator[Check]:
        first.wait(5)
        yield Check("slow", "ok", "fine")

    def quick(_: Facts) -> Iterator[Check]:
        yield Check("quick", "ok", "fine")
        first.set()

    assert ["slow", "quick"] == [check.name for check in examine(facts(), [slow, quick])]


def test_a_check_that_hangs_is_a_finding_and_what_it_found_before_counts() -> None:
    never = threading.Event()

    def hangs_here(_: Facts) -> Iterator[Check]:
        yield Check("half", "ok", "fine")
        never.wait(60)
        yield Check("never", "ok", "fine")

    begun = time.monotonic()
    checks = examine(facts(), [hangs_here, good], seconds=0.2)
    assert time.monotonic() - begun < 2
    assert [("half", "ok"), ("hangs here", "warning"), ("good", "ok")] == [(c.name, c.status) for c in checks]
    never.set()


def test_a_problem_with_a_name_is_a_finding() -> None:
    def broken(_: Facts) -> Iterator[Check]:
        yield Check("before", "ok", "fine")
        raise DevctlError("docker-compose.yml:3: not YAML", hint="look at line 3\nreally")

    assert [
        Check("before", "ok", "fine"),
        Check("broken", "problem", "docker-compose.yml:3: not YAML", "look at line 3; really"),
    ] == examine(facts(), [broken])


def test_a_problem_that_stops_several_checks_is_said_once() -> None:
    def first(_: Facts) -> Iterator[Check]:
        raise DevctlError("not YAML", hint="look")
        yield

    def second(_: Facts) -> Iterator[Check]:
        yield Check("own", "ok", "fine")
        raise DevctlError("not YAML", hint="look")

    assert ["first", "own"] == [check.name for check in examine(facts(), [first, second])]


def test_a_bug_in_one_check_leaves_the_others_alone() -> None:
    def buggy(_: Facts) -> Iterator[Check]:
        raise KeyError("x")
        yield

    first, second = examine(facts(), [buggy, good])
    assert ("warning", "this check failed: KeyError: 'x'") == (first.status, first.message)
    assert "ok" == second.status


def test_a_fact_is_asked_for_once_by_many_threads_and_its_failure_is_kept() -> None:
    asked: list[str] = []

    class Slow(Facts):
        @Once
        def value(self) -> int:
            asked.append("value")
            time.sleep(0.05)
            return 7

        @Once
        def failing(self) -> int:
            asked.append("failing")
            raise DevctlError("no")

    shared = Slow(types.SimpleNamespace(settings=None))  # type: ignore[arg-type]

    def check(_: Facts) -> Iterator[Check]:
        yield Check("value", "ok", str(shared.value))
        shared.failing  # noqa: B018

    results = examine(facts(), [check] * 5)
    assert ["7", "no", "7", "7", "7", "7"] == [one.message for one in results]  # a problem is said once
    assert ["failing", "value"] == sorted(asked)


def test_every_check_is_listed_once() -> None:
    assert len({check.__name__ for check in CHECKS}) == len(CHECKS)
