"""What a message costs in the worker, in instructions: reading it, its runner, its part of an outcome; no Redis.

python tools/runner_cost.py                 all kinds and variants, each under valgrind (a minute each)
python tools/runner_cost.py time            the same in microseconds of CPU, as well as this machine can tell
python tools/runner_cost.py run KIND VARIANT MESSAGES   one of them, as the two above start it

A variant takes one of our short cuts out, so that its worth is the difference. Instructions do not depend on what else
the machine does: two counts of messages, and the difference between them divided by the difference in messages.
"""

import gc
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict, deque
from pathlib import Path
from typing import Any
from uuid import uuid4

KINDS = ("noop", "add", "order")
FEW, MANY = 500, 2_500
VARIANTS = {
    "as it is": "",
    "json for msgspec": "messages and bodies read by the standard library",
    "LocalStack": "current task and request pushed through Celery's stacks",
    "copied headers": "Celery's Context made from the headers, instead of adopting them",
    "store_result": "results made by Celery's backend, instead of from a template",
    "no schema check": "not a short cut but a guard: what it costs",
}
ORDER = {
    "source_service": "shop",
    "timestamp": "2026-01-01T00:00:00Z",
    "customer_id": "c-1",
    "items": [{"product_id": "p-1", "quantity": 2}],
    "total_amount": "25.00",
    "priority": "NORMAL",
}


class Kept:
    """Stands for the committer: keeps what is finished."""

    def __init__(self) -> None:
        self.held: dict[str, Any] = {}
        self.done: deque[Any] = deque()
        self.submit = self.done.append


def prepare(kind: str, variant: str, count: int) -> Any:
    """A function that takes `count` messages through a runner."""
    from celeriac.app.settings import CelerySettings
    from celeriac.claim.claims import Batch
    from celeriac.lease.starts import Starts
    from celeriac.message.frame import frame
    from celeriac.run import intake as intakes
    from celeriac.run import runner as runners
    from celeriac.run.pool import TaskPool
    from celeriac.run.threads import TaskThread
    from celeriac.worker.app import make_worker

    sys.path.insert(0, str(Path(__file__).parents[1] / "celeriac" / "tests" / "lib"))
    from shop.worker import handle_order

    app = make_worker("cost", owns=[handle_order], settings=CelerySettings())
    app.task(name="noop", ignore_result=True)(noop)
    app.task(name="add")(add)
    app.finalize()
    name = {"order": "tasks.process_order"}.get(kind, kind)
    change(variant, runners, intakes, app)
    intake = intakes.Intake.__new__(intakes.Intake)
    pool, thread, kept = TaskPool(1, app=app), TaskThread(0), Kept()
    pool.threads.append(thread)
    pool._local.thread = thread  # noqa: SLF001  this thread stands for a task thread
    vars(intake).update(
        app=app,
        hostname="w",
        pool=pool,
        committer=kept,
        leases=kept,
        starts=Starts(kept, bool, 3),
        runners={},
    )

    class Consumer:
        hostname, task_buckets, event_dispatcher = "w", defaultdict(lambda: None), None

    intake.runners[name] = runners.runner_of(app.tasks[name], app, Consumer, intake)
    raws = [("q", raw_message(frame, kind, name)) for _ in range(count)]

    def run() -> None:
        for start in range(0, count, 100):
            jobs: list[Any] = []
            pool.take = jobs.extend  # type: ignore[method-assign,assignment]
            intake.receive(Batch(b"1795702860281000", raws[start : start + 100], {}, [], {}))
            pool._run_jobs(thread, jobs)  # noqa: SLF001  what a task thread does with a chunk
            arguments: list[Any] = [len(kept.done)]
            while kept.done:
                commit = kept.done.popleft()
                arguments += commit.arguments(kept.held.pop(commit.tag).fence)

    return run


def noop() -> None:
    return


def add(x: int, y: int) -> int:
    return x + y


def raw_message(frame: Any, kind: str, name: str) -> bytes:
    task_id = str(uuid4())
    if kind == "order":
        payload = {**ORDER, "task_id": task_id, "order_id": task_id}
        made: bytes = frame(name, "q", [payload], task_id=task_id, headers={"fingerprint": "0" * 16})
    else:
        args = [] if kind == "noop" else [1, 2]
        made = frame(name, "q", args, task_id=task_id, ignore_result=kind == "noop")
    return made


def change(variant: str, runners: Any, intakes: Any, app: Any) -> None:
    from celery.app.task import Context

    from celeriac.message import reading

    if variant == "json for msgspec":
        import json

        reading._decode = json.loads  # noqa: SLF001  the step that is measured
    elif variant == "LocalStack":

        class Through:
            def __init__(self, stack: Any) -> None:
                self.append, self.pop = stack.push, stack.pop

        runners.stack_of_thread = lambda stack, bottom: Through(stack)
        runners.Runner._task_stack = staticmethod(lambda thread: Through(runners.TASKS))  # noqa: SLF001  # to measure without it
    elif variant == "copied headers":

        def adopt(headers: Any, properties: Any, args: Any, kwargs: Any, hostname: str) -> Any:
            info = properties["delivery_info"]
            return Context(headers, args=args, kwargs=kwargs, hostname=hostname, delivery_info=info)

        runners.Request.adopt = adopt
    elif variant == "store_result":
        type(app.backend).success_meta = None
    elif variant == "no schema check":
        intakes.check = lambda message: None


def instructions(kind: str, variant: str) -> float:
    """Of one message."""
    few, many = (callgrind(kind, variant, count) for count in (FEW, MANY))
    return (many - few) / (MANY - FEW)


def callgrind(kind: str, variant: str, count: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind.out"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--quiet", sys.executable, __file__]
        environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        subprocess.run([*command, "run", kind, variant, str(count)], check=True, env=environment)
        text = out.read_text()
    return int(next(line for line in text.splitlines() if line.startswith(("summary:", "totals:"))).split()[1])


def microseconds(kind: str, variant: str) -> float:
    said = subprocess.run(
        [sys.executable, __file__, "timed", kind, variant, "4000"], check=True, capture_output=True, text=True
    )
    return float(said.stdout)


def timed(kind: str, variant: str, count: int) -> float:
    run = prepare(kind, variant, count)
    settle()
    best = float("inf")
    for _ in range(9):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return best / count * 1e6


def settle() -> None:
    """As run_worker does."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def main(words: list[str]) -> None:
    match words:
        case ["run", kind, variant, count]:
            run = prepare(kind, variant, int(count))
            settle()
            run()
        case ["timed", kind, variant, count]:
            print(timed(kind, variant, int(count)))
        case [] | ["time"]:
            measure, unit = (microseconds, "us") if words else (instructions, "instructions")
            print(f"{unit + ' a message':24s}" + "".join(f"{kind:>18s}" for kind in KINDS))
            base: dict[str, float] = {}
            for variant in VARIANTS:
                cells = []
                for kind in KINDS:
                    cost = measure(kind, variant)
                    base.setdefault(kind, cost)
                    cells.append(f"{cost:10,.1f} {cost / base[kind] - 1:+6.0%} ")
                print(f"{variant:24s}" + "".join(cells), flush=True)
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
