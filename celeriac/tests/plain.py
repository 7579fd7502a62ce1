"""A service of plain Celery tasks, no contracts; run as a script it is its worker."""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import redis
from celery import Task, chord, group, signals
from celery.exceptions import Ignore, Reject
from celery.result import AsyncResult, GroupResult, allow_join_result

import celeriac
from celeriac import environment, events, logs
from celeriac.app.settings import CelerySettings, LogSettings, WorkerSettings
from celeriac.worker.app import make_worker
from celeriac.worker.program import run_worker

PATIENCE_SECONDS = 5.0

app = make_worker("plain", [], environment.load(CelerySettings))
app.conf.update(task_default_queue="plain", result_chord_join_timeout=3.0)


def redis_client() -> Any:
    return redis.Redis.from_url(app.conf.broker_url)


def note(name: str, value: Any) -> None:
    with redis_client() as client:
        client.rpush(f"notes-{name}", json.dumps(value, default=str))


def until(condition: Any) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@app.task(name="plain.add", shared=False)
def add(x: Any, y: Any) -> Any:
    return x + y


@app.task(name="plain.same", shared=False)
def same(value: Any) -> Any:
    return value


@app.task(name="plain.fail", shared=False)
def fail(text: str = "no") -> None:
    raise ValueError(text)


@app.task(name="plain.told", shared=False)
def told(task_id: str) -> None:
    """An errback of the old kind: a task."""
    note("errback", task_id)


IN_A_THREAD: dict[str, Any] = {
    "child in a thread": partial(add.delay, 1, 2),
    "chain in a thread": (add.s(1, 2) | add.s(3)).apply_async,
    "chord in a thread": chord([add.s(1, 2), add.s(3, 4)], same.s()).apply_async,
    "group in a thread": group(add.s(1, 2), add.s(3, 4)).apply_async,
    "countdown in a thread": partial(add.apply_async, (1, 2), countdown=0.2),
}


def restored(_: str) -> bool:
    several = group(add.s(1, 2), add.s(3, 4)).apply_async()
    several.save()
    return until(GroupResult.restore(several.id, app=app).ready)


def read_from_a_queue(name: str) -> bool:
    with app.connection_for_write() as connection, connection.SimpleQueue(f"own-{name}") as queue:
        queue.put(name)
        return bool(queue.get(timeout=PATIENCE_SECONDS).payload == name)


def length_of_a_queue(name: str) -> bool:
    add.apply_async((1, 2), queue=f"far-{name}")
    with app.connection_for_write() as connection:
        return bool(connection.default_channel.queue_declare(f"far-{name}", passive=True).message_count == 1)


BESIDE = {"group restored": restored, "a queue": read_from_a_queue, "a queue's length": length_of_a_queue}


@app.task(name="plain.told_and_exits", shared=False)
def told_and_exits(request: Any, error: Any, traceback: Any) -> None:
    """An errback of the new kind, which is called in place."""
    note("errback", request.id)
    sys.exit("of an errback")


@app.task(name="plain.polls", shared=False, bind=True)
def polls(self: Any, how: str) -> Any:
    """Sends a child, and asks for it in one of many ways until it is done."""
    if how == "group":
        several = group(add.s(1, 2), add.s(3, 4)).apply_async()
        return until(lambda: several.completed_count() == 2)
    if how == "group ready":
        several = group(add.s(1, 2), add.s(3, 4)).apply_async()
        return until(several.ready)
    if how == "join":
        with allow_join_result():
            return group(add.s(1, 2), add.s(3, 4)).apply_async().join(timeout=PATIENCE_SECONDS)
    if how == "chain":
        last = (add.s(1, 2) | add.s(3)).apply_async()
        return until(last.ready)
    if how == "chord":
        return until(chord([add.s(1, 2), add.s(3, 4)], same.s()).apply_async().ready)
    if how == "countdown":
        return until(add.apply_async((1, 2), countdown=0.2).ready)
    if how in IN_A_THREAD:
        sent = IN_A_THREAD[how]()
        with ThreadPoolExecutor(1) as executor:
            return executor.submit(until, sent.ready).result()
    if how in BESIDE:
        return BESIDE[how](self.request.id)
    child = add.delay(1, 2)
    ways = {
        "ready": child.ready,
        "successful": child.successful,
        "state": lambda: child.state == "SUCCESS",
        "status": lambda: child.status == "SUCCESS",
        "result": lambda: child.result == 3,
        "info": lambda: child.info == 3,
        "date_done": lambda: child.date_done is not None,
        "another object": lambda: AsyncResult(child.id, app=app).ready(),
        "backend": lambda: app.backend.get_state(child.id) == "SUCCESS",
        "get_many": lambda: bool(list(app.backend.get_many([child.id], timeout=PATIENCE_SECONDS))),
        "result set": lambda: GroupResult("g", [child], app=app).ready(),
    }
    return until(ways[how])


