"""Who is compared, and how each one's workers are started."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import environments
from apps.settings import NOTIFICATIONS, QUEUE

LATE = "at least once"
OURS = "ours"
PLAIN = "on_celery"  # the plain app


@dataclass(frozen=True)
class Setup:
    """What a run asks of a peer's workers."""

    processes: int = 2
    tasks: int | None = None  # at a time in one process; None: what the peer is set up with for throughput
    results: bool = False
    due: bool = False  # messages with a due time: some need a scheduler beside the workers
    pool: str = ""  # of the plain app, which ours and Celery run: one worker with this pool

    def one(self) -> Setup:
        """One process of it."""
        return replace(self, processes=1)


Command = Sequence[str | Path]


@dataclass(frozen=True)
class Peer:
    name: str
    title: str
    environment: str
    app: str
    commands: Callable[[Setup], Sequence[Command]]
    queue: str  # key of the backlog
    stored: str  # pattern of the results' keys; `hash:KEY`: the fields of that hash
    rows: str = "abcdefg"
    tasks: int = 1
    redis: tuple[int, ...] = ()  # the oldest version of Redis that it works with
    guarantee: str = LATE
    bulk: bool = False
    children: str = NOTIFICATIONS  # key of the published notifications
    variables: Mapping[str, str] = field(default_factory=dict)

    def missing(self, redis: tuple[int, ...]) -> str:
        """What it needs that is not here: a Python, a version of Redis. Empty if it can be run."""
        if redis < self.redis:
            return f"it needs Redis {'.'.join(map(str, self.redis))}, and this one is {'.'.join(map(str, redis))}"
        return environments.missing(self.environment)

    def sender(self, setup: Setup) -> str:
        """The module of apps/ that publishes what these workers run."""
        return PLAIN if setup.pool else self.app

    def settings(self, port: int, setup: Setup) -> dict[str, str]:
        """The environment of its processes."""
        paths = (environments.HERE, *environments.SHARED)
        return {
            "PYTHONPATH": ":".join(map(str, paths)),
            "PYTHONWARNINGS": "ignore",
            "PEERS_PORT": str(port),
            "PEERS_RESULTS": "1" if setup.results else "0",
            "PEERS_THREADS": str(setup.tasks or self.tasks),
            "PEERS_INSTALL": "1" if self.name == OURS else "0",
            **self._own(port, setup),
            **self.variables,
        }

    def _own(self, port: int, setup: Setup) -> dict[str, str]:
        """What programs read that are not ours."""
        return {
            "RQ_REDIS_URL": f"redis://127.0.0.1:{port}/0",
            "WORKER_POOL": "threads",
            "WORKER_CONCURRENCY": str(setup.tasks or self.tasks),
            "LOG_LEVEL": "WARNING",
        }


def _python(environment: str, *words: str) -> Command:
    return [environments.python(environment), *words]


def _script(environment: str, *words: str) -> Command:
    return [environments.python(environment).with_name(words[0]), *words[1:]]


def _ours(setup: Setup) -> Sequence[Command]:
    if setup.pool:
        return _plain(setup)
    return [_python("ours", "-m", "apps.ours")] * setup.processes


# Chatter between workers that nobody here listens to.
_QUIET = ("--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING", "-Q", QUEUE)


def _celery(pool: str, concurrency: int, number: int = 0, environment: str = "main") -> Command:
    words = ("-m", "celery", "-A", "apps.on_celery", "worker", "-P", pool, "-c", str(concurrency), *_QUIET)
    return _python(environment, *words, "-n", f"w{number}@peers")


def _plain(setup: Setup) -> Sequence[Command]:
    """The plain app, one worker of it: from the same environment with our line and without it."""
    return [_celery(setup.pool, setup.tasks or 1, environment=environments.OURS)]


def _prefork(setup: Setup) -> Sequence[Command]:
    if setup.pool:
        return _plain(setup)
    # Many tasks at a time that wait: threads, in one process; children would be processes.
    return [_celery("threads", setup.tasks)] if setup.tasks else [_celery("prefork", setup.processes)]


