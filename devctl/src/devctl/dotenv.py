"""`.env` and env_file, read as Compose reads them."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Mapping
from pathlib import Path

from devctl.interpolation import interpolate

_ENTRY = re.compile(
    r"""^[^\S\n]*(?:export[^\S\n]+)?(?P<name>[\w.-]+)[^\S\n]*
    (?:[=:][^\S\n]*(?:'(?P<literal>(?:\\'|[^'])*)' | "(?P<quoted>(?:\\.|[^"\\])*)" | (?P<bare>[^\n]*)) )?[^\n]*$""",
    re.MULTILINE | re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}


def read(file: Path, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the file's variables; values may use earlier ones and `environment`. A folder or no file is empty."""
    if not file.is_file():
        return {}
    known = environment or {}
    values: dict[str, str] = {}
    text = re.sub(r"^[^\S\n]*#.*$", "", file.read_text(encoding="utf-8-sig"), flags=re.MULTILINE)
    for found in _ENTRY.finditer(text):
        name, scope = found["name"], ChainMap(values, dict(known))
        if found["literal"] is not None:
            values[name] = found["literal"].replace("\\'", "'")
        elif found["quoted"] is not None:
            values[name] = _interpolated(re.sub(r"\\([nrt\"\\])", lambda m: _ESCAPES[m[1]], found["quoted"]), scope)
        elif found["bare"] is not None:
            bare = re.split(r"\s#", found["bare"], maxsplit=1)[0].strip()
            values[name] = _interpolated(bare, scope)
        elif name in known:  # a name alone passes the environment's value on
            values[name] = known[name]
    return values


def _interpolated(value: str, scope: Mapping[str, str]) -> str:
    return interpolate(value, scope) if "$" in value else value
