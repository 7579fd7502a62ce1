"""What became of the messages of this worker, and how long each part took: counted once for each batch of outcomes, in
the thread that reads Redis's answers. Nothing is sorted into buckets there: that is done for thousands at once."""

import threading
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime
from operator import sub
from time import monotonic, time
from typing import Any

from celeriac.correlation import PUBLISHED_AT
from celeriac.outcome.commit import Commit, Verdict

BUCKETS = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    300.0,
    3600.0,
)
STARTED = "started"
STATES = (STARTED, "succeeded", "failed", "retrying", "revoked", "dead", "refused", "repeated")
WAIT, RUN, END_TO_END = "wait", "run", "end_to_end"
UNKNOWN = "unknown"  # in place of the name of a task that is not this worker's: anybody can send any name
KEPT = 2_000  # values, until they are sorted into buckets
CELERYS = {"FAILURE": "failed", "RETRY": "retrying", "REVOKED": "revoked", "SUCCESS": "succeeded"}
COMMITTED, REPEATED = Verdict.COMMITTED, Verdict.REPEATED


class Durations:
    """A histogram that is filled by lists. Whoever has the lock of its owner calls it."""

    def __init__(self) -> None:
        self._new: list[float] = []
        self._counts = [0] * len(BUCKETS)  # how many were that short, or shorter
        self._count, self.sum = 0, 0.0

    def add(self, values: Iterable[float]) -> None:
        """In seconds."""
        new = self._new
        new += values
        if len(new) > KEPT:
            self._sort()

    def shown(self) -> tuple[list[tuple[str, float]], float]:
        """As prometheus-client wants it: (upper bound, how many) of each bucket, and the sum."""
        self._sort()
        bounds = [(str(bound), float(count)) for bound, count in zip(BUCKETS, self._counts, strict=True)]
        return [*bounds, ("+Inf", float(self._count))], self.sum

    def _sort(self) -> None:
        new = self._new
        new.sort()
        if new and new[0] < 0.0:  # the clock of a publisher is ahead of ours
            ahead = bisect_left(new, 0.0)
            new[:ahead] = [0.0] * ahead
        for number, bound in enumerate(BUCKETS):
            self._counts[number] += bisect_right(new, bound)
        self._count += len(new)
        self.sum += sum(new)
        new.clear()


