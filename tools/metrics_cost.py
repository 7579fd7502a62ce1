"""What metrics cost a message in the worker: `Tally` over batches of usual outcomes, in microseconds of CPU.

python tools/metrics_cost.py      the best of many, as well as this machine can tell; without metrics it is 0
"""

import time

from celeriac.outcome.commit import Commit, Verdict
from celeriac.worker.tally import Tally

SIZES = (100, 32, 8)  # outcomes in one answer of Redis: under load there are dozens
MESSAGES, ROUNDS = 800, 60


def batch(size: int) -> list[tuple[Commit, None]]:
    """Outcomes of one task, one after the other, as a task thread makes them."""
    begun, published, made = time.monotonic() - 0.005, time.time() - 1, []
    for number in range(size):
        commit = Commit("tag", "id", "task")
        commit.since, commit.until = begun + number * 5e-5, begun + number * 5e-5 + 3e-5
        commit.verdict = Verdict.COMMITTED
        more = {f"header{one}": one for one in range(15)}
        commit.headers = {"task": "task", "published_at": published + number * 5e-5, "eta": None, **more}
        made.append((commit, None))
    return made


def microseconds(size: int) -> float:
    tally, batches = Tally({"task"}), [batch(size) for _ in range(MESSAGES // size)]
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.thread_time()
        for _ in range(4):  # so that each round sorts, too: KEPT values are sorted at once
            for one in batches:
                tally(one, alike=True)
        best = min(best, time.thread_time() - start)
    return best / 4 / size / len(batches) * 1e6


if __name__ == "__main__":
    for size in SIZES:
        print(f"{size:4} outcomes in an answer: {microseconds(size):.2f} us a message")
