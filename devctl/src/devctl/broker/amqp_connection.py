"""The connection to a RabbitMQ: bounded in time, and with names for what goes wrong."""

from __future__ import annotations

import errno
import logging
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from amqp import exceptions as errors
from kombu import Connection
from kombu.exceptions import OperationalError

from devctl.broker.server import TIMEOUT_SECONDS, is_near, why
from devctl.errors import DevctlError

logging.getLogger("amqp").addHandler(logging.NullHandler())  # an answer that comes too late is nobody's concern
_PAUSE_SECONDS = 0.2
READ_SECONDS = 5.0  # a server that writes to a slow disk before it confirms


START_SECONDS = 6.0  # for as long a server may cut connections off: its port is there before it is
_CUT_OFF = (errno.ECONNRESET, errno.EINVAL, errno.EPIPE, errno.ENOTCONN)
"""EINVAL: py-amqp asks for options of a socket that the port's forwarder has closed already."""


def connection(url: str) -> Connection:
    """Not open yet. Several addresses with ; between them are one broker: the first is taken."""
    scheme, _, rest = url.split(";")[0].partition("://")
    secure = scheme == "amqps"
    checked = False if is_near(urlsplit(f"amqp://{rest}").hostname or "localhost") else secure
    return Connection(
        f"pyamqp://{rest}",
        connect_timeout=TIMEOUT_SECONDS,
        heartbeat=0,
        ssl={"cert_reqs": ssl.CERT_REQUIRED if checked else ssl.CERT_NONE} if secure else False,
        transport_options={"read_timeout": READ_SECONDS, "write_timeout": READ_SECONDS},
    )


def connect(opened: Connection) -> None:
    """Connect; where the server cuts it off meanwhile, as one does that is starting, try again for some seconds."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            opened.ensure_connection(max_retries=1, interval_start=0, reraise_as_library_errors=False)
        except OSError as exc:
            if not _is_cut_off(exc) or time.monotonic() >= deadline:
                raise
        else:
            return
        time.sleep(_PAUSE_SECONDS)


def _is_cut_off(exc: OSError) -> bool:
    return not isinstance(exc, ssl.SSLError) and (
        exc.errno in _CUT_OFF or str(exc) == "Server unexpectedly closed connection"
    )


def place(url: str) -> str:
    """Host and port; never the password."""
    parts = urlsplit(url.split(";")[0])
    return f"{parts.hostname or 'localhost'}:{parts.port or (5671 if parts.scheme == 'amqps' else 5672)}"


@contextmanager
def answering(url: str, hint: str) -> Iterator[None]:
    """Turn what py-amqp and kombu raise into a problem with a name."""
    where = f"the broker at {place(url)}"
    try:
        yield
    except OperationalError as wrapped:
        with answering(url, hint):
            raise wrapped.__cause__ or errors.AMQPError(str(wrapped)) from wrapped
    except errors.AccessRefused as exc:
        raise DevctlError(
            f"{where} refuses this user or password: {_said(exc)}",
            hint="put the right ones into the broker's URL: amqp://USER:PASSWORD@HOST:5672/VHOST",
        ) from exc
    except errors.NotAllowed as exc:
        raise DevctlError(
            f"{where} refuses: {_said(exc)}", hint="what follows the port in its URL is the virtual host: // means /"
        ) from exc
    except ssl.SSLError as exc:
        raise DevctlError(f"{where} does not speak TLS as expected: {exc.reason}", hint="amqps:// or amqp://?") from exc
    except TimeoutError as exc:
        raise DevctlError(
            f"{where} accepts connections but does not answer within {READ_SECONDS:g} s",
            hint="it is starting, paused, or out of memory or disk: devctl logs, devctl doctor",
        ) from exc
    except (OSError, errors.RecoverableConnectionError) as exc:
        raise DevctlError(f"{where} does not answer: {why(exc)}", hint=hint) from exc
    except errors.AMQPError as exc:
        raise DevctlError(f"{where} refuses: {_said(exc)}", hint="devctl doctor") from exc


def _said(error: Any) -> str:
    return str(getattr(error, "reply_text", "") or error)
