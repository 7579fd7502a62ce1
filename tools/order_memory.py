"""What an order that is done keeps in Redis: its record and result, and those of its notification.

python tools/order_memory.py [ORDERS]       bytes of each key, measured on a Redis and a worker of its own
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import redis
from failover_loss import start

from celeriac.app.client import make_app
from celeriac.app.settings import CelerySettings
from celeriac.broker import keys

sys.path.insert(0, str(Path(__file__).parents[1] / "celeriac" / "tests" / "lib"))
import shop
from shop.schemas import OrderItem, OrderPayload
from shop.tasks import process_order

KINDS = {keys.ONCE: "record", "celery-task-meta-": "result"}


def order() -> OrderPayload:
    items = tuple(OrderItem(product_id=f"product-{n}", quantity=2) for n in range(2))
    return OrderPayload(
        task_id=uuid4(), source_service="shop", customer_id="customer-4711", items=items, total_amount="59.90"
    )


def main(orders: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        server, client = start(Path(folder))
        try:
            measure(client, f"redis://127.0.0.1:{client.get_connection_kwargs()['port']}/0", orders)
        finally:
            server.terminate()
            server.wait()


def measure(client: redis.Redis, url: str, orders: int) -> None:
    contract = process_order.bind(make_app("measure", CelerySettings(broker_url=url)))
    contract.delay(order())
    work(client, url, 1)
    client.flushdb()  # what is left is the server's own: scripts, tables that have grown
    before = used(client)
    mine = {contract.delay(order()).id for _ in range(orders)}
    waiting = (used(client) - before) / orders
    work(client, url, orders)
    sums: dict[str, int] = {}
    for prefix, kind in KINDS.items():
        for key in client.scan_iter(f"{prefix}*", count=1_000):
            name = f"{kind} of the {'order' if key.removeprefix(prefix) in mine else 'notification'}"
            sums[name] = sums.get(name, 0) + int(client.memory_usage(key) or 0)
    print("| of one order | bytes |\n|---|---:|")
    for name, total in sorted(sums.items(), reverse=True):
        print(f"| {name} | {total / orders:.0f} |")
    print(f"| these four, with their place in the tables of Redis | {(used(client) - before) / orders:.0f} |")
    print(f"| while it waits: message and marker | {waiting:.0f} |")


def work(client: redis.Redis, url: str, orders: int) -> None:
    """Until they and their notifications are done."""
    environment = {**os.environ, "CELERY_BROKER_URL": url, "LOG_LEVEL": "ERROR", "PYTHONPATH": shop.PATH}
    worker = subprocess.Popen([sys.executable, "-m", "shop.worker"], env=environment, stdout=subprocess.DEVNULL)
    try:
        while client.dbsize() < 4 * orders or client.hlen(keys.UNACKED):
            time.sleep(0.2)
    finally:
        worker.terminate()
        worker.wait()


def used(client: redis.Redis) -> int:
    memory: Any = client.info("memory")
    return int(memory["used_memory"])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2_000)
