"""The connection to the Redis behind a broker: bounded in time, and with names for what goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from os import R_OK, access
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from celeriac.broker.url import FILES, parse, redis_py_url
from devctl.broker.port import ServerInfo
from devctl.errors import DevctlError

# A server on this machine answers in milliseconds. Two seconds of silence is a paused or overloaded one, and a person
# who waits longer than that for `devctl queues` believes that devctl hangs.
TIMEOUT_SECONDS = 2.0


def connect(url: str) -> redis.Redis:
    """A client that gives up instead of waiting or repeating: a repeated LPUSH would be a second message."""
    if url.startswith("sentinel://"):
        raise DevctlError(
            "the broker is behind Sentinel, and devctl speaks to one Redis",
            hint="give the address of the master: CELERY_BROKER_URL=redis://HOST:PORT/DATABASE devctl queues",
        )
    try:
        parse(url)
    except ValueError as exc:
        raise DevctlError(
            f"not the address of a Redis, {url.partition('://')[0][:20]}://…: {exc}",
            hint="CELERY_BROKER_URL and CELERY_RESULT_BACKEND are written as redis://HOST:PORT/DATABASE",
        ) from exc
    try:
        client = redis.Redis.from_url(
            redis_py_url(url),
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)  # connects nothing; here it shows what redis-py does not take
        return client
    except (TypeError, ValueError, redis.RedisError) as exc:
        raise DevctlError(
            f"the address of the broker does not work: {exc}",
            hint="look at what follows the ? in CELERY_BROKER_URL and CELERY_RESULT_BACKEND",
        ) from exc


def connect_as_kombu(url: str) -> redis.Redis:
    """The same for an URL that kombu takes."""
    return connect(plain(url))


SCHEMES = ("redis", "rediss", "sentinel", "unix", "socket")
"""What kombu and Celery call a Redis."""


def plain(url: str) -> str:
    """An URL that kombu takes, as `connect` takes it: without what only a pool needs, with TLS as far as it can be
    checked from here: certificates may lie in a container, and a host be this machine."""
    scheme, _, rest = url.partition("://")
    if scheme not in SCHEMES:
        return url
    if scheme == "sentinel":
        return _master(url)
    if scheme in ("unix", "socket"):
        parts = urlsplit(f"redis+socket://{rest}")
        given = dict(parse_qsl(parts.query))
        database = given.get("virtual_host") or given.get("db") or "0"
        return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={database}"
    parts = urlsplit(url)
    netloc = parts.netloc if parts.hostname else f"{parts.netloc}localhost"
    given = dict(parse_qsl(parts.query))
    path = parts.path if parts.path.strip("/") else f"/{given.get('virtual_host') or given.get('db') or 0}"
    query = {}
    if scheme == "rediss":
        query = {name: given[name] for name in FILES if access(given.get(name, ""), R_OK)}
        near = is_near(parts.hostname or "localhost")
        query["ssl_cert_reqs"] = "none" if near else given.get("ssl_cert_reqs", "required")
        if query["ssl_cert_reqs"] in ("none", "CERT_NONE"):
            query["ssl_check_hostname"] = "false"
    return urlunsplit((scheme, netloc, path, urlencode(query), ""))


def is_near(host: str) -> bool:
    """This machine or one beside it, whose certificate nobody outside has signed."""
    try:
        return host == "localhost" or ip_address(host).is_private
    except ValueError:
        return False


def _master(url: str) -> str:
    """The Redis behind these sentinels: they know one, or its name would have to be told."""
    hint = "a container must run, and Sentinel have chosen a master: devctl ps"
    problem = DevctlError(f"no sentinel answers at {place(url)}", hint=hint)
    for one in url.split(";"):
        parts = urlsplit(one)
        try:
            with redis.Redis(
                host=parts.hostname or "localhost",
                port=parts.port or 26379,
                socket_timeout=TIMEOUT_SECONDS,
                socket_connect_timeout=TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 0),
            ) as client:
                masters = dict(client.sentinel_masters())
        except (redis.RedisError, ValueError) as exc:
            problem = DevctlError(f"the sentinel at {place(one)} does not answer: {why(exc)}", hint=hint)
            continue
        if len(masters) == 1:
            (master,) = masters.values()
            login = parts.netloc.rpartition("@")[0]
            where = f"{login}@{master['ip']}:{master['port']}" if login else f"{master['ip']}:{master['port']}"
            return urlunsplit(("redis", where, parts.path or "/0", "", ""))
        problem = DevctlError(
            f"the sentinel at {place(one)} knows {len(masters)} masters: which one is the broker?",
            hint="name it: CELERY_BROKER_URL=redis://HOST:PORT/DATABASE devctl queues",
        )
    raise problem


def place(url: str) -> str:
    """Host and port of a broker, or its socket; never its password."""
    parts = urlsplit(url)
    if parts.scheme in ("redis+socket", "unix"):
        return parts.path
    return f"{parts.hostname or 'localhost'}:{parts.port or 6379}"


@contextmanager
def answering(url: str, hint: str, what: str = "the broker") -> Iterator[None]:
    """Turn what a client raises into a problem with a name."""
    try:
        yield
    except redis.AuthenticationError as exc:
        raise DevctlError(
            f"{what} at {place(url)} refuses this password: {exc}",
            hint="put the right one into CELERY_BROKER_URL: redis://:PASSWORD@redis:6379/0",
        ) from exc
    except redis.TimeoutError as exc:
        raise DevctlError(
            f"{what} at {place(url)} accepts connections but does not answer within {TIMEOUT_SECONDS:g} s",
            hint="it is paused or overloaded: devctl doctor",
        ) from exc
    except redis.ConnectionError as exc:
        if isinstance(exc, redis.BusyLoadingError):
            problem = DevctlError(f"{what} at {place(url)} is still loading its data", hint="try again in a moment")
        else:
            problem = DevctlError(f"{what} at {place(url)} does not answer: {why(exc)}", hint=hint)
        raise problem from exc
    except redis.ResponseError as exc:
        raise DevctlError(f"{what} at {place(url)} refuses: {exc}", hint=_meaning(str(exc))) from exc
    except redis.RedisError as exc:
        raise DevctlError(f"{what} at {place(url)}: {why(exc)}", hint="devctl doctor") from exc


def describe(client: redis.Redis) -> ServerInfo:
    """What the server says of itself."""
    info = dict(client.info())
    product = "valkey" if "valkey_version" in info else "redis"
    return ServerInfo(
        product=product,
        version=str(info.get("valkey_version") or info.get("redis_version", "")),
        persistence=_persistence(info, _setting(client, "appendfsync"), _setting(client, "save")),
        eviction_policy=str(info.get("maxmemory_policy", "")),
        maxmemory_bytes=int(info.get("maxmemory", 0)),
        used_memory_bytes=int(info.get("used_memory", 0)),
    )


def _setting(client: redis.Redis, name: str) -> str:
    try:
        return str(dict(client.config_get(name)).get(name, ""))
    except redis.ResponseError:  # a managed server forbids CONFIG
        return ""


def _persistence(info: dict[str, object], appendfsync: str, save: str) -> str:
    if info.get("aof_enabled"):
        return f"AOF {appendfsync}".strip()
    return "RDB only" if save else "none"


def why(exc: Exception) -> str:
    """The last of "Error 111 connecting to 127.0.0.1:1. Connection refused."."""
    return str(exc).rstrip(".").rsplit(". ", 1)[-1] or type(exc).__name__


# redis-py drops or keeps the code before a refusal, and puts a pipeline's command in front.
_MEANINGS = {
    "used memory > 'maxmemory'": "it is full: raise REDIS_MAXMEMORY, then let workers empty the queues (devctl queues)",
    "MISCONF": "it cannot write to its disk: devctl doctor",
    "NOAUTH": "put its password into CELERY_BROKER_URL: redis://:PASSWORD@redis:6379/0",
    "read only replica": "this is a replica: publish to its primary",
}


def _meaning(answer: str) -> str:
    return next((meaning for sign, meaning in _MEANINGS.items() if sign in answer), "devctl doctor")
