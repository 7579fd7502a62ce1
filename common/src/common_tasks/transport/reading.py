"""Reading messages: fast where JSON is plain, as kombu does where it is not."""

from base64 import b64decode
from typing import Any

import msgspec
from kombu.utils.json import loads as kombu_loads

_decode = msgspec.json.Decoder().decode


def loads(raw: bytes | str) -> Any:
    """JSON, with kombu's marks for dates, decimals and the like. msgspec reads integers of any size exactly; what it
    refuses (NaN, half a surrogate pair) is left to kombu's own reader. Raises ValueError or RecursionError."""
    data = raw.encode() if isinstance(raw, str) else raw
    if b'"__type__"' not in data:
        try:
            return _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
    return kombu_loads(data)


def body(message: dict[str, Any]) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    """args, kwargs and what else a body of protocol 2 holds (callbacks, chain, …). Raises ValueError if it is none."""
    parts = whole_body(message)
    if not isinstance(parts, list) or len(parts) != 3:
        raise ValueError("the body has not three parts: args, kwargs, the rest")
    args, kwargs, embed = parts
    if not isinstance(args, list) or not isinstance(kwargs, dict) or not isinstance(embed, dict | None):
        raise ValueError("the body is not a list, an object and an object")
    return args, kwargs, embed or {}


def whole_body(message: dict[str, Any]) -> Any:
    """What stands in the body, of either protocol. Raises ValueError."""
    encoding, text = message["properties"].get("body_encoding"), message["body"]
    if encoding == "base64":
        return loads(b64decode(text))
    if encoding:
        raise ValueError(f"body_encoding is {encoding!r}, not base64")
    return loads(text)
