"""What Celery's task events cost a worker: the same backlog drained with them and without, by turns.

    .venv/bin/python tools/events_cost.py                  no-ops
    .venv/bin/python tools/events_cost.py --milliseconds 10

A stock worker (prefork, 2) on a Redis of its own, late acks, no results. A drain is over when the queue is empty and
nothing is claimed. With events, devctl listens as `devctl bench` does. Printed are the rates of each round, and the
median of their ratios.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import redis

from devctl.broker.plain import App
from devctl.broker.port import Message
from devctl.broker.stock import StockBroker
from devctl.stack.local.redis import binary

PORT, QUEUE, NODE = 7399, "celery", "cost@here"
APP = """
import time
from celery import Celery
app = Celery("cost", broker="redis://127.0.0.1:{port}/0")
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=16)

@app.task(name="cost.wait", ignore_result=True)
def wait(seconds):
    if seconds:
        time.sleep(seconds)
"""


@contextmanager
def running(folder: Path) -> Iterator[redis.Redis]:
    """A Redis and a worker."""
    server = [binary(os.environ["PATH"]), "--port", str(PORT), "--save", "", "--dir", str(folder)]
    (folder / "cost.py").write_text(APP.format(port=PORT))
    worker = [sys.executable, "-m", "celery", "-A", "cost", "worker", "-P", "prefork", "-c", "2", "-n", NODE]
    with (folder / "log").open("w") as log:
        processes = [subprocess.Popen(words, cwd=folder, stdout=log, stderr=log) for words in (server, worker)]
        try:
            yield redis.Redis(port=PORT)
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait()


def drain(client: redis.Redis, broker: StockBroker, tasks: int, seconds: float, *, events: bool) -> float:
    """Tasks a second."""
    messages = [Message("cost.wait", QUEUE, f"{n}", (seconds,), ignore_result=True) for n in range(tasks)]
    broker.stop_consuming(QUEUE, [NODE])
    broker.publish(messages)
    with broker.events() if events else nullcontext() as told:
        if events:
            broker.send_events([NODE])
        broker.consume(QUEUE, [NODE])
        begun, heard = time.perf_counter(), 0
        while client.llen(QUEUE) or client.hlen("unacked"):
            heard += sum(one.kind == "succeeded" for one in told.taken()) if told else 0
            time.sleep(0.02)
        rate = tasks / (time.perf_counter() - begun)
        if told:
            time.sleep(0.5)
            heard += sum(one.kind == "succeeded" for one in told.taken())
            assert heard == tasks, f"{heard} of {tasks} events heard"
            broker.withhold_events([NODE])
    return rate


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--milliseconds", type=float, default=0.0, help="that a task waits")
    parser.add_argument("--tasks", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=6)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, running(Path(name)) as client:
        broker = StockBroker(f"redis://127.0.0.1:{PORT}/0", App())
        end = time.monotonic() + 30
        while not any(one.node == NODE for one in _consumers(broker)):
            assert time.monotonic() < end, Path(name, "log").read_text()
            time.sleep(0.2)
        ratios = []
        drain(client, broker, given.tasks // 2, 0.0, events=False)  # warm
        for number in range(given.rounds):
            order = (False, True) if number % 2 == 0 else (True, False)
            rates = {one: drain(client, broker, given.tasks, given.milliseconds / 1_000, events=one) for one in order}
            ratios.append(rates[True] / rates[False])
            print(f"round {number + 1}: without {rates[False]:,.0f}/s, with {rates[True]:,.0f}/s")
        print(
            f"with events: {statistics.median(ratios):.2f} of the rate without ({min(ratios):.2f} – {max(ratios):.2f})"
        )


def _consumers(broker: StockBroker):  # type: ignore[no-untyped-def]  # of the port's type
    from devctl.errors import DevctlError

    try:
        return broker.consumers()
    except DevctlError:  # the server is not there yet
        return []


if __name__ == "__main__":
    main()
