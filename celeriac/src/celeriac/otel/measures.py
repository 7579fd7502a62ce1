"""OpenTelemetry's metrics of messaging, by their conventions."""

from typing import Any

from opentelemetry import metrics

# The conventions begin at 5 ms. A publish and an outcome here take less than one.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)


class Measures:
    """One for a process."""

    def __init__(self, provider: metrics.MeterProvider | None, version: str) -> None:
        meter = metrics.get_meter("celeriac", version, provider)
        self._operation = meter.create_histogram(
            "messaging.client.operation.duration",
            "s",
            "Duration of an operation on messages: send, settle.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._sent = meter.create_counter(
            "messaging.client.sent.messages", "{message}", "Messages that a producer has tried to send."
        )
        self._consumed = meter.create_counter(
            "messaging.client.consumed.messages", "{message}", "Messages that were handed to a task."
        )
        self._process = meter.create_histogram(
            "messaging.process.duration",
            "s",
            "Duration of a task's run.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )

    def sent(self, seconds: float, attributes: dict[str, Any]) -> None:
        """A message is in its queue, or could not be sent."""
        self._operation.record(seconds, attributes)
        self._sent.add(1, {name: value for name, value in attributes.items() if name != "messaging.operation.type"})

    def settled(self, seconds: float, attributes: dict[str, Any]) -> None:
        """Redis has answered what became of an outcome."""
        self._operation.record(seconds, attributes)

    def processed(self, seconds: float, attributes: dict[str, Any]) -> None:
        """A task has run."""
        self._process.record(seconds, attributes)
        self._consumed.add(1, {name: value for name, value in attributes.items() if name[:17] != "messaging.operati"})
