"""The names of the keys in Redis."""

UNACKED = "unacked"  # kombu's: delivery tag -> [message, exchange, routing key]
LEASES = (
    "celery-leases"  # delivery tag -> deadline, in microseconds of Redis's clock; the deadline is the fencing token
)
DUE = "celery-due"  # "<list>\n<message>" -> when it is due, in microseconds of Redis's clock
STARTS = "celery-starts"  # delivery tag -> starts, of messages that were given back after a worker died
ONCE = "celery-once-"  # + task id -> "queued:<fingerprint>" or "done:<fingerprint>"; the second one is the record
UNCLAIMED = "celery-unclaimed-"  # + random id: this commit, which has no claim and no record, was done
REVOKED = "celery-revoked"  # task id -> when it was revoked, in microseconds of Redis's clock
REVOKED_STAMPS = "celery-revoked-stamps"  # ["<header>", <stamp>] -> the same
LIFE = "celery-life"  # a stream: what is written down of each step of a message (see celeriac.life)
PAUSED = "celery-paused"  # a set: the queues from which no worker of ours claims
DEAD = "celery-dead-"  # + queue: the stream of its dead letters


def once(task_id: str) -> str:
    """The key of the note of publish once, which later is the record, of this task."""
    return ONCE + task_id


def dead(queue: str) -> str:
    """The dead letters of a queue."""
    return DEAD + queue
