"""JSON for eyes: on one line what fits on one line, the rest broken and indented."""

from __future__ import annotations

import json
from typing import Any


def fitting(value: Any, width: int, indent: int = 0, *, around: int = 0) -> str:
    """The value as JSON in so many columns; `around` is what else stands on its first line."""
    line = json.dumps(value, ensure_ascii=False)
    if indent + around + len(line) <= width or not isinstance(value, dict | list) or not value:
        return line
    inner, outer = " " * (indent + 2), " " * indent
    if isinstance(value, dict):
        keys = {key: json.dumps(key, ensure_ascii=False) + ": " for key in value}
        parts = [keys[key] + fitting(one, width, indent + 2, around=len(keys[key]) + 1) for key, one in value.items()]
        return "{\n" + ",\n".join(inner + part for part in parts) + f"\n{outer}}}"
    parts = [fitting(one, width, indent + 2, around=1) for one in value]
    return "[\n" + ",\n".join(inner + part for part in parts) + f"\n{outer}]"
