"""What devctl says when something fails, and the exit code that goes with it.

    DevctlError            1   a named problem: what is wrong, what to do next
    ├── OtherCheckout      1   the containers of this project are another folder's
    ├── UsageError         2   the command line or the payload is wrong; nothing was done
    ├── WaitTimeout        3   gave up waiting
    ├── ServiceCrashed     4   a service of the stack exited or restarted
    └── Interrupted      130   Ctrl-C

10 regression, 11 inconclusive and 12 not comparable belong to bench comparisons,
70 is a bug in devctl.
"""

from __future__ import annotations

from collections.abc import Sequence

OK, PROBLEM, USAGE, TIMED_OUT, CRASHED = 0, 1, 2, 3, 4
BUG, INTERRUPTED = 70, 130


class DevctlError(Exception):
    """A problem with a name: shown as problem, details, next step; never as a traceback."""

    exit_code = PROBLEM
    reported = False
    """What was known so far is out already: as JSON, that is the one document."""

    def __init__(self, problem: str, *, hint: str = "", details: Sequence[str] = ()) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint
        self.details = tuple(details)


class OtherCheckout(DevctlError):
    """The containers of this project are another folder's; there are none of this one."""


class UsageError(DevctlError):
    """The command or its input is wrong; nothing was done."""

    exit_code = USAGE


class WaitTimeout(DevctlError):
    """Something did not happen in the time it was given."""

    exit_code = TIMED_OUT


class ServiceCrashed(DevctlError):
    """A service exited or keeps restarting."""

    exit_code = CRASHED


class Interrupted(DevctlError):
    """Ctrl-C; the hint says what is left and how it goes away."""

    exit_code = INTERRUPTED