def _solo(setup: Setup) -> Sequence[Command]:
    return [_celery("solo", 1, number) for number in range(setup.processes)]


def _dramatiq(setup: Setup) -> Sequence[Command]:
    size = ("--processes", str(setup.processes), "--threads", str(setup.tasks or 8))
    return [_python("main", "-m", "dramatiq", "apps.on_dramatiq", "-Q", QUEUE, *size)]


def _taskiq(setup: Setup) -> Sequence[Command]:
    # Of its options these two gain something: messages read ahead, and arguments taken as they are.
    fast = ("--max-prefetch", "100", "--no-parse")
    size = ("--workers", str(setup.processes), "--max-async-tasks", str(setup.tasks or 100), *fast)
    quiet = ("--log-level", "WARNING")
    commands = [_python("main", "-m", "taskiq", "worker", "apps.on_taskiq:broker", *size, *quiet)]
    if setup.due:  # due times are a scheduler's business; it looks once a second at most
        often = ("--update-interval", "1", "--loop-interval", "1")
        commands.append(_python("main", "-m", "taskiq", "scheduler", "apps.on_taskiq:scheduler", *often, *quiet))
    return commands


def _arq(setup: Setup) -> Sequence[Command]:
    return [_python("arq", "-m", "arq", "apps.on_arq.WorkerSettings")] * setup.processes


def _saq(setup: Setup) -> Sequence[Command]:
    return [_python("saq", "-m", "saq", "apps.on_saq.settings", "--workers", str(setup.processes))]


def _rq(setup: Setup) -> Sequence[Command]:
    # Its notes on performance: SimpleWorker, which runs jobs in its own process, for jobs of a few milliseconds.
    words = ["rq", "worker", "-w", "rq.worker.SimpleWorker", "--quiet"]
    scheduler = ["--with-scheduler"] if setup.due else []
    return [_script("main", *words, *scheduler, QUEUE)] * setup.processes


def _huey(setup: Setup) -> Sequence[Command]:
    kind = ("-w", str(setup.tasks or 8), "-k", "thread", "-n", "-q")  # -n: no periodic tasks
    return [_script("main", "huey_consumer", "apps.on_huey.huey", *kind)] * setup.processes


def _potatoq(setup: Setup) -> Sequence[Command]:
    size = ("-c", str(setup.processes), "--threads", str(setup.tasks or 1))
    return [_python("main", "-m", "potatoq", "-A", "apps.on_potatoq", "worker", "-l", "WARNING", "-Q", QUEUE, *size)]


def _streaq(setup: Setup) -> Sequence[Command]:
    return [_python("main", "-m", "streaq", "run", "apps.on_streaq:worker", "--workers", str(setup.processes))]


def _ardiq(setup: Setup) -> Sequence[Command]:
    return [_python("newer", "-m", "ardiq", "run", "apps.on_ardiq:app", "-q", "--workers", str(setup.processes))]


def _plus(setup: Setup) -> Sequence[Command]:
    if setup.tasks:
        return [_celery("threads", setup.tasks, environment="newer")]
    return [_celery("solo", 1, number, "newer") for number in range(setup.processes)]


def _bare(kind: str) -> Callable[[Setup], Sequence[Command]]:
    return lambda setup: [_python("main", "-m", "apps.bare", kind)] * setup.processes


