"""Where results are: Celery's own Redis backend, in its layout, read when somebody asks."""

from typing import Any

from celery.backends.redis import RedisBackend

from common_tasks.retries import refused_for_now


class Results(RedisBackend):
    """Stock, except for two things. Publishing a task does not subscribe to its result: one round trip less for every
    publish, and no AsyncResult that talks to Redis from its __del__, when Redis may long be gone. And a Redis that is
    full, or refuses for another passing reason, counts like one that is away."""

    def on_task_call(self, producer: Any, task_id: str) -> None:
        pass

    def exception_safe_to_retry(self, exc: Exception) -> bool:
        """What a worker stores again, and again, until it is stored: see `storing_settings`."""
        return refused_for_now(exc) or super().exception_safe_to_retry(exc)
