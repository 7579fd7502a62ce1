"""A URL as Celery reads it, and as redis-py does."""

from typing import Any
from urllib.parse import quote

import pytest
import redis
from celery import Celery
from celery.backends.redis import RedisBackend
from kombu import Connection

from celeriac.broker.url import parse, redis_py_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://:p@h:1/2", "redis://:p@h:1/2"),
        ("rediss://:CERT_P@h:1/2?ssl_cert_reqs=CERT_REQUIRED", "rediss://:CERT_P@h:1/2?ssl_cert_reqs=required"),
        (
            "rediss://h?ssl_ca_certs=/CA/CERT_x.pem&ssl_cert_reqs=CERT_NONE",
            "rediss://h?ssl_ca_certs=/CA/CERT_x.pem&ssl_cert_reqs=none",
        ),
        ("rediss://h?ssl_cert_reqs=optional", "rediss://h?ssl_cert_reqs=optional"),
        ("redis+socket:///run/redis.sock?virtual_host=3", "unix:///run/redis.sock?db=3"),
    ],
)
def test_celery_s_spelling_in_redis_py_s(url: str, expected: str) -> None:
    assert expected == redis_py_url(url)


AWKWARD = quote("p@:/;%?#[ é+", safe="")
SAME = ("host", "port", "path", "db", "username", "password")
TAKEN = [
    "redis://h",
    "redis://h:1/15",
    "redis://h:1/",
    f"redis://user:{AWKWARD}@h:1/2",
    f"redis://:{AWKWARD}@[::1]:1/2",
    "redis://user@h",
    "redis://:a+b@h?",
    "redis+socket:///run/redis.sock",
    f"redis+socket://:{AWKWARD}@/run/redis.sock?virtual_host=3",
    f"redis+socket:///run/{quote('a b')}.sock?virtual_host=0",
    "rediss://h:1/1?ssl_cert_reqs=required",
    "rediss://h?ssl_cert_reqs=CERT_NONE&ssl_check_hostname=false",
    "rediss://h?ssl_ca_certs=/ca/a+b.pem&ssl_certfile=/c&ssl_keyfile=/k&ssl_cert_reqs=CERT_OPTIONAL",
    "rediss://h?ssl_cert_reqs=none&ssl_check_hostname=true",
]


@pytest.mark.parametrize("url", TAKEN)
def test_what_is_taken_means_the_same_to_the_broker_the_results_and_a_client(url: str) -> None:
    parse(url)
    with Connection(url) as connection:
        broker = connection.transport.Channel._connparams(_Unconnected(connection))
    results = RedisBackend(app=Celery(set_as_current=False), url=url.replace("redis+socket", "socket")).connparams
    client = redis.Redis.from_url(redis_py_url(url)).connection_pool.connection_kwargs
    told = [_told(one) for one in (broker, results, client)]
    assert told[0] == told[1] == told[2]


class _Unconnected:
    """As much of kombu's channel as makes its parameters."""

    def __init__(self, connection: Connection) -> None:
        self.connection: Any = type("Transport", (), {"client": connection, "default_port": 6379})

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.connection.client.transport.Channel, name)
        return found.__get__(self) if callable(found) and name.startswith("_") else found


def _told(parameters: dict[str, Any]) -> dict[str, Any]:
    checks = {"required": 2, "optional": 1, "none": 0}
    told = {name: parameters.get(name) for name in SAME}
    told |= {name: value for name, value in parameters.items() if name.startswith("ssl_")}
    if "ssl_cert_reqs" in told:
        told["ssl_cert_reqs"] = int(checks.get(told["ssl_cert_reqs"], told["ssl_cert_reqs"]))
    if not told["path"]:
        told |= {"host": told["host"] or "localhost", "port": told["port"] or 6379}
    return {**told, "db": int(told["db"] or 0)}


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://h/0?socket_timeout=hunter2", "parameter socket_timeout would not mean the same"),
        ("redis://h/0?unknown=1", "parameter unknown would not mean the same"),
        ("redis://h/0?db=1", "parameter db would not mean the same"),
        ("redis://h/0?HUNTER2=1", "a parameter after the"),
        ("redis+socket:///p?virtual_host=x", "virtual_host must be the number of a database"),
        ("redis+socket:///p?db=1", "takes virtual_host"),
        ("redis+socket://h/p", "comes the path of a socket"),
        ("redis+socket://", "comes the path of a socket"),
        ("rediss://h/0?ssl_cert_reqs=foo", "ssl_cert_reqs must be required, optional or none"),
        ("rediss://h/0?ssl_cert_reqs=", "ssl_cert_reqs must be required, optional or none"),
        ("rediss://h/0", "how the certificate of Redis is checked"),
        ("rediss://h?ssl_cert_reqs=none&ssl_cert_reqs=none", "there twice"),
        ("rediss://h?ssl_cert_reqs=none&ssl_check_hostname=no", "must be true or false"),
        ("rediss://h?ssl_cert_reqs=none&ssl_ca_certs=/a%2520b", "may hold no %"),
        ("redis://::1:6379/1", r"IPv6 address stands in \[ \]"),
        ("redis://[::1/0", r"IPv6 address stands in \[ \]"),
        ("redis://h/0/1", "number of a database"),
        ("redis://h/-1", "number of a database"),
        ("redis://h/²", "number of a database"),
        ("redis://h/%30", "number of a database"),
        (" redis://h/0", "holds a space"),
        ("redis://:hunter2 @h /0", "holds a space"),
        ("redis://h/0\n", "holds a space"),
        ("redis://a;redis://b", "only sentinel:// takes several"),
        ("redis://:hunter2/x@h/0", "%2F"),
        ("redis://:hunter2?x@h/0", "%3F"),
        ("redis://u?hunter2@h/0", "an @ after a"),
        ("redis://h/0#hunter2", "holds a #"),
        ("REDIS://h", "must begin with"),
        ("redis:/h", "must begin with"),
        ("", "must begin with"),
        ("sentinel://a:1;", "each of its addresses must begin with sentinel://"),
        ("sentinel://a:1;redis://b:2", "each of its addresses must begin with sentinel://"),
        ("sentinel://a;sentinel://b", "needs its port"),
        ("sentinel://:hunter2@a:1;sentinel://b:2", "the same user, password and database"),
        ("sentinel://a:1/1;sentinel://b:2/2", "the same user, password and database"),
        ("sentinel://a:1?master_name=x", "parameter master_name would not mean the same"),
    ],
)
def test_what_is_not_taken_is_told_without_its_secrets(url: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        parse(url)
    assert "hunter2" not in str(caught.value).lower()
