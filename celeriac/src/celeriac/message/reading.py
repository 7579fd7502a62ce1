"""Reading messages: plain JSON with msgspec, which is fast; all other JSON as kombu reads it."""

from binascii import a2b_base64
from typing import Any

import msgspec
from kombu.utils.json import loads as kombu_loads
from msgspec import ValidationError, convert

from celeriac.message.frame import EMBED_BYTES

MARK = b'"__type__"'

_decode = msgspec.json.Decoder().decode
_arguments = msgspec.json.Decoder(tuple[list[Any], dict[str, Any]]).decode


class Undecodable(ValueError):
    """Nobody can read this; the text says why."""


def loads(raw: bytes | str) -> Any:
    """Read JSON, with kombu's marks for dates, decimals and the like. msgspec reads large integers exactly. kombu's
    reader takes what msgspec refuses (NaN, half a surrogate pair). Raises only Undecodable: a mark calls a function
    (Decimal, UUID, that of a registered type) which may raise anything, and that is caught here."""
    try:
        data = raw.encode() if isinstance(raw, str) else raw
        if data.find(MARK) < 0:  # `in` first tries to make a number of what it looks for
            try:
                return _decode(data)
            except (msgspec.DecodeError, UnicodeDecodeError):
                pass
        return kombu_loads(data)
    except Exception as exc:
        raise Undecodable(f"{type(exc).__name__}: {exc}") from exc


def body(message: dict[str, Any]) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    """args, kwargs and the last part (callbacks, chain, …; it may be empty) of a body of protocol 2. Raises
    Undecodable."""
    data = raw_body(message)
    if isinstance(data, bytes) and data.endswith(EMBED_BYTES) and data.find(MARK) < 0:  # no callbacks: most bodies
        try:
            return *_arguments(data[: -len(EMBED_BYTES)] + b"]"), {}
        except (msgspec.MsgspecError, UnicodeDecodeError):
            pass
    return parts_of(loads(data))


def parts_of(whole: Any) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    """The same, from a body that was read before."""
    if not isinstance(whole, list | tuple) or len(whole) != 3:
        raise Undecodable("the body has not three parts: args, kwargs, the rest")
    args, kwargs, embed = whole
    if not isinstance(args, list | tuple) or not isinstance(kwargs, dict) or not isinstance(embed, dict | None):
        raise Undecodable("the body is not a list, an object and an object")
    return args, kwargs, embed or {}  # type: ignore[return-value]  # a tuple of arguments does as well


def whole_body(message: dict[str, Any]) -> Any:
    """The content of the body, of protocol 1 or 2. Raises Undecodable."""
    return loads(raw_body(message))


def raw_body(message: dict[str, Any]) -> bytes | str:
    """The body as its sender encoded it. Raises Undecodable."""
    encoding, text = message["properties"].get("body_encoding"), message["body"]
    if not encoding:
        return str(text)
    if encoding != "base64":
        raise Undecodable(f"body_encoding is {encoding!r}, not base64")
    try:
        return convert(text, bytes)  # in half the time
    except ValidationError:
        pass
    try:
        return a2b_base64(text)  # reads line breaks, too
    except ValueError as exc:
        raise Undecodable(f"the body is not base64: {exc}") from exc
