"""What is counted: few labels, and few values for each."""

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)  # 2 s: the longest that a caller may wait

OUTCOMES = ("accepted", "repeated", "conflict", "full", "unavailable", "unknown")


class Metrics:
    """One registry for one application, so that tests can have many."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "http_requests", "Requests by what was answered.", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "http_request_seconds",
            "From the first line to the last byte.",
            ["route"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._orders = Counter("orders", "Orders by what became of them.", ["outcome"], registry=self._registry)
        for outcome in OUTCOMES:
            self._orders.labels(outcome)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method if method in METHODS else "other", route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def order(self, outcome: str) -> None:
        self._orders.labels(outcome).inc()

    def text(self) -> bytes:
        return generate_latest(self._registry)
