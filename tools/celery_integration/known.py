"""Tests that stock passes and ours does not, and why that is right. By name, without parameters."""

from __future__ import annotations

_LATE = "acknowledged when done, so `acknowledged` is false while it runs; the same in stock with task_acks_late"
_DUE = "what waits for its time lies in Redis, not in a worker's memory"
_NOTES = "looks at what a worker remembers; with the setting that reads it, messages go Celery's own way"
_SILENT = "publishing subscribes to no result: whoever waits for one subscribes then"
_RACE = (
    "not steady, nor with stock (4 of 300, ours 21 of 300): Celery forgets the first run when it has sent all but the"
    " last part of the second one, and a part that is done before that is not counted"
)
CELERY = {
    "test_canvas.py::test_chord::test_reapplying_frozen_chord_dispatches_body_again": _RACE,
    "test_inspect.py::test_Inspect::test_active": _LATE,
    "test_inspect.py::test_Inspect::test_query_task": _LATE,
    "test_inspect.py::test_Inspect::test_scheduled": _DUE,
    "test_tasks.py::test_tasks::test_send_task_without_ignore_result_uses_task_ignore_result": _NOTES,
    "test_tasks.py::test_tasks::test_send_task_without_ignore_result_stores_result": _NOTES,
    "test_tasks.py::test_task_redis_result_backend::test_retry_preserves_ignore_result_false": _NOTES,
    "test_tasks.py::test_task_redis_result_backend::test_retry_preserves_ignore_result_true": _NOTES,
    "test_tasks.py::test_task_redis_result_backend::test_asyncresult_forget_cancels_subscription": _SILENT,
    "test_tasks.py::test_task_redis_result_backend::test_asyncresult_get_cancels_subscription": _SILENT,
}

_PROTOCOL = "asks for the exact arguments; ours has protocol=3 besides, by which an idle worker is told of a message"
_FAKE = "its client is a fake that knows no scripts; ours removes messages and their markers in one"
_MOCK = "its channel is a Mock, whose `intake` is true: ours takes it for a worker's"
KOMBU = {
    **dict.fromkeys(
        (
            "test_redis.py::test_RedisSentinel::test_getting_master_from_sentinel",
            "test_redis.py::test_RedisSentinel::test_getting_master_from_sentinel_single_node",
            "test_redis.py::test_RedisSentinel::test_getting_master_from_sentinel_with_client_name",
            "test_redis.py::test_RedisSentinel::test_getting_master_from_sentinel_with_acl_credentials",
            "test_redis.py::test_RedisSentinel::test_getting_master_from_sentinel_with_password_only",
        ),
        _PROTOCOL,
    ),
    "test_redis.py::test_Channel::test_delete": _FAKE,
    "test_redis.py::test_Redis::test_purge": _FAKE,
    "test_redis.py::test_MultiChannelPoller::test_qos_reject": _MOCK,
    "test_redis.py::test_MultiChannelPoller::test_qos_requeue": _MOCK,
    "test_redis.py::test_RedisSentinel::test_can_create_correct_mixin_with_global_keyprefix": (
        "claims and outcomes know no prefix of keys: such a channel is refused by name"
    ),
    "test_redis.py::test_Channel::test_sentinel_inherits_publish_batch_support": (
        "asks whether Sentinel's channel derives from the other; ours derive from kombu's two, and both can batch"
    ),
}
