"""What a message costs in the worker, in instructions: reading it, its runner, its part of an outcome; no Redis.

python tools/runner_cost.py                 all kinds and variants, each under valgrind (10 s each)
python tools/runner_cost.py time            the same in microseconds of CPU, as well as this machine can tell
python tools/runner_cost.py brief           as it is, in instructions: before and after a change

A variant takes one of our short cuts out, so that its worth is the difference. Instructions do not depend on what else
the machine does. They are counted only while messages go through a runner that has run before.
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

KINDS = ("noop", "add", "number", "order")  # plain, plain with a result, a contract of a number, that of an order
WARM, COUNTED = 200, 400
VARIANTS = {
    "as it is": "",
    "two steps": "usual messages read and checked in two steps, as others are",
    "json for msgspec": "the same by the standard library",
    "LocalStack": "current task and request pushed through Celery's stacks",
    "copied headers": "Celery's Context made from the headers, instead of adopting them",
    "store_result": "results made by Celery's backend, instead of from a template",
    "no schema check": "two steps without a guard: what it costs",
    "no records": "without what is written down of each outcome: what it costs",
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
    """Stands for committer, leases, guard and claims: keeps what is finished."""

    state = "claiming"  # a queue that is never empty

    def __init__(self) -> None:
        self.held: dict[str, Any] = {}
        self.done: deque[Any] = deque()
        self.submit = self.done.append

    def wake(self) -> None:
        """As the guard, which is not here."""


def prepare(kind: str, variant: str, count: int) -> Any:
    """A function that takes `count` messages through a runner."""
    from celeriac.app.settings import CelerySettings
    from celeriac.claim.claims import Batch
    from celeriac.contract.contract import Contract
    from celeriac.contract.implementation import implements
    from celeriac.lease.starts import Starts
    from celeriac.life.pack import outcomes
    from celeriac.message.frame import frame
    from celeriac.outcome.commit import packed
    from celeriac.run import intake as intakes
    from celeriac.run import runner as runners
    from celeriac.run.pool import TaskPool
    from celeriac.run.threads import TaskThread
    from celeriac.worker.app import make_worker

    sys.path.insert(0, str(Path(__file__).parents[1] / "celeriac" / "tests" / "lib"))
    from shop.worker import handle_order

    number: Contract[Any, Any] = Contract(name="number", queue="q", payload=int, result=int)
    app = make_worker("cost", owns=[handle_order, implements(number)(same)], settings=CelerySettings())
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
        guard=kept,
        claims=kept,
    )

    class Consumer:
        hostname, task_buckets, event_dispatcher = "w", defaultdict(lambda: None), None

    intake.runners[name] = runners.runner_of(app.tasks[name], app, Consumer, intake).run
    raws = [("q", raw_message(frame, kind, name)) for _ in range(count)]

    def run() -> None:
        for start in range(0, count, 100):
            jobs: list[Any] = []
            pool.take = jobs.extend  # type: ignore[method-assign,assignment]
            intake.receive(Batch("1795702860281000", raws[start : start + 100], {}, [], {}))
            pool._run_jobs(thread, jobs)  # noqa: SLF001  what a task thread does with a chunk
            arguments: list[Any] = [len(kept.done)]
            done = list(kept.done)
            kept.done.clear()
            for commit in done:
                arguments += commit.arguments(kept.held.pop(commit.tag).fence)
            packed(arguments)
            if variant != "no records":
                outcomes("worker@a", done)

    return run


def noop() -> None:
    return


def add(x: int, y: int) -> int:
    return x + y


def same(given: int) -> int:
    return given


def raw_message(frame: Any, kind: str, name: str) -> bytes:
    task_id = str(uuid4())
    if kind == "order":
        payload = {**ORDER, "task_id": task_id, "order_id": task_id}
        made: bytes = frame(name, "q", [payload], task_id=task_id, headers={"fingerprint": "0" * 16})
    else:
        args = {"noop": [], "add": [1, 2], "number": [1]}[kind]
        headers = {"x_correlation_id": task_id, "published_at": 1795702860.281, "fingerprint": "0" * 16}
        more: Any = {"headers": headers} if kind == "number" else {}
        made = frame(name, "q", args, task_id=task_id, ignore_result=kind == "noop", **more)
    return made


def change(variant: str, runners: Any, intakes: Any, app: Any) -> None:
    from celery.app.task import Context

    from celeriac.message import reading

    if variant in ("two steps", "json for msgspec", "no schema check"):
        intakes.usual = lambda raw: None
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
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind.out"
        callgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}", "--quiet"]
        environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [*callgrind, sys.executable, __file__, "run", kind, variant, str(COUNTED)]
        subprocess.run(command, check=True, env=environment, capture_output=True)
        text = out.read_text()
    totals = [line for line in text.splitlines() if line.startswith("totals:")]
    return int(totals[-1].split()[1]) / COUNTED


def counted(kind: str, variant: str, count: int) -> None:
    """Take `count` messages through a runner while callgrind counts."""
    from celeriac.outcome import results

    # Under valgrind the time would be written anew for each message.
    clock: Any = results._Clock  # noqa: SLF001  to stop it
    clock.now = lambda self: "2026-01-01T00:00:00.000000+00:00"
    warm, run = prepare(kind, variant, WARM), prepare(kind, variant, count)
    settle()
    warm()
    for said in ("on", "off"):
        subprocess.run(["callgrind_control", "-i", said, str(os.getpid())], check=True, capture_output=True)
        if said == "on":
            run()


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
            counted(kind, variant, int(count))
        case ["timed", kind, variant, count]:
            print(timed(kind, variant, int(count)))
        case [] | ["time"] | ["brief"]:
            measure, unit = (microseconds, "us") if words == ["time"] else (instructions, "instructions")
            print(f"{unit + ' a message':24s}" + "".join(f"{kind:>18s}" for kind in KINDS))
            base: dict[str, float] = {}
            for variant in list(VARIANTS)[: 1 if words == ["brief"] else None]:
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
