"""The publisher of an app, from what the app is configured with."""

from typing import TYPE_CHECKING, Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from celeriac.broker.client import connect
from celeriac.broker.options import Options
from celeriac.life.scribe import Scribe, scribe_of
from celeriac.publish.attempts import Patience
from celeriac.publish.publisher import Publisher

if TYPE_CHECKING:
    from celery import Celery

# Options of kombu's that change how it lays out its keys, or how it signs in.
OTHER_LAYOUT = {"global_keyprefix", "sep", "priority_steps", "credential_provider"}


def publisher_of(app: "Celery") -> Publisher | None:
    """The publisher of this app, made at its first use. None: Celery publishes the messages of this app itself."""
    try:
        known: Publisher | None = app.publisher  # type: ignore[attr-defined]
    except AttributeError:
        known = app.publisher = _made(app)  # type: ignore[attr-defined]  # ours
    return known


def _made(app: "Celery") -> Publisher | None:
    conf: Any = app.conf
    options = conf.broker_transport_options
    url = conf.broker_write_url or conf.broker_url
    if not (
        _is_ours(conf.broker_transport)
        and isinstance(url, str)
        and _one_broker(url, options)
        and OTHER_LAYOUT.isdisjoint(options)
        and not conf.broker_use_ssl  # it names certificates that the URL does not name
        and (conf.task_serializer, conf.task_protocol, conf.task_compression) == ("json", 2, None)
        and not conf.task_send_sent_event
    ):
        return None
    return Publisher(*parts_of(app))


def parts_of(app: "Celery") -> tuple[redis.Redis, int, Patience, Scribe]:
    """What a publisher of this app is made from."""
    conf: Any = app.conf
    options = conf.broker_transport_options
    url = conf.broker_write_url or conf.broker_url
    socket = url.startswith("redis+socket:")
    kept_alive = {} if socket else {"socket_keepalive": options.get("socket_keepalive")}
    client = connect(
        url,
        options,
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
    return client, Options.of(options).queue_bound, patience, scribe_of(app)


def _one_broker(url: str, options: Any) -> bool:
    """One broker, and not several that Celery tries in turn. Several sentinels of one master count as one broker."""
    scheme = url.partition("://")[0]
    if scheme == "sentinel":
        return bool(options.get("master_name"))
    return ";" not in url and scheme in {"redis", "rediss", "redis+socket"}


def _is_ours(transport: Any) -> bool:
    name = transport if isinstance(transport, str) else getattr(transport, "__module__", "")
    return name.startswith("celeriac.")
