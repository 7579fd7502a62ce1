"""What an intake keeps of a pool of Celery's own at the end of a connection."""

from typing import Any

from celeriac.run.celery_pool import CeleryPool


class Job:
    """Of billiard: handed over, written to a process, accepted by it, ready."""

    def __init__(self, name: str, *, sent: bool = False, accepted: bool = False) -> None:
        self.correlation_id, self._write_to, self._accepted, self._ready = name, sent or None, accepted, False

    def ready(self) -> bool:
        return self._ready


class Billiard:
    def __init__(self, jobs: list[Job]) -> None:
        self._cache = dict(enumerate(jobs))


class Prefork:
    """Celery's: it forgets what was not accepted."""

    active, num_processes = True, 3

    def __init__(self, *jobs: Job) -> None:
        self._pool: Any = Billiard(list(jobs))
        self.ends: list[Job] = []

    def flush(self) -> None:
        for number, job in list(self._pool._cache.items()):
            if not job._accepted:
                del self._pool._cache[number]
        for job in self.ends:
            job._ready = True


class Solo:
    active, num_processes = True, 1


def test_what_a_process_has_got_is_kept_and_what_none_has_is_forgotten() -> None:
    pool = Prefork(Job("waits"), Job("sent", sent=True), Job("runs", sent=True, accepted=True))
    celery_pool = CeleryPool(pool)
    assert {"sent", "runs"} == celery_pool.forget({"waits", "sent", "runs", "reserved"})
    pool.flush()  # Celery calls it once more
    assert {"sent", "runs"} == {job.correlation_id for job in pool._pool._cache.values()}


def test_what_ends_meanwhile_is_not_kept() -> None:
    job = Job("ends", sent=True)
    pool = Prefork(job)
    pool.ends = [job]
    assert set() == CeleryPool(pool).forget({"ends"})


def test_of_a_pool_that_forgets_nothing_all_that_is_known_will_end() -> None:
    celery_pool = CeleryPool(Solo())
    assert ({"a"}, 1) == (celery_pool.forget({"a"}), celery_pool.processes)


def test_of_a_pool_that_has_stopped_nothing_will_end() -> None:
    pool = Prefork(Job("runs", sent=True, accepted=True))
    celery_pool = CeleryPool(pool)
    pool.active = False
    assert (True, set()) == (celery_pool.stopped, celery_pool.forget({"runs"}))