@app.task(name="plain.reads_nonsense", shared=False, bind=True)
def reads_nonsense(self: Any) -> str:
    """It looks at what is no result."""
    with redis_client() as client:
        client.set(f"celery-task-meta-{self.request.id}-other", "{}")
    return str(AsyncResult(f"{self.request.id}-other", app=app).state)


@app.task(name="plain.races", shared=False, bind=True)
def races(self: Any, children: int) -> bool:
    """A thread of its own asks for its children while they are sent."""
    sent: list[Any] = []

    def poll() -> bool:
        return until(lambda: all(one.ready() for one in list(sent)) and len(sent) == children)

    with ThreadPoolExecutor(1) as executor:
        polled = executor.submit(poll)
        for number in range(children):
            sent.append(counted.apply_async((self.request.id, number)))
        return polled.result()


@app.task(name="plain.counted", shared=False)
def counted(name: str, number: int) -> None:
    note(f"counted-{name}", number)


@app.task(name="plain.forks", shared=False, bind=True)
def forks(self: Any) -> str:
    """A process that it forks sends a task; it does not wait for that."""
    child_id = f"{self.request.id}-child"
    process = os.fork()
    if not process:
        try:
            add.apply_async((1, 2), task_id=child_id)
        finally:
            os._exit(0)
    os.waitpid(process, 0)
    return child_id


@app.task(name="plain.own", shared=False, bind=True)
def own(self: Any) -> list[str]:
    """What a body sees of itself."""
    mine = AsyncResult(self.request.id, app=app)
    before = mine.state
    self.update_state(state="PROGRESS", meta={"done": 1})
    return [before, mine.state]


@app.task(name="plain.tells", shared=False, bind=True)
def tells(self: Any, then: str) -> str:
    """It stores its own success, and goes on."""
    self.update_state(state="SUCCESS", meta="early")
    time.sleep(1)
    if then == "fails":
        raise ValueError("no")
    if then == "is ignored":
        raise Ignore
    return "late"


@app.task(name="plain.says_no", shared=False, bind=True)
def says_no(self: Any) -> None:
    meta = {"exc_type": "ValueError", "exc_message": ["by hand"], "exc_module": "builtins"}
    self.update_state(state="FAILURE", meta=meta)
    raise Ignore


@app.task(name="plain.progress", shared=False, bind=True)
def progress(self: Any) -> str:
    """It tells a state of its own, and then runs on for long."""
    self.update_state(state="PROGRESS", meta={"done": 1})
    time.sleep(0.6)
    return str(AsyncResult(self.request.id, app=app).state)


@app.task(name="plain.says", shared=False, bind=True)
def says(self: Any) -> Any:
    """How its own words about its progress are seen, the second one by another client."""
    celeriac.progress(0.25, "one of four")
    own = AsyncResult(self.request.id, app=app)
    assert until(lambda: own.state == "PROGRESS")
    first = own.info
    time.sleep(0.25)
    celeriac.progress(1, "\ud800" + "n" * 300)
    assert until(lambda: own.info != first)
    return [first, own.info]


@app.task(name="plain.long", shared=False, bind=True)
def long(self: Any) -> str:
    time.sleep(0.6)
    with redis.Redis.from_url(app.conf.result_backend) as client:
        return str(json.loads(client.get(f"celery-task-meta-{self.request.id}"))["status"])


