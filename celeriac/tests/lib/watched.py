"""A master, its replica, and three sentinels that watch them."""

import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import redis

from servers import Server

MASTER = "orders"
DOWN_AFTER_MS = 500


class Watched:
    """`url` is what Celery takes, beside the name MASTER. `arguments` are for both Redis servers."""

    def __init__(self, binary: str, folder: Path, *arguments: str, password: str = "", asked: str = "") -> None:
        both = [*arguments]
        if password:
            both += ["--requirepass", password, "--masterauth", password]
        self.binary, self.folder, self.password, self.asked = binary, folder, password, asked
        self.master = self._redis([*both])
        self.replica = self._redis([*both, "--replicaof", f"127.0.0.1 {self.master.port}"])
        self.sentinels = [Server(binary, folder) for _ in range(3)]
        user = f":{quote(password, safe='')}@" if password else ""
        self.url = ";".join(f"sentinel://{user}127.0.0.1:{one.port}/0" for one in self.sentinels)

    def _redis(self, arguments: list[str]) -> Server:
        server = Server(self.binary, self.folder, [*arguments, "--repl-diskless-sync-delay", "0"])
        server.client = {"port": server.port, "password": self.password or None}
        return server

    @property
    def environment(self) -> dict[str, str]:
        secret = {"CELERY_SENTINEL_PASSWORD": self.asked} if self.asked else {}
        return {"CELERY_BROKER_URL": self.url, "CELERY_SENTINEL_MASTER": MASTER, **secret}

    def start(self) -> "Watched":
        self.master.start()
        self.replica.start()
        with self.replica.connect() as client:
            until(lambda: client.info("replication")["master_link_status"] == "up")
        for number, one in enumerate(self.sentinels):
            self._watch(one, self.folder / f"sentinel-{number}.conf")
        for one in self.sentinels:
            with redis.Redis(port=one.port, password=self.asked or None, decode_responses=True) as client:
                until(lambda client=client: self._knows_all(client))
        return self

    def _watch(self, server: Server, conf: Path) -> None:
        lines = [
            f"port {server.port}",
            "bind 127.0.0.1",
            f"dir {self.folder}",
            f"sentinel monitor {MASTER} 127.0.0.1 {self.master.port} 2",
            f"sentinel down-after-milliseconds {MASTER} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {MASTER} 3000",
        ]
        if self.password:
            lines.append(f"sentinel auth-pass {MASTER} {self.password}")
        if self.asked:
            lines += [f'requirepass "{self.asked}"', f'sentinel sentinel-pass "{self.asked}"']
        conf.write_text("\n".join(lines) + "\n")
        server.client = {"port": server.port, "password": self.asked or None}
        with conf.with_suffix(".log").open("ab") as log:
            server.process = subprocess.Popen([self.binary, str(conf), "--sentinel"], stdout=log, stderr=log)
        server.wait()

    def _knows_all(self, client: redis.Redis) -> bool:
        said = client.sentinel_master(MASTER)
        return (said["num-other-sentinels"], said["num-slaves"]) == (2, 1)

    def kill_master(self) -> None:
        """kill -9"""
        self.master.kill()

    def pause_replica(self) -> None:
        assert self.replica.process is not None
        self.replica.process.send_signal(signal.SIGSTOP)

    def resume_replica(self) -> None:
        assert self.replica.process is not None
        self.replica.process.send_signal(signal.SIGCONT)

    def wait_for_failover(self, seconds: float = 20) -> float:
        """How long it took until the replica was master."""
        started = time.monotonic()
        with self.replica.connect() as client:
            until(lambda: client.info("replication")["role"] == "master", seconds)
        return time.monotonic() - started

    def close(self) -> None:
        for one in (self.master, self.replica, *self.sentinels):
            one.kill()


def until(condition, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
