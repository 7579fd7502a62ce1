"""The publisher of an app, from what the app is configured with."""

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from common_tasks.redis_url import redis_py_url
from common_tasks.transport.options import Options
from common_tasks.transport.publishing import Publisher
from common_tasks.transport.settling import Patience

if TYPE_CHECKING:
    from celery import Celery

# Options of kombu's that change how it lays out its keys, or how it signs in.
OTHER_LAYOUT = {"global_keyprefix", "sep", "priority_steps", "credential_provider"}


def publisher_of(app: "Celery") -> Publisher | None:
    """The one of this app, made at its first use; None: its messages are to go Celery's own way."""
    try:
        known: Publisher | None = app.publisher  # type: ignore[attr-defined]
    except AttributeError:
        known = app.publisher = _made(app.conf)  # type: ignore[attr-defined]
    return known


def _made(conf: Any) -> Publisher | None:
    options = conf.broker_transport_options
    url = conf.broker_write_url or conf.broker_url
    if not (
        _is_ours(conf.broker_transport)
        and isinstance(url, str)
        and ";" not in url  # several brokers, tried in turn
        and urlsplit(url).scheme in {"redis", "rediss", "redis+socket"}  # not sentinel: kombu asks it for the primary
        and OTHER_LAYOUT.isdisjoint(options)
        and not conf.broker_use_ssl  # certificates that the URL does not name
        and (conf.task_serializer, conf.task_protocol, conf.task_compression) == ("json", 2, None)
        and not conf.task_send_sent_event
    ):
        return None
    address = redis_py_url(url)
    kept_alive = {} if address.startswith("unix:") else {"socket_keepalive": options.get("socket_keepalive")}
    client = redis.Redis.from_url(
        address,
        socket_timeout=options.get("socket_timeout"),
        socket_connect_timeout=options.get("socket_connect_timeout"),
        retry=Retry(NoBackoff(), 0),
        **kept_alive,
    )
    policy = conf.task_publish_retry_policy if conf.task_publish_retry else {"max_retries": 0}
    patience = Patience(
        attempts=1 + (3 if policy.get("max_retries") is None else policy["max_retries"]),
        first_seconds=policy.get("interval_start") or 0.0,
        step_seconds=policy.get("interval_step") or 0.0,
        longest_seconds=policy.get("interval_max") or 0.0,
    )
    return Publisher(client, Options.of(options).queue_bound, patience)


def _is_ours(transport: Any) -> bool:
    name = transport if isinstance(transport, str) else getattr(transport, "__module__", "")
    return name.startswith("common_tasks.")
