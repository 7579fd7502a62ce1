"""What may not be shown: the user and password of an URL."""

import re

_USERINFO = re.compile(r"://[^/\s\"'<>]+@")


def redact(text: str) -> str:
    return _USERINFO.sub("://***@", text) if "://" in text else text
