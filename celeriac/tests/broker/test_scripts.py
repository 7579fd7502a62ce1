from typing import Any

import pytest
from redis.connection import Connection

from celeriac.broker.scripts import Script


@pytest.mark.parametrize("last", [b"\xff\r\n$", "ä", "", 7])
def test_a_call_is_packed_as_redis_py_packs_it(last: Any) -> None:
    script = Script("publish/publish")
    for _ in range(2):  # the second time from what is kept
        packed = script.command(["orders", "größe"], [100_000, -1, last])
        words = ("EVALSHA", script.sha, 2, "orders", "größe", 100_000, -1, last)
        assert b"".join(Connection().pack_command(*words)) == packed
