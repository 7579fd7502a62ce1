"""The names of everything that the transport keeps in Redis, beside kombu's own."""

UNACKED = "unacked"  # kombu's: delivery tag -> [message, exchange, routing key]
LEASES = (
    "celery-leases"  # delivery tag -> deadline, in microseconds of Redis's clock; the deadline is the fencing token
)
DUE = "celery-due"  # "<list>\n<message>" -> when it is due, in microseconds of Redis's clock
STARTS = "celery-starts"  # delivery tag -> starts, of messages that were taken back from a worker that died
ONCE = "celery-once-"  # + task id -> "queued:<fingerprint>" or "done:<fingerprint>"; the second one is the record
DIRECT = "celery-direct-"  # + random id: a commit without a claim and without a record was done
REVOKED = "celery-revoked"  # task id -> when it was revoked, in microseconds of Redis's clock
REVOKED_STAMPS = "celery-revoked-stamps"  # ["<header>", <stamp>] -> the same
DEAD = "celery-dead-"  # + queue: the stream of its dead letters


def once(task_id: str) -> str:
    """Where publish once, and later the record, of this task is."""
    return ONCE + task_id


def dead(queue: str) -> str:
    """The dead letters of a queue."""
    return DEAD + queue
