"""Publishes to one peer, in a process of its own and in that peer's environment: `python producer.py APP VERB …`.

An APP is a module of apps/ with a class `Sender`. What was measured is printed as one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from importlib import import_module
from typing import Any

import order

BULK = 1_000  # messages in one call of a peer's own bulk publishing
WARM_UP = 50

Sender = Any  # apps: async send(task, argument, delay), many (the same for a list, or None), async close()


def argument(task: str, number: int) -> Any:
    """What a task is called with."""
    return order.payload(number).model_dump(mode="json") if task == "order" else number


async def _all(sender: Sender, task: str, numbers: Iterable[int]) -> None:
    arguments = [argument(task, number) for number in numbers]
    if sender.many is not None:
        for begin in range(0, len(arguments), BULK):
            await sender.many(task, arguments[begin : begin + BULK])
    else:
        for one in arguments:
            await sender.send(task, one, 0.0)


async def _warm(sender: Sender) -> None:
    """Connections and imports are not what is measured."""
    for number in range(WARM_UP):
        await sender.send("noop", number, 0.0)


async def fill(sender: Sender, task: str, count: str) -> dict[str, float]:
    """Publish a backlog, the fastest way there is."""
    for begin in range(0, int(count), BULK):
        await _all(sender, task, range(begin, min(begin + BULK, int(count))))
    return {}


async def loop(sender: Sender, count: str) -> dict[str, float]:
    """One call a message."""
    await _warm(sender)
    begun = time.perf_counter()
    for number in range(int(count)):
        await sender.send("noop", number, 0.0)
    return {"seconds": time.perf_counter() - begun, "published": WARM_UP + int(count)}


async def bulk(sender: Sender, count: str) -> dict[str, float]:
    """The peer's own way for many at once."""
    await _warm(sender)
    begun = time.perf_counter()
    await _all(sender, "noop", range(int(count)))
    return {"seconds": time.perf_counter() - begun, "published": WARM_UP + int(count)}


async def rate(sender: Sender, per_second: str, seconds: str) -> dict[str, float]:
    """Open loop: each message has its intended time, whatever became of those before; that time is its argument."""
    await _warm(sender)
    begun, late = time.time() + 0.1, 0.0
    for number in range(int(float(per_second) * float(seconds))):
        intended = begun + number / float(per_second)
        while (wait := intended - time.time()) > 0:
            time.sleep(min(wait, 0.0005))  # blocks the event loop; nothing else is in it
        late = max(late, time.time() - intended)
        await sender.send("stamp", intended, 0.0)
    return {"latest_seconds": late, "behind_seconds": max(0.0, time.time() - intended)}


async def due(sender: Sender, count: str) -> dict[str, float]:
    """Countdowns spread over 1 to 3 s; the argument is the due time."""
    for number in range(int(count)):
        delay = 1 + 2 * number / int(count)
        await sender.send("stamp", time.time() + delay, delay)
    return {}


VERBS = {verb.__name__: verb for verb in (fill, loop, bulk, rate, due)}


async def main(app: str, verb: str, *words: str) -> None:
    """Publish, then say what was measured."""
    sender = import_module(f"apps.{app}").Sender()
    try:
        measured = await VERBS[verb](sender, *words)
    finally:
        await sender.close()
    print(json.dumps(measured))


if __name__ == "__main__":
    try:
        from uvloop import run  # in the peers' environments: their asyncio clients are faster on it
    except ImportError:
        from asyncio import run
    run(main(*sys.argv[1:]))
