"""The pool's threads, beside what the guard, the runners and Celery make of them."""

from queue import SimpleQueue

import celery
from celery import Celery

from celeriac.run.pool import TaskPool


def test_a_task_thread_has_its_workers_app_as_the_current_one_whatever_the_default_is() -> None:
    working, other = Celery("working", set_as_current=False), Celery("other", set_as_current=False)
    before = celery._state.default_app
    pool = TaskPool(2, app=working)
    seen: SimpleQueue[str] = SimpleQueue()
    try:
        other.set_default()
        pool.start()
        for _ in range(2):
            pool.on_apply(lambda: seen.put(str(celery.current_app.main)), (), {}, callback=lambda result: None)
        assert ["working"] * 2 == [seen.get(timeout=5) for _ in range(2)]
    finally:
        celery._state.set_default_app(before)
