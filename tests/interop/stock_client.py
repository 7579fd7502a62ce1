"""A stock client: plain Celery, told by lines of JSON on standard input what to do; one line of JSON answers each."""

import contextlib
import importlib.util
import os
import sys
import threading
import time
import traceback
from datetime import datetime

import celery
import kombu
import redis
from celery import Celery, chain, chord, group
from celery.canvas import Signature
from celery.result import AsyncResult, GroupResult
from kombu.utils.json import dumps, loads

APPS = {}
RESULTS = {}
HEARD = {}


def app_of(url, conf):
    key = dumps([url, conf])
    if key not in APPS:
        APPS[key] = Celery("client", broker=url, backend=url, set_as_current=False)
        APPS[key].conf.update(task_default_queue="default", **conf)
    return APPS[key]


def built(app, tree):
    """["sig", task, args, kwargs, options] | ["chain", …] | ["group", …] | ["chord", [header…], body]"""
    if tree is None or isinstance(tree, Signature):
        return tree
    kind, *parts = tree
    if kind == "chain":
        return chain(*(built(app, part) for part in parts), app=app)
    if kind == "group":
        return group(*(built(app, part) for part in parts), app=app)
    if kind == "chord":
        return chord([built(app, part) for part in parts[0]], built(app, parts[1]), app=app)
    task, args, kwargs, options = parts
    immutable = options.pop("immutable", False)
    return app.signature(task, args=args, kwargs=kwargs, immutable=immutable, **prepared(app, options))


def prepared(app, options):
    for name in ("link", "link_error"):
        if name in options:
            options[name] = [built(app, one) for one in options[name]]
    return options


def known(app, task_id):
    if task_id not in RESULTS:  # one that is thrown away would unsubscribe
        RESULTS[task_id] = AsyncResult(task_id, app=app)
    return RESULTS[task_id]


def remember(result):
    node = result
    while node is not None:
        RESULTS[node.id] = node
        node = node.parent
    if isinstance(result, GroupResult):
        for child in result.results:
            remember(child)
    return result.id


class Commands:
    def __init__(self, app):
        self.app = app

    def send(self, name, args=(), kwargs=None, **options):
        return remember(self.app.send_task(name, args=args, kwargs=kwargs or {}, **prepared(self.app, options)))

    def send_at(self, name, args=()):
        """When it was sent, and its id."""
        with self.app.producer_pool.acquire(block=True) as producer:
            at = time.time()
            return at, self.app.send_task(name, args=args, producer=producer).id

    def send_many(self, name, arguments, **options):
        with self.app.producer_pool.acquire(block=True) as producer:
            return [self.app.send_task(name, args=args, producer=producer, **options).id for args in arguments]

    def run(self, tree, **options):
        return remember(built(self.app, tree).apply_async(**prepared(self.app, options)))

    def get(self, task_id, timeout=10, **options):
        return known(self.app, task_id).get(timeout=timeout, **options)

    def look(self, task_id):
        result = known(self.app, task_id)
        state = result.state  # first: what comes after is as new, or newer
        ready, done, info = result.ready(), result.date_done, result.info
        return {
            "state": state,
            "ready": ready,
            "successful": result.successful() if ready else None,
            "failed": result.failed(),
            "traceback": result.traceback,
            "info": info if isinstance(info, (dict, list, str, int, float, type(None))) else repr(info),
            "children": [child.id for child in result.children or []] if ready else None,
            "date_done": done.isoformat() if isinstance(done, datetime) else done,
        }

    def forget(self, task_id):
        known(self.app, task_id).forget()
        RESULTS.pop(task_id, None)

    def control(self, method, *args, **kwargs):
        if "timeout" not in kwargs and (kwargs.get("reply") or method == "ping"):
            for _ in range(5):  # a worker that has just begun may not listen yet
                # There is one: do not wait for others.
                if replies := getattr(self.app.control, method)(*args, limit=1, timeout=2, **kwargs):
                    return replies
        return getattr(self.app.control, method)(*args, **kwargs)

    def inspect(self, method, *args, timeout=5, **kwargs):
        return getattr(self.app.control.inspect(timeout=timeout, limit=1, **kwargs), method)(*args)

    def revoke(self, task_id, **options):
        known(self.app, task_id).revoke(**options)

    def listen(self):
        stop, events, ready = threading.Event(), [], threading.Event()

        def capture():
            with self.app.connection_for_read() as connection:
                receiver = self.app.events.Receiver(connection, handlers={"*": events.append})
                with receiver.consumer_context(wakeup=False) as (own, _, _):
                    while not stop.is_set():
                        with contextlib.suppress(TimeoutError):
                            own.drain_events(timeout=0.1)
                        ready.set()  # the first wait subscribes

        thread = threading.Thread(target=capture, daemon=True)
        thread.start()
        ready.wait(10)
        HEARD[id(self.app)] = events, stop, thread

    def heard(self, until_type=None, uuid=None, timeout=5):
        events, stop, thread = HEARD.pop(id(self.app))
        deadline = time.monotonic() + timeout
        while until_type and time.monotonic() < deadline:
            if any(one["type"] == until_type and uuid in (None, one.get("uuid")) for one in list(events)):
                break
            time.sleep(0.02)
        stop.set()
        thread.join(5)
        return events

    def versions(self):
        ours = importlib.util.find_spec("celeriac") is not None
        return {"celery": celery.__version__, "kombu": kombu.__version__, "redis": redis.__version__, "ours": ours}


def answer(line):
    order = loads(line)
    try:
        commands = Commands(app_of(order["url"], order["conf"]))
        return dumps({"value": getattr(commands, order["do"])(*order["args"], **order["kwargs"])})
    except BaseException as exc:
        told = {"error": type(exc).__name__, "text": str(exc), "arguments": repr(exc.args)}
        return dumps({**told, "trace": traceback.format_exc()})


if __name__ == "__main__":
    for line in sys.stdin:
        print(answer(line), flush=True)
    os._exit(0)  # else its results would say goodbye to brokers that are gone
