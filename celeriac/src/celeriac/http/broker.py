"""The way of an HTTP service to its broker: a Celery app whose publishes and reads end in time."""

from collections.abc import Iterable
from typing import Any

from celeriac.app.client import default_app, make_app, set_default_app
from celeriac.app.settings import CelerySettings
from celeriac.contract.contract import Contract
from celeriac.http.availability import Availability
from celeriac.http.backend import in_time, make_patient
from celeriac.http.calls import PATIENCE_SECONDS, Calls
from celeriac.http.markers import Markers
from celeriac.http.publisher import Count, PatientPublisher
from celeriac.publish.of_app import parts_of


def _uncounted(task: str, outcome: str, times: int) -> None:
    """Nobody wants to know."""


class Broker:
    """`app` publishes every contract that is bound to no app, from here on: `.delay()`, `publish_many` and
    `pending(…)` end within two seconds, in PublishError, Conflict or BrokerUnavailable. `publishes`: the contracts of
    the service. `count`: is told of every publish."""

    def __init__(
        self,
        service: str,
        settings: CelerySettings,
        publishes: Iterable[Contract[Any, Any]] = (),
        count: Count = _uncounted,
    ) -> None:
        publishes = list(publishes)
        app: Any = make_app(service, settings, contracts=publishes, patience_seconds=PATIENCE_SECONDS)
        self.app = app
        app.add_defaults(lambda: {"result_backend_thread_safe": True})  # one pool of connections for all threads
        self._apart = settings.results_url != settings.broker_url
        markers = Markers(app.backend)
        self.availability = Availability(self._ping, markers.remove_leftovers)
        self._publishing = Calls("publishing", self.availability)
        self._reading = Calls("reading", self.availability)
        make_patient(app.backend, self._reading)
        app.marks_pending = True
        parts = parts_of(app)
        self._client = parts[0]
        app.publisher = PatientPublisher(parts, self._publishing, markers if self._apart else None, count)
        for contract in publishes:
            assert contract.payload_adapter  # made now: the first request should not have to wait for it
        set_default_app(self.app)

    def check(self) -> None:
        """Raises BrokerUnavailable while nothing could be published. It asks Redis, unless that is known to be away."""
        in_time(self._reading, self._ping)

    def close(self) -> None:
        """Close all connections. Contracts that are bound to no app go the way of the environment again."""
        self.availability.close()
        for calls in (self._publishing, self._reading):
            calls.close()
        for client in (self._client, self.app.backend.client):
            client.connection_pool.disconnect()
            if sentinels := getattr(client.connection_pool, "sentinel_manager", None):
                sentinels.close()
        if default_app() is self.app:
            set_default_app(None)

    def _ping(self) -> None:
        self._client.ping()
        if self._apart:
            self.app.backend.client.ping()