class Tally:
    """Counts for one worker. Every thread may call it. `tasks`: those of its app; a name that is none of them counts as
    `unknown`, for anybody can send any name."""

    def __init__(self, tasks: Container[str]) -> None:
        self._tasks = tasks
        self._lock = threading.Lock()
        self._states: Counter[tuple[str, str]] = Counter()
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._durations: dict[tuple[str, str], Durations] = {}
        self._commits = Durations()
        self._most_started: dict[str, int] = {}
        self.bodies = True
        """False: bodies run where no outcome tells of them, and somebody else counts; then only commits are timed."""

    def __call__(self, batch: Sequence[tuple[Commit, Any]], *, alike: bool = False) -> None:
        """Redis has answered to these: each has its verdict. `alike`: all are committed."""
        now = monotonic()
        shift = time() - now  # from the monotonic clock to that of the publishers' stamps
        commits = [commit for commit, _ in batch]
        with self._lock:
            if commits and commits[0].until:
                self._commits.add((now - commits[0].until,))
            if not self.bodies:
                return
            if alike and [one.facts for one in commits].count(None) == len(commits):  # most batches
                since = [one.since for one in commits]
                if len({one.task for one in commits}) == 1 and 0.0 not in since:
                    self._succeeded(commits, since, now, shift)
                    return
            self._each(commits, now, shift)

    def count(self, task: Any, state: str) -> None:
        """One more."""
        with self._lock:
            self._states[self._known(task), state] += 1

    def died(self, task: Any, reason: str) -> None:
        """A dead letter that no outcome tells of: the claim has written it."""
        if self.bodies:
            self.buried(task, reason)

    def buried(self, task: Any, reason: str) -> None:
        """A dead letter."""
        with self._lock:
            self._dead(self._known(task), reason)

    def took(self, task: Any, part: str, seconds: float) -> None:
        """One duration: WAIT, RUN, END_TO_END."""
        with self._lock:
            self._of(self._known(task), part).add((seconds,))

    def states(self, running: Mapping[str, int]) -> dict[tuple[str, str], int]:
        """Task and state -> how many. `running`: of bodies that run now, by task: they have started, too."""
        with self._lock:
            found = dict(self._states)
            for task in {*running, *self._most_started, *(task for task, _ in found)}:
                started = found.get((task, STARTED), 0) + running.get(task, 0)
                # One that has just ended, and has no answer yet, is in neither: but a counter never falls.
                found[task, STARTED] = self._most_started[task] = max(started, self._most_started.get(task, 0))
        return found

    def reasons(self) -> dict[tuple[str, str], int]:
        """Task and reason -> dead letters."""
        with self._lock:
            return dict(self._reasons)

    def durations(self, part: str) -> dict[str, tuple[list[tuple[str, float]], float]]:
        """Task -> its histogram."""
        with self._lock:
            return {task: one.shown() for (task, name), one in self._durations.items() if name == part}

    def commits(self) -> tuple[list[tuple[str, float]], float]:
        """From the end of a body to Redis's answer: of the oldest outcome in each call."""
        with self._lock:
            return self._commits.shown()

    # Under the lock

    def _known(self, task: Any) -> str:
        return task if isinstance(task, str) and task in self._tasks else UNKNOWN

    def _of(self, task: str, part: str) -> Durations:
        found = self._durations.get((task, part))
        if found is None:
            found = self._durations[task, part] = Durations()
        return found

    def _each(self, commits: list[Commit], now: float, shift: float) -> None:
        by_task: dict[str, list[Commit]] = {}
        for one in commits:
            if one.verdict is COMMITTED and one.since and "state" not in (one.facts or ()):
                by_task.setdefault(one.task, []).append(one)
            else:
                self._one(one, now, shift)
        for some in by_task.values():
            self._succeeded(some, [one.since for one in some], now, shift)

    def _succeeded(self, commits: list[Commit], since: list[float], now: float, shift: float) -> None:
        """All of one task."""
        task = self._known(commits[0].task)
        self._states[task, "succeeded"] += len(commits)
        self._ran(task, commits, since, now, shift, ended=True)

    def _ran(
        self, task: str, commits: list[Commit], since: list[float], now: float, shift: float, *, ended: bool
    ) -> None:
        """Their bodies have run."""
        self._states[task, STARTED] += len(commits)
        self._of(task, RUN).add(map(sub, [one.until for one in commits], since))
        try:
            published = [one.headers[PUBLISHED_AT] for one in commits]  # type: ignore[index]  # None is a TypeError
            ready = published
            # Not a generator, which takes twice as long.
            if any([one.headers["eta"] for one in commits]):  # type: ignore[index]  # noqa: C419  the same
                ready = [could_run_at(one.headers or {}) for one in commits]
            self._of(task, WAIT).add([begun + shift - at for begun, at in zip(since, ready, strict=True)])
            if ended:
                wall = now + shift
                self._of(task, END_TO_END).add([wall - at for at in published])
        except (KeyError, TypeError):  # of a stock client, who writes no time
            for one in commits:
                self._waited(task, one, now, shift, ended=ended)

    def _waited(self, task: str, commit: Commit, now: float, shift: float, *, ended: bool) -> None:
        headers = commit.headers or {}
        published = headers.get(PUBLISHED_AT)
        if not isinstance(published, int | float):
            return
        self._of(task, WAIT).add((commit.since + shift - could_run_at(headers),))
        if ended:
            self._of(task, END_TO_END).add((now + shift - published,))

    def _one(self, commit: Commit, now: float, shift: float) -> None:
        """An unusual one."""
        task, facts = self._known(commit.task), commit.facts or {}
        state = CELERYS.get(facts.get("state", ""), "")
        if commit.verdict is not COMMITTED:
            state = str(commit.verdict)
        if state in STATES:
            self._states[task, state] += 1
        if commit.verdict is COMMITTED and facts.get("dead"):
            self._dead(task, str(facts.get("reason") or UNKNOWN))
        if commit.since and commit.until:
            ended = commit.verdict in (COMMITTED, REPEATED) and state != "retrying"
            self._ran(task, [commit], [commit.since], now, shift, ended=ended)

    def _dead(self, task: str, reason: str) -> None:
        self._states[task, "dead"] += 1
        self._reasons[task, reason] += 1


def could_run_at(headers: Mapping[str, Any]) -> Any:
    """From when on it could have run: its publish, or the time that it was to wait for."""
    published, due = headers.get(PUBLISHED_AT), headers.get("eta")
    if not isinstance(published, int | float) or not isinstance(due, str):
        return published
    try:
        return max(published, datetime.fromisoformat(due).timestamp())
    except ValueError:
        return published
