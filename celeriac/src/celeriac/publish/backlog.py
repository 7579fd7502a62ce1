"""When a full queue takes messages again: an estimate from its depth over time, as this process sees it."""

import random
import time
from collections import deque
from collections.abc import Callable

WINDOW_SECONDS = 30.0
STEP_SECONDS = 0.5  # between two samples that are kept
LEAST_SECONDS = 1.0  # between the first and the last sample; in less time no rate can be measured
SOONEST, LATEST = 1.0, 60.0
ROOM = 0.8  # of the bound. Publishers come back when a fifth is free; else most of them would be refused again


class Backlog:
    """One queue. This process does not see what others publish. So the queue may seem slower than it is, and the wait
    is then too long, never too short."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._accepted = 0
        self._samples: deque[tuple[float, int, int]] = deque()  # when, depth, how many we had published by then

    def saw(self, depth: int, accepted: int) -> None:
        """Note the depth of the queue now, and how many messages of ours were just accepted."""
        now = self._clock()
        self._accepted += accepted
        samples = self._samples
        if samples and now - samples[-1][0] < STEP_SECONDS:
            return
        samples.append((now, depth, self._accepted))
        while now - samples[0][0] > WINDOW_SECONDS:
            samples.popleft()

    @property
    def used(self) -> bool:
        """Whether a message of ours was ever accepted."""
        return self._accepted > 0

    def per_second(self, depth: int) -> float | None:
        """How many messages leave the queue in a second; None: unknown."""
        now = self._clock()
        since, before, accepted = next(iter(self._samples), (now, depth, self._accepted))
        if not LEAST_SECONDS <= now - since <= WINDOW_SECONDS:
            return None
        return max(0.0, (before + self._accepted - accepted - depth) / (now - since))

    def retry_after_seconds(
        self, depth: int, bound: int, uniform: Callable[[float, float], float] = random.uniform
    ) -> float:
        """Seconds until there should be room: 1 to 60; and 60 if nothing is known, or nothing leaves the queue. A
        random part is added, so that publishers who were refused together do not all come back together."""
        rate = self.per_second(depth)
        wait = min(max((depth - ROOM * bound) / rate, SOONEST), LATEST) if rate else LATEST
        return wait + uniform(0.0, max(1.0, wait / 4))
