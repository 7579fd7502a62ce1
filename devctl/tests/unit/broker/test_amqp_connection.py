"""How a connection to a RabbitMQ is opened while it starts."""

from __future__ import annotations

import errno

import pytest
from kombu import Connection

from devctl.broker import amqp_connection as wire


class Starting(Connection):
    """A server that cuts off so many connections with this error."""

    def __init__(self, error: OSError, times: int) -> None:
        super().__init__("memory://")
        self.error, self.times, self.tries = error, times, 0

    def ensure_connection(self, *args: object, **kwargs: object) -> None:
        self.tries += 1
        if self.tries <= self.times:
            raise self.error


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_PAUSE_SECONDS", 0.001)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EINVAL, "Invalid argument"),
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        OSError("Server unexpectedly closed connection"),
    ],
)
def test_a_connection_that_a_starting_server_cuts_off_is_tried_again(error: OSError) -> None:
    server = Starting(error, times=2)
    wire.connect(server)
    assert 3 == server.tries


def test_a_server_that_goes_on_cutting_off_is_a_problem_after_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "START_SECONDS", 0.01)
    with pytest.raises(OSError, match="Invalid argument"):
        wire.connect(Starting(OSError(errno.EINVAL, "Invalid argument"), times=10_000))


def test_a_server_that_is_not_there_is_a_problem_at_once() -> None:
    server = Starting(ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), times=1)
    with pytest.raises(OSError, match="refused"):
        wire.connect(server)
    assert 1 == server.tries
