"""The connection of a worker process to its broker, which outcomes and leases share.

It is not the consumer's connection, and stays when that one is lost."""

import threading
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

import redis
from redis.exceptions import ConnectionError as Lost
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as Silent

from celeriac.broker.scripts import Script
from celeriac.soft_limit import HERE, Window

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 2.0  # between attempts to reach a Redis that is away


def nothing() -> None:
    """In place of a hook that nobody has set."""


class ConnectionLock:
    """A reentrant lock. A soft time limit does not interrupt the thread that has it: what is done under it must not
    stop half way. `left` is called when the lock is free again, for calls that may take long or may need the lock."""

    def __init__(self) -> None:
        self._lock, self._depth = threading.RLock(), 0
        self._window: Window | None = None  # of the thread that has the lock, while soft limits must wait
        self.left: Callable[[], None] = nothing

    def acquire(self, *, blocking: bool = True) -> bool:
        window = HERE.window
        held_off = window is not None and window.hold_off()
        if not self._lock.acquire(blocking=blocking):
            if window is not None and held_off:
                window.let_on()
            return False
        self._depth += 1
        if held_off:
            self._window = window
        return True

    def release(self) -> None:
        self._depth -= 1
        outermost, window = self._depth == 0, self._window
        if outermost:
            self._window = None
        self._lock.release()
        if outermost:
            try:
                self.left()
            finally:
                if window is not None:
                    window.let_on()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class BrokerConnection:
    """All threads of a worker use it: whoever calls a method has `lock`.

    Commands may be sent now and answered later (`send`, `receive`); answers come in the order of the commands. Whoever
    leaves answers unread sets `read_unread`, which reads them, and `lost`, which is called when they will never
    come."""

    def __init__(self, connect: Callable[[], redis.Redis], script: Script | None = None) -> None:
        """`connect` gives a client of the broker's database. `script` is loaded with each new connection: who leaves
        its answers unread would hear only later that Redis does not know it."""
        self._connect, self._script = connect, script
        self.lock = ConnectionLock()
        self.read_unread: Callable[[], None] = nothing
        self.lost: Callable[[], None] = nothing
        self._client: redis.Redis | None = None
        self._connection: Any = None
        self._failures = 0
        self._away_until = 0.0

    def ask(self, script: Script, names: list[Any], arguments: list[Any]) -> Any:
        """Run a script, and wait for its answer. Raises the errors of redis-py."""
        with self.lock:
            self.read_unread()
            try:
                self.open()
                try:
                    self.send("EVALSHA", script.sha, len(names), *names, *arguments)
                    return self.receive("EVALSHA")
                except NoScriptError:
                    self.send("EVAL", script.text, len(names), *names, *arguments)
                    return self.receive("EVAL")
            except (Lost, Silent, OSError):
                self.broke()
                raise

    def open(self) -> None:
        """Connect, if it is not connected."""
        if self._client is None:
            self._client = self._connect()
        if self._connection is None:
            self._connection = self._client.connection_pool.get_connection()
            if self._script is not None:
                self.send("SCRIPT", "LOAD", self._script.text)
                with suppress(ResponseError):  # the call itself will say what is wrong
                    self.receive("SCRIPT")

    def send(self, *words: Any) -> None:
        """Send a command; it must be open. redis-py may not send its PING before: it would take the answer to an older
        command for a PONG."""
        self._connection.send_command(*words, check_health=False)

    @property
    def arrived(self) -> bool:
        """Whether to read the next answer takes no wait; also if there will be none. (It asks no connection that is
        closed: redis-py would connect again.)"""
        try:
            return not self._connection.is_connected or bool(self._connection.can_read(timeout=0))
        except (RedisError, OSError):
            return True

    def receive(self, command: str) -> Any:
        """Read the answer to the oldest command that has none, which is this one."""
        client: Any = self._client
        return client.parse_response(self._connection, command)

    @property
    def reachable(self) -> bool:
        """Whether it is time for an attempt: after a failed one there is a pause."""
        return monotonic() >= self._away_until

    def answered(self) -> None:
        """Redis is there: the next pause is short again."""
        self._failures = 0

    def broke(self) -> None:
        """No answer will come on this connection any more."""
        if self._connection is not None:
            self._connection.disconnect()
            if self._client is not None:
                self._client.connection_pool.release(self._connection)
            self._connection = None
        self.lost()
        self.pause()

    def pause(self) -> None:
        """Make no attempt for a while; for longer each time. (What failed together is one attempt.)"""
        if not self.reachable:
            return
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures, 10))
        self._failures += 1
        self._away_until = monotonic() + pause
