"""Tasks as anyone writes them with Celery. Run by stock workers and by ours; nothing of this repository is imported."""

import json
import os
import time

import redis
from celery import Task, shared_task, signals
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from celery.result import allow_join_result


def note(kind, **fields):
    """A line that the test can read, whichever process writes it."""
    line = json.dumps({"note": kind, "at": time.time(), "pid": os.getpid(), **fields}, default=str) + "\n"
    target = os.open(os.environ["INTEROP_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(target, line.encode())
    os.close(target)


class Odd(Exception):
    """Its arguments are not one text, and no client knows its class."""


class Hooked(Task):
    def before_start(self, task_id, args, kwargs):
        note("before_start", id=task_id)

    def on_success(self, retval, task_id, args, kwargs):
        note("on_success", id=task_id)

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        note("on_failure", id=task_id)

    def after_return(self, status, retval, task_id, args, kwargs, einfo):
        note("after_return", id=task_id, status=status)


@shared_task(name="interop.add")
def add(x, y):
    return x + y


@shared_task(name="interop.total")
def total(numbers):
    return sum(numbers)


@shared_task(name="interop.echo")
def echo(value=None, **more):
    return {"value": value, **more} if more else value


@shared_task(name="interop.kinds")
def kinds(*values):
    return [type(value).__name__ for value in values]


@shared_task(name="interop.once")
def once(key):
    note("once", key=key, worker=os.environ["INTEROP_NAME"])
    return os.environ["INTEROP_NAME"]


@shared_task(name="interop.stamp")
def stamp(key=None):
    note("stamp", key=key)
    return time.time()


@shared_task(name="interop.quiet", ignore_result=True)
def quiet(key):
    note("quiet", key=key)
    return "nobody asks"


@shared_task(name="interop.sleep")
def sleep(seconds, key=None):
    note("sleep", key=key)
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, 0.02))
    note("slept", key=key)
    return key


@shared_task(name="interop.patient", bind=True)
def patient(self, seconds):
    try:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.01)
    except SoftTimeLimitExceeded:
        return "soft limit"
    return "to its end"


@shared_task(name="interop.boom")
def boom(text):
    raise ValueError(text)


@shared_task(name="interop.odd")
def odd():
    raise Odd(1, "two", [3])


@shared_task(name="interop.unencodable")
def unencodable():
    return object()


@shared_task(name="interop.again", bind=True, max_retries=5)
def again(self, failures, countdown=0.05):
    note("again", id=self.request.id, retries=self.request.retries)
    if self.request.retries < failures:
        raise self.retry(countdown=countdown)
    return self.request.retries


@shared_task(name="interop.hopeless", bind=True, max_retries=2)
def hopeless(self):
    try:
        raise KeyError("lost")
    except KeyError as exc:
        raise self.retry(exc=exc, countdown=0) from None


@shared_task(name="interop.auto", bind=True, autoretry_for=(OSError,), retry_kwargs={"max_retries": 3, "countdown": 0})
def auto(self, failures):
    if self.request.retries < failures:
        raise OSError("not yet")
    return self.request.retries


@shared_task(name="interop.backoff", bind=True, autoretry_for=(OSError,), retry_backoff=True, max_retries=1)
def backoff(self):
    if not self.request.retries:
        raise OSError("not yet")
    return self.request.retries


@shared_task(name="interop.ignored", bind=True)
def ignored(self):
    note("ignored", id=self.request.id)
    raise Ignore


@shared_task(name="interop.rejected", bind=True)
def rejected(self, key, requeue):
    with redis.Redis.from_url(self.app.conf.broker_url) as client:
        starts = client.incr(f"rejected:{key}")
    note("rejected", id=self.request.id, starts=starts)
    if starts == 1:
        raise Reject("not mine", requeue=requeue)
    return starts


def acknowledged(app, seconds):
    """Whether the broker holds nothing, before that time is over; there must be no other task."""
    until = time.monotonic() + seconds
    with redis.Redis.from_url(app.conf.broker_url) as client:
        while time.monotonic() < until:
            if not client.hlen("unacked"):
                return True
            time.sleep(0.02)
    return False


@shared_task(name="interop.early", bind=True, acks_late=False)
def early(self, seconds):
    return acknowledged(self.app, seconds)


@shared_task(name="interop.late", bind=True, acks_late=True)
def late(self, seconds):
    return acknowledged(self.app, seconds)


@shared_task(name="interop.progress", bind=True)
def progress(self, seconds):
    self.update_state(state="PROGRESS", meta={"done": 42})
    time.sleep(seconds)
    return "done"


@shared_task(name="interop.request", bind=True)
def request(self):
    fields = ("id", "root_id", "parent_id", "group", "retries", "correlation_id", "reply_to", "hostname", "origin")
    return {
        **{name: getattr(self.request, name, None) for name in fields},
        "queue": self.request.delivery_info["routing_key"],
        "priority": self.request.delivery_info["priority"],
        "colour": (self.request.headers or {}).get("colour"),
    }


@shared_task(name="interop.replaced", bind=True)
def replaced(self, x):
    raise self.replace(self.app.signature("interop.add", args=(x, 1)))


@shared_task(name="interop.parent", bind=True)
def parent(self, key, fails):
    self.app.send_task("interop.once", args=(key,))
    if fails:
        raise ValueError("after publishing")
    return key


@shared_task(name="interop.joins", bind=True)
def joins(self, x):
    child = self.app.send_task("interop.add", args=(x, 1))
    with allow_join_result():
        return child.get(timeout=8)


@shared_task(name="interop.call_error")
def call_error(request, exc, traceback):
    note("call_error", id=request.id, error=type(exc).__name__)


@shared_task(name="interop.told")
def told(value):
    note("told", value=value)
    return value


@shared_task(name="interop.raising_hooks", base=Hooked)
def raising_hooks(fails):
    if fails:
        raise ValueError("hooked")
    return "hooked"


def observe(names):
    """Note each of these signals. A worker that nobody observes may go a shorter way, so not all do."""
    for name in names:

        def seen(sender=None, task_id=None, request=None, name=name, **fields):
            found = task_id or getattr(request, "id", None) or getattr(getattr(sender, "request", None), "id", None)
            task = getattr(request, "task_name", None) or getattr(sender, "name", None) or str(sender)
            note("signal", signal=name, id=found, task=task, fields=sorted(set(fields) - {"signal"}))

        getattr(signals, name).connect(seen, weak=False)


def tell_when_ready():
    signals.worker_ready.connect(lambda sender, **_: note("ready", hostname=str(sender.hostname)), weak=False)
