"""The settings of Celery by their names: today's, the old ones in upper case, and those with a namespace."""

from __future__ import annotations

_GROUPS = (
    "accept_content", "arangodb", "azureblockblob", "beat", "broker", "cache", "cassandra", "control", "cosmosdbsql",
    "couchbase", "database", "elasticsearch", "enable_utc", "event", "gcs", "imports", "include", "mongodb", "redis",
    "result", "s3", "security", "task", "timezone", "worker",
)  # fmt: skip
_OLD = {
    "CELERYBEAT_": "beat_",
    "CELERYD_": "worker_",
}
_OLD_NAMES = {
    "CELERY_MAX_CACHED_RESULTS": "result_cache_max",
    "CELERY_TASK_RESULT_EXPIRES": "result_expires",
    "CELERY_RESULT_DBURI": "database_url",
    "CELERY_RESULT_ENGINE_OPTIONS": "database_engine_options",
    "CELERY_MESSAGE_COMPRESSION": "task_compression",
    "CELERY_EAGER_PROPAGATES_EXCEPTIONS": "task_eager_propagates",
    "CELERYD_TASK_SOFT_TIME_LIMIT": "task_soft_time_limit",
    "CELERYD_TASK_TIME_LIMIT": "task_time_limit",
    "CELERY_DISABLE_RATE_LIMITS": "worker_disable_rate_limits",
    "CELERY_ENABLE_REMOTE_CONTROL": "worker_enable_remote_control",
    "CELERY_REDIRECT_STDOUTS": "worker_redirect_stdouts",
    "CELERY_REDIRECT_STDOUTS_LEVEL": "worker_redirect_stdouts_level",
    "CELERY_SEND_EVENTS": "worker_send_task_events",
    "CELERY_SEND_TASK_SENT_EVENT": "task_send_sent_event",
    "CELERY_WORKER_DIRECT": "worker_direct",
    "CELERY_ENABLE_UTC": "enable_utc",
    "CELERY_TASK_SERIALIZER": "task_serializer",
    "CELERY_TASK_PROTOCOL": "task_protocol",
    "CELERY_TASK_PUBLISH_RETRY": "task_publish_retry",
    "CELERY_TASK_PUBLISH_RETRY_POLICY": "task_publish_retry_policy",
    "CELERYBEAT_SCHEDULE": "beat_schedule",
}
_OLD_TASK = {
    "ACKS_LATE", "ACKS_ON_FAILURE_OR_TIMEOUT", "ALWAYS_EAGER", "ANNOTATIONS", "CREATE_MISSING_QUEUES",
    "INHERIT_PARENT_PRIORITY", "DEFAULT_DELIVERY_MODE", "DEFAULT_QUEUE", "DEFAULT_QUEUE_TYPE", "DEFAULT_EXCHANGE",
    "DEFAULT_EXCHANGE_TYPE", "DEFAULT_ROUTING_KEY", "DEFAULT_RATE_LIMIT", "DEFAULT_PRIORITY", "IGNORE_RESULT",
    "STORE_EAGER_RESULT", "QUEUES", "QUEUE_MAX_PRIORITY", "REJECT_ON_WORKER_LOST", "REMOTE_TRACEBACKS", "ROUTES",
    "STORE_ERRORS_EVEN_IF_IGNORED", "TRACK_STARTED",
}  # fmt: skip


def setting(name: str, namespace: str = "") -> str:
    """Today's name of a setting by what stands in the code; "" where it is none."""
    if namespace:
        prefix = namespace.rstrip("_") + "_"
        new = name.removeprefix(prefix).lower()
        if name.startswith(prefix) and name.isupper() == prefix.isupper() and _is_new(new):
            return new
    if name.islower():
        return name if _is_new(name) else ""
    if name in _OLD_NAMES:
        return _OLD_NAMES[name]
    for old, new in _OLD.items():
        if name.startswith(old):
            return new + name.removeprefix(old).lower()
    if name.startswith("BROKER_"):
        return name.lower()
    rest = name.removeprefix("CELERY_")
    if rest == name or not name.isupper():
        return ""
    if rest in _OLD_TASK:
        return f"task_{rest.lower()}"
    # `CELERY_TASK_ROUTES` without a namespace is no setting: Celery does not look at it.
    new = rest.lower()
    return new if _is_new(new) and not new.startswith(("task_", "worker_", "beat_", "broker_")) else ""


def rank(name: str, namespace: str = "") -> int:
    """Which of several spellings of one setting Celery takes: the lowest."""
    if namespace and setting(name, namespace) == name.removeprefix(f"{namespace.rstrip('_')}_").lower():
        return 0
    return 1 if name.islower() else 2


def _is_new(name: str) -> bool:
    return any(name == group or name.startswith(f"{group}_") for group in _GROUPS)
