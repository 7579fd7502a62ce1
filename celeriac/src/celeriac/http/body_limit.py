"""No more of a body than we want, in no more time than we grant; told while it comes, not afterwards."""

import asyncio
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from celeriac.http.errors import ApiError

MOST_BYTES = 64 * 1024
BODY_SECONDS = 10.0  # a slow client would hold memory and a connection for as long as it likes

# What is still read and thrown away after the answer is known: a client that is cut off in the middle of sending may
# see a broken pipe instead of our 413.
DRAINED_BYTES = 1024 * 1024
DRAINED_SECONDS = 1.0


class BodyLimit:
    """ASGI middleware. The body reaches the application whole, or not at all."""

    def __init__(self, app: ASGIApp, most_bytes: int = MOST_BYTES, body_seconds: float = BODY_SECONDS) -> None:
        self.app = app
        self.most_bytes = most_bytes
        self.body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not has_body(scope):
            await self.app(scope, receive, send)
            return
        try:
            body = await self._read(scope, receive)
        except ApiError as exc:
            await exc.response()(scope, receive, send)
            return
        if body is None:
            return  # the client is gone, nobody wants an answer
        waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return waiting.pop() if waiting else await receive()

        await self.app(scope, replay, send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        if declared_bytes(scope) > self.most_bytes:
            # A client that waits for "100 Continue" has sent nothing yet, and is spared it.
            if not expects_continue(scope):
                await drain(receive)
            raise self._too_large()
        chunks = bytearray()
        try:
            async with asyncio.timeout(self.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    chunks += message.get("body", b"")
                    if len(chunks) > self.most_bytes:
                        break
                    if not message.get("more_body", False):
                        return bytes(chunks)
        except TimeoutError:
            text = f"The body did not arrive within {self.body_seconds:g} seconds."
            raise ApiError(HTTPStatus.REQUEST_TIMEOUT, "body_timeout", text, headers={"Connection": "close"}) from None
        chunks.clear()
        await drain(receive)
        raise self._too_large()

    def _too_large(self) -> ApiError:
        text = f"The body is larger than {self.most_bytes // 1024} KiB."
        return ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", text, headers={"Connection": "close"})


async def drain(receive: Receive) -> None:
    """Read on for a moment, keeping nothing."""
    left = DRAINED_BYTES
    try:
        async with asyncio.timeout(DRAINED_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return


def has_body(scope: Scope) -> bool:
    names = {key for key, _ in scope["headers"]}
    return b"content-length" in names or b"transfer-encoding" in names


def declared_bytes(scope: Scope) -> int:
    """Content-Length, where the client gives one; it may lie, so it is not the only check."""
    values = [value for key, value in scope["headers"] if key == b"content-length"]
    return max((int(value[:18]) for value in values if value.isdigit()), default=0)


def expects_continue(scope: Scope) -> bool:
    return any(key == b"expect" and value.lower() == b"100-continue" for key, value in scope["headers"])
