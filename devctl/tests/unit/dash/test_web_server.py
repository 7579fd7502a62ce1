"""The server behind the page, over a stack in memory: who may ask, what is sent, and that nothing runs for nobody."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from devctl.clock import SystemClock
from devctl.dash.actions import Actions
from devctl.dash.collect import Collector
from devctl.dash.fake import QUEUE, SERVICES, FakeStack
from devctl.dash.web.access import HEADER
from devctl.dash.web.server import Server
from devctl.dash.web.site import Site
from devctl.errors import DevctlError
from devctl.logs.entry import Entry
from devctl.logs.read import Page
from devctl.stack.fake import Behaviour

STRANGE = "<script>alert(1)</script>"


class Shop(FakeStack):
    """A stack, its server, and one request at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.runtime.clock = SystemClock()  # a start waits by it
        self.runtime.behaviours = dict.fromkeys(SERVICES, Behaviour(healthy_after=0.02))
        collector = Collector(self.sources)
        self.looked = threading.Semaphore(0)
        self.following = threading.Semaphore(0)
        self.looks = 0

        def look() -> Any:
            self.looks += 1
            self.looked.release()
            return collector.look()

        self.server = Server(Site(look, collector.soon, Actions(self.sources), self._trace, self._logs), 0)
        self.server.feed._seconds = 0.01

    def _trace(self, id_: str) -> Any:
        if id_ == "none":
            raise DevctlError("never seen here", hint="devctl logs --id none")
        return {"id": id_}

    def _logs(self, service: str, id_: str, page: Page, wanted: Callable[[], bool]) -> None:
        page.write(Entry("worker", "worker-1", ("",), 1.0, "error", "task.failed", {"who": service, "id": id_}))
        page.flush()
        ticks = threading.Event()
        while wanted():
            ticks.wait(0.01)
        self.following.release()

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=10)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, None if body is None else json.dumps(body), named)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if answer.headers["Content-Type"] == "application/json" else text

    def act(self, name: str, **body: object) -> tuple[int, Any]:
        return self.ask("POST", f"/api/actions/{name}", body, **{HEADER: self.server.token})

    @contextmanager
    def listening(self, path: str = "/events", **headers: str) -> Iterator[Iterator[tuple[str, str, str]]]:
        """Events as they come: kind, id, data."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=10)
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()

        def events() -> Iterator[tuple[str, str, str]]:
            said: dict[str, str] = {}
            while line := answer.readline():
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name:
                    said[name] = value
                elif "event" in said:
                    yield said["event"], said.get("id", ""), said["data"]
                    said = {}

        try:
            yield events()
        finally:
            answer.close()
            connection.close()


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    serving = threading.Thread(target=shop.server.serve_forever, args=[0.01])
    serving.start()
    yield shop
    shop.server.shutdown()
    shop.server.server_close()
    serving.join()


def test_the_page_loads_nothing_and_runs_no_script_but_its_own(shop: Shop) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", shop.server.server_port, timeout=10)
    connection.request("GET", "/")
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()

    policy = answer.headers["Content-Security-Policy"]
    nonce = policy.partition("script-src 'nonce-")[2].partition("'")[0]
    assert policy.startswith("default-src 'none'")
    assert 1 == text.count("<script") == text.count(f'<script type="module" nonce="{nonce}">')
    assert "http://" not in text.replace("http://www.w3.org/", "")
    assert "https://" not in text
    assert "{{" not in text


def test_it_is_only_there_for_this_machine(shop: Shop) -> None:
    assert "127.0.0.1" == shop.server.server_address[0]
    assert 403 == shop.ask("GET", "/", Host="devctl.example")[0]
    assert 403 == shop.ask("GET", "/", Host="127.0.0.1.example:8765")[0]
    assert 200 == shop.ask("GET", "/", Host="localhost:9999")[0]  # through a tunnel


def test_another_web_site_reads_nothing_and_may_link_to_the_page(shop: Shop) -> None:
    assert 403 == shop.ask("GET", "/events", Sec_Fetch_Site="cross-site")[0]
    assert 403 == shop.ask("GET", "/api/trace/1", Sec_Fetch_Site="same-site")[0]
    assert 403 == shop.ask("GET", "/api/trace/1", Origin="http://evil.example")[0]
    assert 200 == shop.ask("GET", "/api/trace/1", Sec_Fetch_Site="same-origin")[0]
    assert 200 == shop.ask("GET", "/", Sec_Fetch_Site="cross-site")[0]


def test_an_action_needs_the_token_of_the_page(shop: Shop) -> None:
    assert 403 == shop.ask("POST", "/api/actions/pause", {"queue": QUEUE})[0]
    assert 403 == shop.ask("POST", "/api/actions/pause", {"queue": QUEUE}, **{HEADER: "guessed"})[0]
    foreign = {HEADER: shop.server.token, "Origin": "http://localhost:3000"}
    assert 403 == shop.ask("POST", "/api/actions/pause", {"queue": QUEUE}, **foreign)[0]
    assert not shop.broker.paused()

    assert (200, {"said": f"{QUEUE} is paused: it takes messages in, and no worker takes one out"}) == shop.act(
        "pause", queue=QUEUE
    )
    assert {QUEUE} == set(shop.broker.paused())


def test_each_action_reaches_its_own(shop: Shop) -> None:
    letter = shop.bury("id-1")
    assert 200 == shop.act("pause", queue=QUEUE)[0]
    assert 200 == shop.act("resume", queue=QUEUE)[0]
    assert not shop.broker.paused()
    assert (200, {"said": "worker has 3 replicas"}) == shop.act("scale", service="worker", replicas=3)
    assert (200, {"said": "web was restarted"}) == shop.act("restart", service="web")
    assert (200, {"said": f"the dead letter {letter} is gone for ever"}) == shop.act("drop", letter=letter)
    assert 200 == shop.act("replay", letter=shop.bury("id-2"))[0]


def test_what_cannot_be_done_says_why_and_what_next(shop: Shop) -> None:
    status, said = shop.act("drop", letter=f"{QUEUE}/1-0")
    assert 409 == status
    assert f"no dead letter {QUEUE}/1-0: it was replayed or dropped before" == said["problem"]
    assert "devctl dead-letters list" == said["hint"]
    assert 400 == shop.act("scale", service="worker", replicas=-1)[0]
    assert 400 == shop.act("scale", service="worker", replicas=True)[0]
    assert 400 == shop.act("pause")[0]
    assert 404 == shop.act("explode")[0]
    assert 400 == shop.ask("POST", "/api/actions/pause", [1], **{HEADER: shop.server.token})[0]


def test_a_trace_that_is_not_there_says_why(shop: Shop) -> None:
    assert (200, {"id": "a/b"}) == shop.ask("GET", "/api/trace/a%2Fb")
    assert (409, "never seen here") == (
        (answer := shop.ask("GET", "/api/trace/none"))[0],
        answer[1]["problem"],
    )


def test_a_snapshot_has_every_row_and_no_secret(shop: Shop) -> None:
    shop.bury("id-1", error=STRANGE)
    with shop.listening() as events:
        assert ("hello", "", shop.server.instance) == next(events)
        kind, id_, data = next(events)

    seen = json.loads(data)
    assert ("snapshot", f"{shop.server.instance}-1") == (kind, id_)
    assert list(SERVICES) == [one["name"] for one in seen["services"]]
    assert [QUEUE] == [one["name"] for one in seen["queues"]]
    assert [STRANGE] == [one["error"] for one in seen["failures"]]
    assert "secret" not in data


def test_many_pages_get_the_same_events_of_one_collector(shop: Shop) -> None:
    with shop.listening() as first, shop.listening() as second:
        next(first), next(second)
        assert {next(first)[1] for _ in range(20)} & {next(second)[1] for _ in range(20)}


def test_nothing_is_collected_for_nobody(shop: Shop) -> None:
    with shop.listening() as events:
        next(events), next(events)
    while shop.looked.acquire(timeout=0.2):
        pass
    before = shop.looks

    assert not shop.looked.acquire(timeout=0.1)
    with shop.listening() as events:
        next(events)
        assert f"{shop.server.instance}-{before + 1}" == next(events)[1]  # a new one, not what was seen before


def test_who_comes_back_gets_what_is_newer_than_what_it_had(shop: Shop) -> None:
    with shop.listening() as held:
        next(held), next(held)
        with shop.listening(Last_Event_ID=f"{shop.server.instance}-100000000") as events:
            next(events)
            assert "snapshot" == next(events)[0]  # a number that never was
        with shop.listening(Last_Event_ID="00000000-7") as events:
            next(events)
            assert next(events)[1].startswith(shop.server.instance)


def test_a_stack_that_cannot_be_looked_at_is_told_and_looked_at_again(shop: Shop) -> None:
    shop.server.feed._look, look = (
        _failing(DevctlError("no engine answers", hint="systemctl start docker")),
        shop.server.feed._look,
    )
    with shop.listening() as events:
        next(events)
        kind, _, data = next(events)
        assert ("problem", {"problem": "no engine answers", "hint": "systemctl start docker"}) == (
            kind,
            json.loads(data),
        )
        shop.server.feed._look = look
        assert any(kind == "snapshot" for kind, _, _ in events)


def test_logs_are_followed_as_long_as_the_page_reads_them(shop: Shop) -> None:
    with shop.listening("/logs?service=worker&id=id-1") as events:
        next(events)
        kind, _, data = next(events)
        assert (
            "lines",
            [{"at": 1.0, "who": "worker-1", "level": "error", "text": "task.failed who=worker id=id-1", "more": []}],
        ) == (kind, json.loads(data))
        assert not shop.following.acquire(blocking=False)
    assert shop.following.acquire(timeout=5)


def test_a_port_that_is_taken_is_said_where_it_was_asked_for(shop: Shop) -> None:
    with pytest.raises(DevctlError, match=rf"port {shop.server.server_port} is not free: Address already in use"):
        Server(shop.server.site, shop.server.server_port)


def test_the_usual_port_is_left_to_who_has_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devctl.dash.web.server.PORT", shop.server.server_port)
    with Server(shop.server.site) as other:
        assert other.server_port not in (0, shop.server.server_port)


def test_a_request_that_never_ends_its_body_is_refused(shop: Shop) -> None:
    with socket.create_connection(("127.0.0.1", shop.server.server_port), timeout=10) as connection:
        head = f"POST /api/actions/pause HTTP/1.1\r\nHost: localhost\r\n{HEADER}: {shop.server.token}\r\n"
        connection.sendall(f"{head}Content-Length: 100000000\r\n\r\n".encode())
        assert b"400" in connection.recv(1000)


def _failing(problem: Exception) -> Callable[[], Any]:
    def look() -> Any:
        raise problem

    return look
