import os
import platform

from worker.handlers import check_health


def test_health_is_told() -> None:
    result = check_health(None)
    assert ("healthy", f"worker@{platform.node()}-{os.getpid()}") == (result.status, result.worker)
