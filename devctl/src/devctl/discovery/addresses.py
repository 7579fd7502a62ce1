"""Which service a URL of a worker's environment names, and what the broker's URL is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urlsplit

from devctl.stack.model import Service

_SCHEMES = {
    **dict.fromkeys(("redis", "rediss", "valkey", "sentinel"), "redis"),
    **dict.fromkeys(("amqp", "amqps", "pyamqp", "librabbitmq"), "rabbitmq"),
    **dict.fromkeys(("sqs", "memory", "filesystem", "kafka", "confluentkafka", "gcpubsub", "mongodb", "sqla"), "other"),
}
_BROKER = re.compile(r"(?:\w+_)?(?:BROKER|QUEUE)(?:_?(?:URL|URI|DSN|CONNECTION\w*))?")
_RESULT = re.compile(r"(?:\w+_)?(?:RESULTS?_?(?:BACKEND|STORE)|CELERY_BACKEND)(?:_?(?:URL|URI|DSN))?")
_LIKELY = re.compile(r"(?:\w+_)?(?:REDIS|VALKEY|RABBIT(?:_?MQ)?|AMQP|CLOUDAMQP)_?(?:URL|URI|DSN|CONNECTION\w*)")
_HOST = re.compile(
    r"(?P<prefix>(?:\w+_)?(?:BROKER|REDIS|VALKEY|RABBIT(?:_?MQ)?|AMQP)(?:_\w+)?)_?(?:HOST(?:NAME)?|SERVER|ADDRESS)"
)
_NOT_THE_QUEUE = re.compile(r"CACHE|CHANNEL|SESSION|SOCKET|THROTTL|LOCK|RATE|RESULT", re.IGNORECASE)


@dataclass(frozen=True)
class Named:
    """A URL in an environment, and the variable that has it."""

    url: str
    variable: str
    certain: bool = False
    """Celery itself reads this variable, whatever the code says."""
    general: bool = False
    """Its name says what it is (REDIS_URL), and not what for (BROKER_URL)."""


def broker(environment: Mapping[str, str]) -> Named | None:
    """Return what surely, or by the names of variables, is the broker's URL; None where several could be it."""
    if url := environment.get("CELERY_BROKER_URL", ""):
        return Named(url, "CELERY_BROKER_URL", certain=True)
    hosts = [*_by_host(environment)]
    for found in (
        [*_urls(environment, _BROKER, general=False)],
        [one for one in hosts if not one.general],
        [*_urls(environment, _LIKELY, general=True)],
        hosts,
    ):
        fitting = [one for one in found if not _NOT_THE_QUEUE.search(one.variable)]
        if fitting:
            return fitting[0] if len({_place(one.url) for one in fitting}) == 1 else None
    return None


def results(environment: Mapping[str, str]) -> Named | None:
    """Return what surely, or by the name of its variable, says where results go."""
    if url := environment.get("CELERY_RESULT_BACKEND", ""):
        return Named(url, "CELERY_RESULT_BACKEND", certain=True)
    found = [
        Named(value, name)
        for name, value in environment.items()
        if _RESULT.fullmatch(name) and re.match(r"[a-z+]+:|rpc", value)
    ]
    return found[0] if len({one.url for one in found}) == 1 else None


def kind(url: str) -> str:
    """Return redis, rabbitmq, other or "": which broker speaks this URL."""
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    return _SCHEMES.get(scheme.partition("+")[0], "")


def host(url: str) -> str:
    """Return the host of a URL, the first of several; "" for none."""
    split = _split(url.partition(";")[0].partition(",")[0])
    return (split.hostname or "") if split else ""


def leads_nowhere(url: str) -> bool:
    """Whether nobody answers there, seen from a container: no host, or the container itself."""
    return kind(url) in ("redis", "rabbitmq") and host(url) in ("", "localhost", "127.0.0.1", "::1", "0.0.0.0")  # noqa: S104  # nothing is bound


def service(url: str, services: Mapping[str, Service]) -> str:
    """Return the service that this URL names, by any name that it has in the network; "" for none."""
    wanted = host(url)
    for name, one in services.items():
        names = (name, one.hostname, one.container_name, *one.aliases)
        if wanted and wanted in map(str.lower, names):
            return name
    links = {alias.lower(): target for one in services.values() for alias, target in one.links.items()}
    return links.get(wanted, "") if links.get(wanted) in services else ""


def _urls(environment: Mapping[str, str], pattern: re.Pattern[str], *, general: bool) -> Iterator[Named]:
    for name, value in environment.items():
        if pattern.fullmatch(name) and "://" in value:
            yield Named(value, name, general=general)


def _by_host(environment: Mapping[str, str]) -> Iterator[Named]:
    """REDIS_HOST with REDIS_PORT, REDIS_PASSWORD and REDIS_DB beside it."""
    for name, value in environment.items():
        found = _HOST.fullmatch(name)
        if not found or not re.fullmatch(r"[\w.-]+", value):
            continue
        prefix = found["prefix"]

        def beside(*words: str, prefix: str = prefix) -> str:
            return next((environment[f"{prefix}_{word}"] for word in words if environment.get(f"{prefix}_{word}")), "")

        rabbit = "RABBIT" in prefix or "AMQP" in prefix
        user = beside("USER", "USERNAME", "DEFAULT_USER")
        password = beside("PASSWORD", "PASS", "DEFAULT_PASS")
        login = f"{quote(user)}:{quote(password)}@" if user or password else ""
        port = beside("PORT") or ("5672" if rabbit else "6379")
        database = beside("VHOST", "DB", "DATABASE")
        tail = f"/{database}" if database else "//" if rabbit else "/0"
        url = f"{'amqp' if rabbit else 'redis'}://{login}{value}:{port}{tail}"
        yield Named(url, name, general="BROKER" not in prefix and "CELERY" not in prefix)


def _place(url: str) -> tuple[str, str]:
    split = _split(url)
    return (kind(url), split.netloc.rpartition("@")[2]) if split else ("", url)


def _split(url: str) -> SplitResult | None:
    try:
        split = urlsplit(url)
        _ = split.hostname, split.port
    except ValueError:
        return None
    return split
