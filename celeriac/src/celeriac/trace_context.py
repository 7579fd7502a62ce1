"""Where a request or a message stands in a trace: W3C's headers `traceparent` and `tracestate`. They are read strictly,
since they come from outside and are copied into messages and log lines."""

import re
from collections.abc import Mapping
from typing import Any, Self

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
LONGEST_STATE = 512  # characters that everybody must pass on; a longer one is left out

# Version, trace id, parent id, flags. Later versions may have more behind it, which nobody knows yet.
_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?")
_KEY = r"[a-z0-9][a-z0-9_*/@-]{0,255}"
_MEMBER = rf"{_KEY}=[ -+\--<>-~]{{0,255}}[!-+\--<>-~]"
_STATE = re.compile(rf"[ \t]*({_MEMBER})?[ \t]*(,[ \t]*({_MEMBER})?[ \t]*){{0,31}}")
LENGTH = 55  # of version 00


class Trace:
    """A place in a trace. Both headers are passed on as they came: who makes no span is no step of the trace."""

    __slots__ = ("id", "parent", "state")

    def __init__(self, parent: str, state: str = "") -> None:
        self.parent, self.state = parent, state
        self.id = parent[3:35]

    @classmethod
    def read(cls, parent: object, state: object = "") -> Self | None:
        """None: there is none, or it is not valid. A wrong `tracestate` is left out."""
        if not isinstance(parent, str) or not _PARENT.fullmatch(parent):
            return None
        if len(parent) > LENGTH and parent.startswith("00"):
            return None
        right = isinstance(state, str) and 0 < len(state) <= LONGEST_STATE and _STATE.fullmatch(state)
        return cls(parent, str(state) if right else "")

    @classmethod
    def of(cls, headers: Mapping[str, Any]) -> Self | None:
        """That of a message."""
        parent = headers.get(TRACEPARENT)
        return None if parent is None else cls.read(parent, headers.get(TRACESTATE))

    @property
    def headers(self) -> dict[str, str]:
        """What a message carries of it."""
        return {TRACEPARENT: self.parent, TRACESTATE: self.state} if self.state else {TRACEPARENT: self.parent}
