"""Redis in its many forms: of several ages and makes, with TLS, with users, on a socket, behind Sentinel."""

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

START_SECONDS = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Refused(Exception):
    """This Redis does not start with what it was told: its log."""


@dataclass
class Server:
    """A Redis process. `url` is what Celery takes, `connect()` is a client that may do everything."""

    binary: str
    folder: Path
    arguments: list[str] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    url: str = ""
    transport_options: dict[str, Any] = field(default_factory=dict)  # what Celery needs beside the URL
    client: dict[str, Any] = field(default_factory=dict)
    beside: list["Server"] = field(default_factory=list)  # that stop with it

    def __post_init__(self) -> None:
        self.url = self.url or f"redis://127.0.0.1:{self.port}/0"
        self.client = self.client or {"port": self.port}

    def start(self) -> "Server":
        with (self.folder / f"redis-{self.port}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *self.arguments],
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        self.wait()
        return self

    def wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.process is not None and self.process.poll() is not None:
                raise Refused((self.folder / f"redis-{self.port}.log").read_text(errors="replace")[-2000:])
            assert time.monotonic() < deadline, f"no answer from {self.binary} {self.arguments}"
            time.sleep(0.02)

    def answers(self) -> bool:
        with contextlib.suppress(redis.RedisError, OSError), self.connect(socket_timeout=1) as client:
            return bool(client.ping())
        return False

    def connect(self, **options: Any) -> Any:
        return redis.Redis(**self.client, decode_responses=True, **options)

    def kill(self) -> None:
        """At once, as a power cut."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """In peace: what it holds is written."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)

    def close(self) -> None:
        self.kill()
        for one in self.beside:
            one.close()


class Container(Server):
    """The same in a container."""

    def start(self) -> "Server":
        self.name = f"interop-redis-{self.port}"
        run = ["docker", "run", "--detach", "--rm", "--name", self.name, "--publish", f"127.0.0.1:{self.port}:6379"]
        subprocess.run([*run, self.binary, "redis-server", "--save", ""], check=True, capture_output=True, timeout=120)
        self.wait()
        return self

    def kill(self) -> None:
        subprocess.run(["docker", "rm", "--force", self.name], check=False, capture_output=True, timeout=60)


def tls(binary: str, folder: Path) -> Server:
    """With a certificate that it signed itself, and none of the client's."""
    if shutil.which("openssl") is None:
        raise FileNotFoundError("openssl")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    make += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(make, check=True, capture_output=True, timeout=60)
    port = free_port()
    arguments = ["--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no"]
    arguments += ["--tls-cert-file", str(key.with_name("certificate.pem")), "--tls-key-file", str(key)]
    return Server(
        binary,
        folder,
        arguments,
        port,
        url=f"rediss://localhost:{port}/0?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs={certificate}",
        client={"host": "localhost", "port": port, "ssl": True, "ssl_ca_certs": str(certificate)},
    )


def unix(binary: str, folder: Path) -> Server:
    path = f"/tmp/interop-{free_port()}.sock"  # pytest's folders are too deep for the name of a socket
    return Server(
        binary,
        folder,
        ["--unixsocket", path],
        url=f"redis+socket://{path}?virtual_host=3",
        client={"unix_socket_path": path, "db": 3},
    )


# What stock Celery and our transport touch, and nothing else.
KEYS = [
    "~default*",
    "~other*",
    "~third*",
    "~_kombu.*",
    "~unacked*",
    "~celery*",
    "~*.celery.pidbox*",
    "~rejected*",
]
# A pattern to subscribe to must be allowed to the letter.
CHANNELS = ["&/0.celery.pidbox", "&/0.celeryev/*", "&celery-task-meta-*"]


def acl(binary: str, folder: Path) -> Server:
    """A user who may do everything but administer and harm, and touches only what is Celery's."""
    server = Server(binary, folder)
    start = server.start

    def begin() -> Server:
        start()
        with server.connect() as admin:
            rights = ["+@all", "-@admin", "-@dangerous", "+info", *KEYS, "resetchannels", *CHANNELS]
            admin.execute_command("ACL", "SETUSER", "worker", "on", ">secret", *rights)
        server.url = f"redis://worker:secret@127.0.0.1:{server.port}/0"
        return server

    server.start = begin  # type: ignore[method-assign]
    return server


def sentinel(binary: str, folder: Path) -> Server:
    """One primary, and one Sentinel that names it."""
    primary = Server(binary, folder)
    watch = Server(binary, folder)
    conf = folder / "sentinel.conf"
    conf.write_text(
        f"port {watch.port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor orders 127.0.0.1 {primary.port} 1\nsentinel down-after-milliseconds orders 1000\n"
    )
    watch.arguments = []
    start = primary.start

    def begin() -> Server:
        start()
        with (folder / "sentinel.log").open("ab") as log:
            watch.process = subprocess.Popen([binary, str(conf), "--sentinel"], cwd=folder, stdout=log, stderr=log)
        watch.wait()
        return primary

    primary.start = begin  # type: ignore[method-assign]
    primary.url = f"sentinel://127.0.0.1:{watch.port}/0"
    primary.transport_options = {"master_name": "orders"}
    primary.beside = [watch]
    return primary
