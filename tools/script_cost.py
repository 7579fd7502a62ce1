"""What publish.lua, claim.lua and outcome.lua cost Redis for one message.

python tools/script_cost.py [SERVER …]               us, on a server of its own: the script; the main thread, all in all
python tools/script_cost.py instructions [SERVER …]  the same in instructions of the whole server, under valgrind

Keys and arguments are those of a worker and a publisher. Instructions do not depend on what else the machine does. A
server is a binary of Redis or Valkey; without one, that of the local runtime.
"""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import redis

from celeriac.broker import keys
from celeriac.broker.lists import lists
from celeriac.claim.claims import BATCH, Batch, Claims
from celeriac.life.pack import outcomes
from celeriac.life.scribe import Scribe
from celeriac.message.frame import frame
from celeriac.outcome.commit import Commit, packed
from celeriac.outcome.committer import OUTCOME
from celeriac.publish.outgoing import Outgoing, marker, words
from celeriac.publish.publisher import SCRIPT as PUBLISH
from devctl.stack.local.redis import binary

KINDS = {"noop": "without result", "result": "result and record", "order": "the same, and a message of its own"}
SCRIBE = Scribe("worker@a", int(os.environ.get("CELERY_LIFE_LENGTH", "100000")))
STEPS = ("publish", "claim", "outcome")
MESSAGES, ROUNDS = 20_000, 3
FEW_MESSAGES = 1_000  # under valgrind
DAY_MS, RESULT_SECONDS = 86_400_000, 14_400
RESULT = '{"status": "SUCCESS", "result": null, "traceback": null, "children": [], "date_done": "%s", "task_id": "%s"}'


class Batches:
    """A step is done for all batches before the next step."""

    def __init__(self, client: redis.Redis, kind: str, messages: int) -> None:
        self.client, self.kind = client, kind
        self.connection: Any = client.connection_pool.get_connection()
        self.numbers = [range(start, start + BATCH) for start in range(0, messages, BATCH)]
        self.claims = Claims(60_000_000, 10_000, lambda *_: None, SCRIBE)
        self.claimed: list[Batch] = []

    def publish(self, _: int) -> None:
        ids = [str(uuid4()) for _ in range(BATCH)]
        raws = [frame("t", "q", [], task_id=one, headers={"fingerprint": "0" * 16}) for one in ids]
        if self.kind == "noop":  # as stock producers do
            self.client.lpush("q", *raws)
            return
        pairs = zip(ids, raws, strict=True)
        chunk = [Outgoing("t", one, "q", "q", "0" * 16, DAY_MS, raw, 0, marker(one)) for one, raw in pairs]
        names, arguments = words(chunk, 1_000_000, declared=True, scribe=SCRIBE)
        PUBLISH(self.client, names, arguments)

    def claim(self, _: int) -> None:
        self.claims.wake()
        while True:
            self.claims.start(self.connection, lists("q"), [keys.dead("q")] * len(lists("q")), BATCH)
            batch = self.claims.read(self.client, self.connection)
            if batch is not None:  # else the server did not know the script
                break
        self.claimed.append(batch)

    def outcome(self, number: int) -> None:
        batch = self.claimed[number]
        arguments: list[Any] = [len(batch.messages)]
        commits = []
        for index, (_, raw) in enumerate(batch.messages):
            at = raw.index(b'"id": "') + 7
            commits.append(self.commit(batch.tag(index), raw[at : at + 36].decode()))
            arguments += commits[-1].arguments(batch.fence)
        record = outcomes(SCRIBE.who, commits) if SCRIBE.length else b""
        words = [packed(arguments), SCRIBE.length, record]
        answer = OUTCOME(self.client, [keys.UNACKED, keys.LEASES, keys.STARTS, keys.DUE], words)
        assert answer == [[], [], []], answer

    def commit(self, tag: str, task_id: str) -> Commit:
        commit = Commit(tag, task_id)
        if self.kind != "noop":
            commit.record_key, commit.record, commit.record_ms = keys.once(task_id), f"done:{'0' * 16}", DAY_MS
            commit.result_key, commit.result_seconds = f"celery-task-meta-{task_id}", RESULT_SECONDS
            commit.result = RESULT % ("2026-01-01T00:00:00.000000+00:00", task_id)
        if self.kind == "order":
            child = frame("t", "mail", [], task_id=str(uuid4()))
            commit.add_child("mail", child)
        return commit

    def run(self, step: str, numbers: range) -> None:
        for number in numbers:
            getattr(self, step)(number)

    def __call__(self, steps: tuple[str, ...], used: Callable[[], tuple[float, ...]]) -> dict[str, list[float]]:
        """Each step, and what was used for it. The first batch makes the server learn the scripts."""
        for step in STEPS:
            self.run(step, range(1))
        costs = {}
        for step in steps:
            before = used()
            self.run(step, range(1, len(self.numbers)))
            costs[step] = [after - one for after, one in zip(used(), before, strict=True)]
        return costs


