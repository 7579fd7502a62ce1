"""The fixtures that every integration test stands on."""

import pytest
import redis

pytestmark = pytest.mark.integration


def test_each_test_finds_the_sessions_redis_empty(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_what_the_test_before_left_behind_is_gone(redis_url):
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


def test_a_redis_to_break_can_be_stopped_and_comes_back_at_the_same_address(redis_to_break):
    address = redis_to_break.url
    redis_to_break.stop()
    assert not redis_to_break.answers()
    redis_to_break.start()
    assert redis_to_break.answers()
    assert redis_to_break.url == address


def test_a_paused_redis_does_not_answer_until_it_is_resumed(redis_to_break):
    redis_to_break.pause()
    assert not redis_to_break.answers()
    redis_to_break.resume()
    assert redis_to_break.answers()