PEERS = (
    # The default bound of a queue is 100,000; a backlog of that size is on its way here, and its notifications.
    Peer("ours", "ours", "ours", "ours", _ours, QUEUE, "celery-task-meta-*", "abcdefghi", bulk=True,
         variables={"CELERY_QUEUE_BOUND": "1000000"}),
    # As it comes, so with its default prefetch of 4 a child; 128 gains nothing here.
    Peer("celery", "Celery default (prefork 2)", "main", "on_celery", _prefork, QUEUE, "celery-task-meta-*",
         "abcdefgh", guarantee="at most once: acknowledged before the task runs", variables={"PEERS_PREFETCH": "4"}),
    Peer("celery-solo", "Celery 2 × solo, late", "main", "on_celery", _solo, QUEUE, "celery-task-meta-*", "abceg",
         variables={"PEERS_ACKS_LATE": "1"}),
    Peer("dramatiq", "Dramatiq 2p × 8t", "main", "on_dramatiq", _dramatiq, f"dramatiq:{QUEUE}", 32 * "?",
         children=f"dramatiq:{NOTIFICATIONS}"),
    # Its consumer sleeps while it holds as many messages as it may. Its reference has the variable, without advice.
    Peer("dramatiq-prefetch", "Dramatiq, prefetch 1,000", "main", "on_dramatiq", _dramatiq, f"dramatiq:{QUEUE}",
         32 * "?", "abcef", children=f"dramatiq:{NOTIFICATIONS}", variables={"dramatiq_queue_prefetch": "1000"}),
    Peer("taskiq", "taskiq streams 2p", "main", "on_taskiq", _taskiq, QUEUE, 32 * "?", bulk=True),
    Peer("arq", "arq 2p", "arq", "on_arq", _arq, QUEUE, "arq:result:*", tasks=100, bulk=True),
    Peer("saq", "saq 2p", "saq", "on_saq", _saq, f"saq:{QUEUE}:queued", f"saq:job:{QUEUE}:*", tasks=100, bulk=True,
         children=f"saq:{NOTIFICATIONS}:queued"),
    # One job at a time in a process: no row of waits.
    Peer("rq", "RQ 2 × SimpleWorker", "main", "on_rq", _rq, f"rq:queue:{QUEUE}", "rq:results:*", "abcdeg", bulk=True,
         children=f"rq:queue:{NOTIFICATIONS}"),
    Peer("huey", "huey 2p × 8t", "main", "on_huey", _huey, f"huey.redis.{QUEUE}", f"hash:huey.results.{QUEUE}",
         children=f"huey.redis.{NOTIFICATIONS}", guarantee="at most once: it has no acknowledgement"),
    Peer("potatoq", "potatoq 2p", "main", "on_potatoq", _potatoq, f"potatoq:q:{QUEUE}:ready",
         "potatoq:result:????????-????-*", children=f"potatoq:q:{NOTIFICATIONS}:ready", bulk=True),
    Peer("streaq", "streaQ 2p", "main", "on_streaq", _streaq, f"streaq:{QUEUE}:queues:normal",
         f"streaq:{QUEUE}:task:results:*", tasks=100, bulk=True, redis=(7, 0),
         children=f"streaq:{NOTIFICATIONS}:queues:normal"),
    Peer("ardiq", "ArdiQ 2p", "newer", "on_ardiq", _ardiq, f"ardiq:{QUEUE}:queues:default",
         f"ardiq:{QUEUE}:task:results:*", tasks=100, bulk=True, redis=(6, 2),
         children=f"ardiq:{NOTIFICATIONS}:queues:default"),
    Peer("celery-plus", "celery-redis-plus 2 × solo, late", "newer", "on_celery", _plus, f"queue:{QUEUE}",
         "celery-task-meta-*", redis=(7, 0), children=f"queue:{NOTIFICATIONS}",
         variables={"PEERS_ACKS_LATE": "1", "PEERS_TRANSPORT": "celery_redis_plus.transport:Transport"}),
    Peer("bare", "bare loop 2p", "main", "bare", _bare("bare"), QUEUE, "celery-task-meta-*", "abd", bulk=True),
    Peer("lean", "bare loop, own format 2p", "main", "bare", _bare("lean"), QUEUE, "result-*", "abd", bulk=True,
         variables={"PEERS_LEAN": "1"}),
)  # fmt: skip
BY_NAME = {peer.name: peer for peer in PEERS}
