"""What is counted: few labels, and few values for each."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)  # 2 s: the longest that a caller may wait

OUTCOMES = ("accepted", "repeated", "conflict", "full", "unavailable", "unknown")
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """One registry for one application, so that tests can have many. `tasks`: the names of those that it publishes.
    Counters of your own: `Counter("mails", "…", registry=api.metrics.registry)`."""

    def __init__(self, tasks: Iterable[str] = ()) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "http_requests", "Requests by what was answered.", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "http_request_seconds",
            "From the first line to the last byte.",
            ["route"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._published = Counter(
            "celery_published", "Tasks by what became of their publish.", ["task", "outcome"], registry=self.registry
        )
        for task in tasks:
            for outcome in OUTCOMES:
                self._published.labels(task, outcome)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered; status 0: its client went away before."""
        self._requests.labels(method if method in METHODS else "other", route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def published(self, task: str, outcome: str, times: int) -> None:
        """So many tasks were published, with one of OUTCOMES."""
        self._published.labels(task, outcome).inc(times)

    def text(self) -> bytes:
        """In the format of Prometheus."""
        return generate_latest(self.registry)
