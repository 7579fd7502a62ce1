"""The page of the exporter, in Prometheus's format; needs prometheus-client."""

import logging
import threading
from collections.abc import Iterator
from time import monotonic
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from redis.exceptions import RedisError

from celeriac.events import emit
from celeriac.exporter.consumers import Consumers
from celeriac.exporter.queues import Look, Queue, Queues
from celeriac.redaction import redact

KEPT_SECONDS = 1.0  # an answer; many who ask cost one look

BY_QUEUE = {
    "waiting": "Messages that wait in the queue, of all priorities.",
    "claimed": "Messages that a worker holds.",
    "due": "Messages that wait for their time: countdowns, ETAs, retries.",
    "dead": "Dead letters of the queue.",
    "oldest_seconds": "Since the publish of the oldest message that waits; 0: none waits; no sample: it does not say.",
    "paused": "1 while no worker may claim from the queue.",
}
ONCE = {
    "redis_memory_bytes": "Memory that Redis uses.",
    "redis_memory_max_bytes": "Its maxmemory; 0: no limit.",
    "celery_life_entries": "Entries in the stream of records of steps.",
    "celery_life_bytes": "Memory that this stream uses, estimated by Redis.",
}


class Page:
    """Every thread may ask for it."""

    def __init__(self, queues: Queues, consumers: Consumers) -> None:
        self._queues, self._consumers = queues, consumers
        self._lock = threading.Lock()
        self._look: Look | None = None
        self._looked_at = float("-inf")
        self._registry = CollectorRegistry()
        self._registry.register(self)

    @property
    def redis_answers(self) -> bool:
        """Look, unless that was done a moment ago."""
        return self._newest() is not None

    def text(self) -> bytes:
        """All samples. Raises nothing of Redis: if it is away, `redis_up` is 0 and nothing else is known."""
        return generate_latest(self._registry)

    def describe(self) -> Iterator[Any]:
        """Nothing, so that to register asks for nothing."""
        return iter(())

    def collect(self) -> Iterator[Any]:
        """As prometheus-client asks a collector."""
        self._consumers.wanted()
        look = self._newest()
        yield GaugeMetricFamily("redis_up", "1 while Redis answers.", value=float(look is not None))
        if look is None:
            return
        for name, what in BY_QUEUE.items():
            family = GaugeMetricFamily(f"celery_queue_{name}", what, labels=["queue"])
            for queue in look.queues:
                if (value := getattr(queue, name)) is not None:
                    family.add_metric([queue.name], float(value))
            yield family
        if self._consumers.known:
            yield from self._who_consumes(look.queues)
        for name, what in ONCE.items():
            yield GaugeMetricFamily(name, what, value=float(getattr(look, name.split("_", 1)[1])))

    def _who_consumes(self, queues: tuple[Queue, ...]) -> Iterator[Any]:
        counts = self._consumers.by_queue()
        family = GaugeMetricFamily("celery_queue_consumers", "Workers that consume the queue.", labels=["queue"])
        for queue in queues:
            family.add_metric([queue.name], float(counts[queue.name]))
        yield family
        yield GaugeMetricFamily("celery_workers", "Workers that answer.", value=float(self._consumers.workers))

    def _newest(self) -> Look | None:
        with self._lock:
            if monotonic() - self._looked_at >= KEPT_SECONDS:
                was = self._look
                try:
                    self._look = self._queues.look(self._consumers.by_queue())
                    if was is None:
                        emit("exporter.redis_answers", queues=len(self._look.queues))
                except (RedisError, OSError) as exc:
                    self._look = None
                    if was is not None or self._looked_at < 0:
                        emit("exporter.redis_away", level=logging.WARNING, error=redact(str(exc)))
                self._looked_at = monotonic()
            return self._look
