"""The URL of a Redis. Celery's broker, its result backend and redis-py each parse an URL in their own way, and differ
in most parameters after the "?". So an URL is accepted here only if it means the same to all three."""

import os
import re
from dataclasses import dataclass, replace
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit, urlunsplit

SCHEMES = ("redis", "rediss", "redis+socket", "sentinel")
SENTINEL_PORT = 26379
CHECKS = ("required", "optional", "none", "CERT_REQUIRED", "CERT_OPTIONAL", "CERT_NONE")  # of a certificate
FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
PARAMETERS = {
    "redis": (),
    "rediss": ("ssl_cert_reqs", "ssl_check_hostname", *FILES),
    "redis+socket": ("virtual_host",),
    "sentinel": (),
}
BAD_PORT = "its port must be a number from 1 to 65535"
ENCODE = "; in a password, write / ? # [ ; as %2F %3F %23 %5B %3B"


@dataclass(frozen=True)
class Address:
    """One Redis, or the sentinels that know its address. `hosts`: (name, port) of each; none for a Unix socket."""

    scheme: str
    hosts: tuple[tuple[str, int], ...]
    database: int
    username: str | None
    password: str | None


def parse(url: str) -> Address:
    """Raises ValueError. Its text may be shown: it holds nothing of the password."""
    if any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError("it holds a space or another character that nobody sees; in a password, a space is %20")
    scheme = url.partition("://")[0]
    if scheme not in SCHEMES or "://" not in url:
        raise ValueError(f"it must begin with {', '.join(known + '://' for known in SCHEMES)}")
    if scheme != "sentinel":
        if ";" in url:
            raise ValueError("only sentinel:// takes several addresses with ; between them" + ENCODE)
        return _parse_one(url)
    if not all(one.startswith("sentinel://") for one in url.split(";")):
        raise ValueError("each of its addresses must begin with sentinel://" + ENCODE)
    several = [_parse_one(one) for one in url.split(";")]
    first = several[0]
    if len({(one.database, one.username, one.password) for one in several}) > 1:
        raise ValueError(
            "each of its addresses must carry the same user, password and database: those of the Redis behind them. "
            "The password of the sentinels themselves is CELERY_SENTINEL_PASSWORD"
        )
    hosts = tuple(host for one in several for host in one.hosts)
    return Address("sentinel", hosts, first.database, first.username, first.password)


def same_redis(one: str, other: str) -> bool:
    """Whether two URLs name the same database of the same server, though they are written in two ways. False where
    that is not certain."""
    try:
        addresses = parse(one), parse(other)
    except ValueError:
        return False
    places = [
        (replace(found, scheme=""), urlsplit(url).path if not found.hosts else "")
        for found, url in zip(addresses, (one, other), strict=True)
    ]
    return places[0] == places[1] and "sentinel" not in {found.scheme for found in addresses}


def _parse_one(url: str) -> Address:
    scheme = url.partition("://")[0]
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("its host is not written well; an IPv6 address stands in [ ]" + ENCODE) from None
    try:
        port = parts.port
    except ValueError:
        raise ValueError(f"{BAD_PORT}; an IPv6 address stands in [ ]{ENCODE}") from None
    if port == 0:
        raise ValueError(BAD_PORT)
    if "#" in url or "@" in parts.query:
        raise ValueError("it holds a #, or an @ after a ?" + ENCODE)
    return _address(scheme, parts, port, _parameters(scheme, parts.query))


def _address(scheme: str, parts: SplitResult, port: int | None, given: dict[str, str]) -> Address:
    username, password = (unquote(part) if part else None for part in (parts.username, parts.password))
    if scheme == "redis+socket":
        if parts.hostname or parts.port or not parts.path.strip("/"):
            raise ValueError("after redis+socket:// comes the path of a socket, such as redis+socket:///run/redis.sock")
        return Address(scheme, (), int(given.get("virtual_host", 0)), username, password)
    if not parts.hostname:
        raise ValueError("it names no host")
    database = parts.path.removeprefix("/")
    if database and not _is_number(database):
        raise ValueError("after the host comes the number of a database, such as /0" + ENCODE)
    if scheme == "sentinel" and port is None:
        raise ValueError(f"each sentinel needs its port, which usually is {SENTINEL_PORT}")
    return Address(scheme, ((unquote(parts.hostname), port or 6379),), int(database or 0), username, password)


def _parameters(scheme: str, query: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    given, known = dict(pairs), PARAMETERS[scheme]
    if len(given) != len(pairs):
        raise ValueError("a parameter after the ? is there twice")
    for name, value in given.items():
        if name not in known:
            told = f"{scheme}:// takes {', '.join(known) or 'none'}"
            shown = f"its parameter {name}" if re.fullmatch("[a-z_]{1,40}", name) else "a parameter after the ?"
            raise ValueError(f"{shown} would not mean the same to client and worker: {told}")
        _check_parameter(name, value)
    if scheme == "rediss" and "ssl_cert_reqs" not in given:
        raise ValueError(
            "a rediss:// address must say how the certificate of Redis is checked: "
            "?ssl_cert_reqs=required (or optional, none)"
        )
    return given


def _check_parameter(name: str, value: str) -> None:
    if name == "virtual_host" and not _is_number(value):
        raise ValueError("virtual_host must be the number of a database, such as 0")
    if name == "ssl_cert_reqs" and value not in CHECKS:
        raise ValueError("ssl_cert_reqs must be required, optional or none")
    if name == "ssl_check_hostname" and value not in ("true", "false"):
        raise ValueError("ssl_check_hostname must be true or false")
    if name in FILES and "%" in value:
        raise ValueError(f"the path of {name} may hold no %")  # Celery would decode it twice


def missing_file(url: str) -> str:
    """The first parameter that names a file which this process cannot read; "" if there is none."""
    given = parse_qsl(urlsplit(url).query)
    return next((name for name, value in given if name in FILES and not os.access(value, os.R_OK)), "")


def _is_number(text: str) -> bool:
    return re.fullmatch("[0-9]{1,9}", text) is not None


def redis_py_url(url: str) -> str:
    """The URL as redis-py wants it: it has another scheme for sockets, and other words for the certificate check."""
    parts = urlsplit(url)
    if parts.scheme == "redis+socket":
        database = dict(parse_qsl(parts.query)).get("virtual_host", "0")
        return f"unix://{parts.netloc}{parts.path}?db={database}"
    if parts.scheme == "rediss":
        query = re.sub(r"(?<=ssl_cert_reqs=)(?:CERT_)?(\w+)", lambda found: found[1].lower(), parts.query)
        return urlunsplit(parts._replace(query=query))
    return url