class Hooked(Task):
    """Its hooks look up what the world knows of it: with a client of their own, as anybody could."""

    def look(self, hook: str, task_id: str) -> None:
        with redis_client() as client:
            stored = client.get(f"celery-task-meta-{task_id}")
            state = json.loads(stored)["status"] if stored else None
            note(
                hook,
                [task_id, state, client.hlen("unacked"), client.llen("elsewhere") + client.zcard("celery-due")],
            )

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        self.look("on_success", task_id)
        if kwargs.get("breaks"):
            raise RuntimeError("a hook that fails")

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        self.look("on_failure", task_id)

    def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        self.look("on_retry", task_id)

    def after_return(self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        self.look("after_return", task_id)


@app.task(name="plain.hooked", shared=False, bind=True, base=Hooked)
def hooked(self: Any, how: str = "well", breaks: bool = False) -> str:
    same.apply_async((1,), queue="elsewhere")
    if how == "fails":
        raise ValueError("no")
    if how == "retries" and not self.request.retries:
        raise self.retry(countdown=0.1, exc=ValueError("again"))
    return how


@app.task(name="plain.echo", shared=False, bind=True)
def echo(self: Any, how: str = "well") -> str:
    """As plain.hooked, without its hooks."""
    if how == "fails":
        raise ValueError("no")
    if how == "retries" and not self.request.retries:
        raise self.retry(countdown=0.1, exc=ValueError("again"))
    return how


class Deadly(Task):
    """Ends its process before Celery's tracer has seen the body."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        os._exit(9)


@app.task(name="plain.deadly", shared=False, base=Deadly)
def deadly() -> None:
    return None


@app.task(name="plain.kills", shared=False)
def kills() -> None:
    os._exit(9)


@app.task(name="plain.rejects", shared=False)
def rejects() -> None:
    raise Reject("not mine", requeue=False)


@app.task(name="plain.rejects_until_redelivered", shared=False, bind=True)
def rejects_until_redelivered(self: Any, number: Any) -> Any:
    """It publishes before it rejects."""
    redelivered = self.request.delivery_info["redelivered"]
    note(f"runs-{self.request.id}", redelivered)
    if not redelivered:
        add.apply_async((1, 1), task_id=f"child-of-{self.request.id}")
        raise Reject("not now", requeue=True)
    return number


@app.task(name="plain.rejects_seven_times", shared=False, bind=True)
def rejects_seven_times(self: Any) -> Any:
    with redis_client() as client:
        count = client.incr(f"rejected-{self.request.id}")
    if count <= 7:
        raise Reject("not now", requeue=True)
    return count


@app.task(name="plain.eta", shared=False, bind=True)
def eta(self: Any, sends: bool) -> Any:
    """Its own due time; or the id of a child that it sends with a countdown."""
    return eta.apply_async((False,), countdown=0.2).id if sends else self.request.eta


class Plainly(Task):
    """Not made by the app: its tasks go Celery's own way."""


class Exits(Task):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        sys.exit("no")


@app.task(name="plain.exits", shared=False)
def exits() -> None:
    sys.exit("no")


@app.task(name="plain.exits_plainly", shared=False, base=Plainly)
def exits_plainly() -> None:
    sys.exit("no")


@app.task(name="plain.exits_before", shared=False, base=Exits)
def exits_before() -> None:
    return None


def listen(name: str) -> None:
    """A listener of this signal notes what it finds."""

    def look(**given: Any) -> None:
        sender = given.get("sender")
        request = given.get("request") or getattr(sender, "request", None)
        with redis.Redis.from_url(app.conf.broker_url) as client:
            stored = client.get(f"celery-task-meta-{request.id}")
            state = json.loads(stored)["status"] if stored else None
            client.rpush(f"notes-{name}", json.dumps([request.id, state, client.hlen("unacked")]))

    getattr(signals, name).connect(look, weak=False)


def exits_beside(name: str) -> None:
    """A listener of this signal wants to end its process."""

    def leave(**_: Any) -> None:
        sys.exit("of a listener")

    getattr(signals, name).connect(leave, weak=False)


if __name__ == "__main__":
    log = environment.load(LogSettings)
    logs.configure("plain", log.level, log.format)
    for signal in filter(None, os.environ.get("PLAIN_SIGNALS", "").split(",")):
        listen(signal)
    for signal in filter(None, os.environ.get("PLAIN_EXITS", "").split(",")):
        exits_beside(signal)
    if "PLAIN_EVENTS" in os.environ:
        events.on_event(lambda event, fields: note("events", [fields["task_id"], event, fields["task"]]))
    sys.exit(run_worker(app, environment.load(WorkerSettings)))
