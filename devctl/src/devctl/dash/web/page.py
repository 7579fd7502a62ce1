"""The page: one document with its style and its script in it, so that nothing else is ever loaded."""

from __future__ import annotations

import html
import secrets
from functools import cache
from pathlib import Path

_SCRIPTS = ("format.js", "dom.js", "tables.js", "ask.js", "trace.js", "detail.js", "live.js")


def render(token: str, instance: str) -> tuple[str, str]:
    """The page, and the policy that the browser holds it to; both are new each time."""
    nonce = secrets.token_urlsafe(16)
    page = (
        _file("page.html")
        .replace("{{nonce}}", nonce)
        .replace("{{token}}", html.escape(token))
        .replace("{{instance}}", html.escape(instance))
        .replace("{{style}}", _file("page.css"))
        .replace("{{script}}", "\n".join(map(_file, _SCRIPTS)))
    )
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; img-src data:;"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    )
    return page, policy


@cache
def _file(name: str) -> str:
    return (Path(__file__).parent / "browser" / name).read_text(encoding="utf-8")
