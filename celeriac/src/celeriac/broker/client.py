"""Makes redis-py clients: for one of Celery's URLs, also for sentinel://; and for the broker of an app."""

from collections.abc import Mapping
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from celeriac.broker.url import parse, redis_py_url


def connect(url: str, transport_options: Mapping[str, Any], **options: Any) -> redis.Redis:
    """A client; it connects with its first command. Over sentinel://, each new connection goes to the current master;
    `transport_options` has `master_name`, and may have `sentinel_kwargs`, as in Celery."""
    if not url.startswith("sentinel://"):
        return redis.Redis.from_url(redis_py_url(url), **options)
    address = parse(url)
    # If a sentinel is away, the next one is asked at once.
    asked = {"retry": Retry(NoBackoff(), 0), **(transport_options.get("sentinel_kwargs") or {})}
    sentinels: Any = cast("Any", Sentinel)(address.hosts, transport_options.get("min_other_sentinels") or 0, asked)
    client: redis.Redis = sentinels.master_for(
        transport_options["master_name"],
        db=address.database,
        username=address.username,
        password=address.password,
        **options,
    )
    return client


def client_of(app: Any, **options: Any) -> redis.Redis:
    """A client for the broker of this app. `options`: of redis-py's connections. Where the URL alone does not say all
    (`broker_use_ssl`, several brokers, parameters that only kombu knows), it connects as kombu does."""
    conf = app.conf
    url = conf.broker_write_url
    if not conf.broker_use_ssl and isinstance(url, str) and _says_all(url):
        return connect(url, conf.broker_transport_options, **options)
    with app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1)
        pool = connection.default_channel._get_pool()  # noqa: SLF001  a new one, for us alone
    pool.connection_kwargs.update(options)
    return redis.Redis(connection_pool=pool)


def _says_all(url: str) -> bool:
    try:
        parse(url)
    except ValueError:
        return False
    return True