@contextmanager
def running(command: list[str]) -> Iterator[redis.Redis]:
    with socket.socket() as probe, tempfile.TemporaryDirectory() as folder:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        server = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL)
        backoff = redis.retry.Retry(redis.backoff.ConstantBackoff(0.1), 200)
        with redis.Redis(port=port, retry=backoff, retry_on_error=[redis.ConnectionError]) as client:
            client.ping()
            yield client
        server.terminate()
        server.wait()


def microseconds(server: str, kind: str) -> dict[str, list[float]]:
    """step -> us of a message: in the script, of the main thread; the smallest of some rounds."""
    with running([server]) as client:

        def used() -> tuple[float, ...]:
            cpu: Any = client.info("cpu")
            script: Any = client.info("commandstats").get("cmdstat_evalsha", {"usec": 0})
            return script["usec"], 1e6 * (cpu["used_cpu_user_main_thread"] + cpu["used_cpu_sys_main_thread"])

        rounds = []
        for _ in range(ROUNDS):
            client.flushdb()
            rounds.append(Batches(client, kind, MESSAGES + BATCH)(STEPS, used))
    return {step: [min(one[step][n] for one in rounds) / MESSAGES for n in range(2)] for step in STEPS}


def instructions(server: str, kind: str) -> dict[str, list[float]]:
    """The same in instructions of the server: what it needs for some steps, less what it needs for one step fewer."""
    sums = [callgrind(server, kind, STEPS[:count]) for count in range(len(STEPS) + 1)]
    return {step: [(sums[n + 1] - sums[n]) / FEW_MESSAGES] for n, step in enumerate(STEPS)}


def callgrind(server: str, kind: str, steps: tuple[str, ...]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(os.environ.get("CALLGRIND_OUT", folder)) / "callgrind.out"
        valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--quiet", server]
        with running(valgrind) as client:
            Batches(client, kind, FEW_MESSAGES + BATCH)(steps, lambda: ())
        lines = out.read_text().splitlines()
    return int(next(line for line in lines if line.startswith(("summary:", "totals:"))).split()[1])


def main(words: list[str]) -> None:
    measure = instructions if words[:1] == ["instructions"] else microseconds
    for server in words[measure is instructions :] or [binary(os.environ.get("PATH", ""))]:
        print(subprocess.run([server, "--version"], check=True, capture_output=True, text=True).stdout.split(" sha")[0])
        print(f"{'':36s}" + "".join(f"{step:>16s}" for step in STEPS))
        for kind, what in KINDS.items():
            costs = measure(server, kind)
            cells = [
                " ".join(f"{one:7,.0f}" if one > 1_000 else f"{one:7.2f}" for one in costs[step]) for step in STEPS
            ]
            print(f"{what:36s}" + "".join(f"{cell:>16s}" for cell in cells), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
