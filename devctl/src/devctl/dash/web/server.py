"""The server of the page: on 127.0.0.1 only, a thread for each connection, nothing but the standard library.

GET  /                     the page
GET  /events               server-sent events: a snapshot a second
GET  /logs?service=&id=    server-sent events: lines of logs as they come
GET  /api/trace/ID         the trace of a task
POST /api/actions/NAME     scale, restart, pause, resume, replay, drop: {"said": …} or {"problem": …, "hint": …}
"""

from __future__ import annotations

import contextlib
import json
import secrets
import select
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from devctl.dash.actions import Actions
from devctl.dash.web import access, page
from devctl.dash.web.feed import Feed
from devctl.dash.web.lines import Lines
from devctl.dash.web.site import Site
from devctl.errors import DevctlError, UsageError

PORT = 8765
_LONGEST_BODY = 10_000  # bytes; an action is a few words
_SECONDS_FOR_REQUEST = 60
_SECONDS_TO_END = 3.0
_RETRY_MILLISECONDS = 1_000
_SAFE = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


Act = Callable[[Actions, Mapping[str, Any]], str]


class Server(ThreadingHTTPServer):
    """The page of one stack, at `address` from the moment on that it is made."""

    daemon_threads = True

    def __init__(self, site: Site, port: int | None = None) -> None:
        """On that port, or on one that is free: the usual one, so that a bookmark holds."""
        self.site = site
        self.token, self.instance = secrets.token_urlsafe(24), secrets.token_hex(4)
        self.feed = Feed(site.look)
        self.closing = threading.Event()
        self._streams = 0
        self._idle = threading.Condition()
        try:
            super().__init__(("127.0.0.1", PORT if port is None else port), Handler)
        except OSError as exc:
            if port is not None:
                raise DevctlError(
                    f"port {port} is not free: {exc.strerror}", hint="devctl dash --web     takes one that is"
                ) from None
            super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that is gone is none; anything else is a bug of ours."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    @contextlib.contextmanager
    def stream(self) -> Iterator[None]:
        """While a connection reads logs: a follower may have a process, which is to end before ours does."""
        with self._idle:
            self._streams += 1
        try:
            yield
        finally:
            with self._idle:
                self._streams -= 1
                self._idle.notify_all()

    def server_close(self) -> None:
        """End all that listens."""
        self.closing.set()
        self.feed.close()
        super().server_close()
        with self._idle:
            self._idle.wait_for(lambda: not self._streams, _SECONDS_TO_END)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "devctl", ""
    timeout = _SECONDS_FOR_REQUEST

    def do_GET(self) -> None:
        """The page and what it reads."""
        url = urlsplit(self.path)
        if refused := access.refusal(self.headers, navigates=url.path == "/"):
            self._refuse(HTTPStatus.FORBIDDEN, refused)
        elif url.path == "/":
            text, policy = page.render(self.server.token, self.server.instance)
            self._answer(HTTPStatus.OK, "text/html; charset=utf-8", text, {"Content-Security-Policy": policy})
        elif url.path == "/events":
            self._events()
        elif url.path == "/logs":
            asked = {key: values[-1] for key, values in parse_qs(url.query).items()}
            self._logs(asked.get("service", ""), asked.get("id", ""))
        elif url.path.startswith("/api/trace/"):
            self._json(lambda: self.server.site.trace(unquote(url.path.removeprefix("/api/trace/"))))
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")

    def do_POST(self) -> None:
        """An action."""
        self.close_connection = True  # what is left of a body that was refused is no next request
        name = self.path.removeprefix("/api/actions/")
        if refused := access.refusal(self.headers, navigates=False, acts=self.server.token):
            self._refuse(HTTPStatus.FORBIDDEN, refused)
        elif (act := _ACTIONS.get(name)) is None or name == self.path:
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such action")
        else:
            self._json(lambda: self._done(act))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that http.server gives it
        """A terminal is not for the requests of a page."""

    def _done(self, act: Act) -> Mapping[str, str]:
        said = act(self.server.site.actions, self._body())
        self.server.site.soon()
        return {"said": said}

    def _body(self) -> Mapping[str, Any]:
        length = self.headers.get("Content-Length", "")
        try:
            if not length.isdecimal() or int(length) > _LONGEST_BODY:
                raise ValueError(length)
            body = json.loads(self.rfile.read(int(length)))
        except ValueError:
            raise UsageError("the request has no JSON that could be read") from None
        if not isinstance(body, dict):
            raise UsageError("the request is no JSON object")
        return body

    def _events(self) -> None:
        instance, _, number = self.headers.get("Last-Event-ID", "").partition("-")
        after = int(number) if instance == self.server.instance and number.isdecimal() else 0
        self._begin_events()
        with contextlib.closing(self.server.feed.listen(after)) as events:
            for event in events:
                if event is None:
                    self._send(": still here\n\n")
                else:
                    self._send(
                        f"event: {event.kind}\nid: {self.server.instance}-{event.number}\ndata: {event.data}\n\n"
                    )

    def _logs(self, service: str, id_: str) -> None:
        self._begin_events()
        lines = Lines(lambda data: self._send(f"event: lines\ndata: {data}\n\n"))
        try:
            with self.server.stream():
                self.server.site.logs(service, id_, lines, self._somebody_reads)
        except DevctlError as exc:
            self._send(f"event: problem\ndata: {json.dumps({'problem': exc.problem, 'hint': exc.hint})}\n\n")
        self._send("event: end\ndata: {}\n\n")

    def _somebody_reads(self) -> bool:
        """A browser says nothing more on this connection: what can be read is its end."""
        poll = select.poll()
        poll.register(self.connection, select.POLLIN | select.POLLHUP)
        return not self.server.closing.is_set() and not poll.poll(0)

    def _begin_events(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self.send_response(HTTPStatus.OK)
        self._headers("text/event-stream", {"X-Accel-Buffering": "no"})
        self._send(f"retry: {_RETRY_MILLISECONDS}\nevent: hello\ndata: {self.server.instance}\n\n")

    def _send(self, text: str) -> None:
        self.wfile.write(text.encode())

    def _json(self, work: Callable[[], Any]) -> None:
        try:
            status, document = HTTPStatus.OK, work()
        except DevctlError as exc:
            status = HTTPStatus.BAD_REQUEST if isinstance(exc, UsageError) else HTTPStatus.CONFLICT
            document = {"problem": exc.problem, "details": list(exc.details), "hint": exc.hint}
        except Exception as exc:  # said on the page, and written where a bug can be reported from
            sys.stderr.write(traceback.format_exc())
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            document = {"problem": f"a bug in devctl: {type(exc).__name__}: {exc}", "details": [], "hint": ""}
        self._answer(status, "application/json", json.dumps(document, default=str))

    def _refuse(self, status: HTTPStatus, problem: str) -> None:
        self._answer(status, "application/json", json.dumps({"problem": problem, "details": [], "hint": ""}))

    def _answer(self, status: HTTPStatus, kind: str, text: str, more: Mapping[str, str] | None = None) -> None:
        body = text.encode()
        self.send_response(status)
        self._headers(kind, {**(more or {}), "Content-Length": str(len(body))})
        self.wfile.write(body)

    def _headers(self, kind: str, more: Mapping[str, str]) -> None:
        for name, value in {"Content-Type": kind, **_SAFE, **more}.items():
            self.send_header(name, value)
        self.end_headers()


def _scale(actions: Actions, body: Mapping[str, Any]) -> str:
    replicas = body.get("replicas")
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
        raise UsageError("how many replicas is a number, 0 or more")
    return actions.scale(_text(body, "service"), replicas)


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise UsageError(f"the request does not name its {name}")
    return value


_ACTIONS: Mapping[str, Act] = {
    "scale": _scale,
    "restart": lambda actions, body: actions.restart(_text(body, "service")),
    "pause": lambda actions, body: actions.pause(_text(body, "queue")),
    "resume": lambda actions, body: actions.resume(_text(body, "queue")),
    "replay": lambda actions, body: actions.replay(_text(body, "letter")),
    "drop": lambda actions, body: actions.drop(_text(body, "letter")),
}
