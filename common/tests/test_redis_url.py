"""A URL as Celery reads it, and as redis-py does."""

import pytest

from common_tasks.redis_url import redis_py_url


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
