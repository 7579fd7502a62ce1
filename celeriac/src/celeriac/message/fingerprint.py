"""The fingerprint of a message: it is the same for two messages that ask for the same work."""

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

_canonical = msgspec.json.Encoder(order="deterministic").encode


def fingerprint(task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """16 hex digits, a hash of task and arguments (JSON data). The payload's `timestamp` does not count: a repeated
    request has another one."""
    first, *others = args if args else (None,)
    if isinstance(first, dict) and "timestamp" in first:
        args = [{name: value for name, value in first.items() if name != "timestamp"}, *others]
    asked = [task, args, kwargs]
    try:
        text = _canonical(asked)
    except (UnicodeEncodeError, TypeError):  # half a surrogate pair: JSON can write it, UTF-8 cannot
        text = json.dumps(asked, sort_keys=True, default=str).encode()
    return blake2b(text, digest_size=8).hexdigest()
