"""Passwords are shown to nobody."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "********"
_SECRET = re.compile(r"pass|secret|token|api_?key|signature", re.IGNORECASE)
_URL = re.compile(r"(?<=://)([^/?#\s@:]*):([^\s;]*)@")


def masked(value: Any, name: str = "") -> Any:
    """The same value without what only its owner may know: passwords in URLs, and whatever is called so."""
    if isinstance(value, Mapping):
        return {key: masked(one, str(key)) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [masked(one, name) for one in value]
    if not isinstance(value, str):
        return value
    if value and _SECRET.search(name):
        return HIDDEN
    return _URL.sub(rf"\1:{HIDDEN}@", value)
