"""The proxy between a client and a server that echoes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from devctl.chaos.link import Link
from devctl.chaos.proxy import Proxy, Rules
from devctl.stack import ports

Talk = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            HEARD.append(data)
            writer.write(data.upper())
            await writer.drain()
    writer.close()


HEARD: list[bytes] = []


def with_proxy(test: Callable[[Proxy, Callable[[], Coroutine[Any, Any, Talk]]], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        HEARD.clear()
        server = await asyncio.start_server(_echo, "127.0.0.1", 0)
        proxy = Proxy("127.0.0.1", server.sockets[0].getsockname()[1])
        front = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        port = front.sockets[0].getsockname()[1]
        talks: list[Talk] = []

        async def connect() -> Talk:
            talks.append(await asyncio.open_connection("127.0.0.1", port))
            return talks[-1]

        async with server, front:
            await asyncio.wait_for(test(proxy, connect), 10)
            for _, writer in talks:
                writer.close()
            await asyncio.sleep(0.1)  # until both ends of each have heard of it

    asyncio.run(run())


async def said(talk: Talk, text: bytes, seconds: float = 2.0) -> bytes:
    talk[1].write(text)
    return await asyncio.wait_for(talk[0].read(1 << 16), seconds)


def test_without_rules_it_passes_everything_on() -> None:
    async def test(proxy: Proxy, connect: Any) -> None:
        talk = await connect()
        assert b"PING" == await said(talk, b"ping")
        assert 1 == proxy.counts.connections

    with_proxy(test)


def test_a_lost_request_is_not_done_and_its_connection_is_reset() -> None:
    async def test(proxy: Proxy, connect: Any) -> None:
        proxy.rules = Rules(lose_requests=1.0)
        with pytest.raises(ConnectionResetError):
            await said(await connect(), b"incr")
        assert [] == HEARD
        assert (1, 0) == (proxy.counts.lost_requests, proxy.counts.lost_replies)

    with_proxy(test)


def test_a_lost_reply_is_of_something_that_was_done() -> None:
    async def test(proxy: Proxy, connect: Any) -> None:
        proxy.rules = Rules(lose_replies=1.0)
        with pytest.raises(ConnectionResetError):
            await said(await connect(), b"incr")
        assert [b"incr"] == HEARD
        assert (0, 1) == (proxy.counts.lost_requests, proxy.counts.lost_replies)

    with_proxy(test)


def test_a_share_is_lost_and_always_the_same_one() -> None:
    first, second = Proxy("", 0), Proxy("", 0)
    lost = [first.loses(0.01) for _ in range(10_000)]

    assert lost == [second.loses(0.01) for _ in range(10_000)]
    assert 60 < sum(lost) < 140


def test_a_delay_is_each_replys_own_and_not_a_queue() -> None:
    async def test(proxy: Proxy, connect: Any) -> None:
        proxy.rules = Rules(delay_ms=300)
        talk, begun = await connect(), time.monotonic()
        for number in range(5):
            talk[1].write(b"%d" % number)
            await asyncio.sleep(0.01)
        text = b""
        while len(text) < 5:
            text += await talk[0].read(100)
        assert 0.3 < time.monotonic() - begun < 1.2  # one after the other they take 1.5 s
        assert b"01234" == text

    with_proxy(test)


def test_a_silent_connection_stays_open_and_a_new_one_works() -> None:
    async def test(proxy: Proxy, connect: Any) -> None:
        talk = await connect()
        assert b"A" == await said(talk, b"a")
        assert 200 == proxy.told("POST /stall", b"{}")[0]
        with pytest.raises(TimeoutError):
            await said(talk, b"b", 0.2)
        assert [b"a"] == HEARD
        assert 1 == proxy.counts.stalled
        other = await connect()
        assert b"C" == await said(other, b"c")

    with_proxy(test)


def test_a_cut_resets_all_connections_of_now() -> None:
    async def test(proxy: Proxy, connect: Any) -> None:
        talk = await connect()
        assert b"A" == await said(talk, b"a")
        proxy.told("POST /cut", b"{}")
        with pytest.raises(ConnectionResetError):
            await talk[0].read(1)
        assert 1 == proxy.counts.cut

    with_proxy(test)


def test_without_a_server_a_client_is_turned_away() -> None:
    async def test(proxy: Proxy, connect: Any) -> None:
        proxy._port = ports.any_free()
        talk = await connect()
        with pytest.raises(ConnectionResetError):
            await talk[0].read(1)

    with_proxy(test)


def test_a_rule_that_it_does_not_know_is_refused() -> None:
    proxy = Proxy("", 0)

    assert 400 == proxy.told("POST /rules", b'{"lose_everything": 1}')[0]
    assert 400 == proxy.told("POST /rules", b"no JSON")[0]
    assert Rules() == proxy.rules
    assert 404 == proxy.told("GET /", b"")[0]


def test_as_a_program_it_is_led_over_http() -> None:
    listen, control, server = (ports.any_free() for _ in range(3))
    command = [sys.executable, "-m", "devctl.chaos.proxy", "--listen", f"127.0.0.1:{listen}"]
    command += ["--to", f"127.0.0.1:{server}", "--control", f"127.0.0.1:{control}"]
    process = subprocess.Popen(command)
    try:
        link = Link("127.0.0.1", control)
        end = time.monotonic() + 10
        while True:
            try:
                counts = link.counts()
                break
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.05)
        assert 0 == counts["connections"] == link.stall()
        link.rules(delay_ms=5)
        link.cut()
        assert {"connections", "lost_requests", "lost_replies"} <= set(json.loads(json.dumps(counts)))
    finally:
        process.kill()
        process.wait()
