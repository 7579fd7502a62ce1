from worker.handlers import check_health


def test_health_is_told() -> None:
    assert ("healthy", "worker") == ((result := check_health(None)).status, result.worker)
