"""Where and how devctl writes: data on stdout, talk on stderr; symbols where the terminal has them."""

from __future__ import annotations

import codecs
import sys
from functools import cache
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_PLAIN = {"✔": "ok", "✘": "FAIL", "●": "..", "!": "!", "→": "->", "–": "-", "│": "|", "·": "-", "×": "x", "█": "#"}
_PLAIN |= {"≥": ">=", "≤": "<=", "…": "...", "▸": ">", "⋮": ":"}
_PLAIN |= {"░": "-", "▒": "=", "├": "|", "└": "`", "─": "-"}
_PLAIN |= dict(zip("▁▂▃▄▅▆▇", "_.,-=+%", strict=True))  # of a curve


@cache
def out() -> Console:
    """The console for data (stdout)."""
    return _console(sys.stdout)


@cache
def talk() -> Console:
    """The console for progress, hints and errors (stderr)."""
    return _console(sys.stderr)


def _console(stream: IO[str]) -> Console:
    from rich.console import Console

    from devctl.ui.paint import Paint

    # Rich honours COLUMNS, and writes no ANSI where the stream is no terminal.
    return Console(file=stream, highlight=False, soft_wrap=not stream.isatty(), no_color=not Paint(stream).on)


def sign(symbol: str, stream: IO[str] | None = None) -> str:
    """The symbol, or its plain form where the stream cannot show it."""
    encoding = (getattr(stream or sys.stdout, "encoding", None) or "ascii").lower()
    try:
        symbol.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return _PLAIN.get(symbol, "?")
    return symbol


def _plain(failed: UnicodeError) -> tuple[str, int]:
    assert isinstance(failed, UnicodeEncodeError)
    wanted = failed.object[failed.start : failed.end]
    return "".join(_PLAIN.get(symbol, "?") for symbol in wanted), failed.end


codecs.register_error("devctl.plain", _plain)


def forgiving(stream: IO[str]) -> None:
    """Let a stream write what its encoding cannot show in a plain form, instead of failing."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="devctl.plain")


def write_json(document: object) -> None:
    """One JSON document and a newline on stdout; never coloured, never wrapped."""
    import json

    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    sys.stdout.write(json.dumps(document, ensure_ascii=not utf8) + "\n")
    sys.stdout.flush()
