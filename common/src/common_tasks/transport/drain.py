"""How long a full queue needs until it takes messages again, from its depth over time as this process sees it."""

import random
import time
from collections import deque
from collections.abc import Callable

WINDOW_SECONDS = 30.0
STEP_SECONDS = 0.5  # between two samples that are kept
LEAST_SECONDS = 1.0  # between the first and the last: over less, a rate is noise
SOONEST, LATEST = 1.0, 60.0
ROOM = 0.8  # come back when a fifth of the queue is free: at the very bound, the next ones would be sent away again


class Drain:
    """Of one queue. What other processes publish is not seen: it makes the queue look slower than it is, and the wait
    longer, never shorter."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._accepted = 0
        self._samples: deque[tuple[float, int, int]] = deque()  # when, depth, how many we had published by then

    def saw(self, depth: int, accepted: int) -> None:
        """The queue had this depth just now, with so many new ones of ours in it."""
        now = self._clock()
        self._accepted += accepted
        samples = self._samples
        if samples and now - samples[-1][0] < STEP_SECONDS:
            return
        samples.append((now, depth, self._accepted))
        while now - samples[0][0] > WINDOW_SECONDS:
            samples.popleft()

    def per_second(self, depth: int) -> float | None:
        """Messages that leave it; None: nothing is known."""
        now = self._clock()
        since, before, accepted = next(iter(self._samples), (now, depth, self._accepted))
        if not LEAST_SECONDS <= now - since <= WINDOW_SECONDS:
            return None
        return max(0.0, (before + self._accepted - accepted - depth) / (now - since))

    def retry_after_seconds(
        self, depth: int, bound: int, uniform: Callable[[float, float], float] = random.uniform
    ) -> float:
        """When there should be room, from 1 to 60 s; the longest where nothing is known, or nothing leaves. And a bit
        more, not the same for everybody: a crowd that was sent away together would come back together."""
        rate = self.per_second(depth)
        wait = min(max((depth - ROOM * bound) / rate, SOONEST), LATEST) if rate else LATEST
        return wait + uniform(0.0, max(1.0, wait / 4))
