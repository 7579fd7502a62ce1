"""`app.control` of our apps: it stores revocations in Redis, too, so that they work when no worker lives."""

from functools import cache
from typing import Any

from celery.app import control
from celery.utils.functional import maybe_list


class Control(control.Control):
    """Celery's own, which also stores revocations. With a `destination` only the named workers get to know them."""

    def revoke(self, task_id: Any, destination: Any = None, *args: Any, **kwargs: Any) -> Any:
        if destination is None:
            self._note([str(one) for one in maybe_list(task_id) or []], {}, kwargs.get("connection"))
        return super().revoke(task_id, destination, *args, **kwargs)

    def revoke_by_stamped_headers(self, headers: Any, destination: Any = None, *args: Any, **kwargs: Any) -> Any:
        if destination is None:
            self._note([], headers, kwargs.get("connection"))
        return super().revoke_by_stamped_headers(headers, destination, *args, **kwargs)

    def _note(self, ids: list[str], headers: Any, connection: Any) -> None:
        from celeriac.claim.revocations import note, stamps_of
        from celeriac.claim.transport import ChannelMixin

        with self.app.connection_or_acquire(connection) as found:
            channel = found.default_channel
            if isinstance(channel, ChannelMixin):
                with channel.conn_or_acquire() as client:  # `channel.client` may be waiting for answers of workers
                    note(client, ids, stamps_of(headers))


@cache
def ours(kind: type[Any]) -> type[Any]:
    """This control, over the class that an app has asked for."""
    if kind is control.Control or issubclass(kind, Control):
        return Control if kind is control.Control else kind
    return type(kind.__name__, (Control, kind), {"__module__": kind.__module__})
