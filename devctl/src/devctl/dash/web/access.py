"""Who may ask: pages of this server itself, in a browser on this machine, and programs such as curl.

A web site that the user visits can send requests to 127.0.0.1, too. Three things keep it out: the Host that it names
(DNS rebinding), what the browser says of where a request comes from, and for actions a token that only our page has.
"""

from __future__ import annotations

import hmac
from email.message import Message
from urllib.parse import urlsplit

HEADER = "X-Devctl-Token"
_HOSTS = ("127.0.0.1", "localhost")


def refusal(headers: Message, *, navigates: bool, acts: str = "") -> str:
    """Why this request is refused; "" where it is not.

    `navigates`: it asks for the page. `acts`: the token that it needs.
    """
    host = headers.get("Host", "")
    if _name(host) not in _HOSTS:
        return "this page is only there under 127.0.0.1 and localhost"
    if not navigates and headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        return "another web site asked for this"
    origin = headers.get("Origin")
    if origin is not None and origin != f"http://{host}":
        return "another web site asked for this"
    if acts and not hmac.compare_digest(headers.get(HEADER, "").encode(), acts.encode()):
        return "this page is of an earlier devctl: load it again"
    return ""


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
