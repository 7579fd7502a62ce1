"""What a log is made of once it was read: entries, with a time, a level and fields where the line had them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

LEVELS = ("debug", "info", "warning", "error", "critical")
_BLOCKS = ("exception", "stack", "traceback", "stack_info")
_OTHER_NAMES = {
    "trace": "debug",
    "verbose": "debug",
    "notice": "info",
    "success": "info",
    "warn": "warning",
    "err": "error",
    "exception": "error",
    "crit": "critical",
    "fatal": "critical",
    "panic": "critical",
}


@dataclass(frozen=True)
class Entry:
    """One log entry: a line, or a line with the traceback that belongs to it."""

    service: str
    replica: str
    lines: tuple[str, ...]
    """As the service wrote them, without control characters."""
    time: float | None = None
    """Unix seconds: what the line says, else what the runtime saw, else its predecessor's."""
    level: str = ""
    """One of LEVELS; empty where the line does not say."""
    event: str = ""
    """The message of a structured (JSON) line; empty for any other."""
    fields: Mapping[str, object] = field(default_factory=dict)
    """Everything else a structured line says."""
    continues: Entry | None = None
    """The entry whose late continuation this is: shown when that one was shown."""

    @property
    def structured(self) -> bool:
        return bool(self.event)

    @property
    def inline(self) -> dict[str, object]:
        """The fields that fit in a line: all but tracebacks."""
        return {key: value for key, value in self.fields.items() if not (key in _BLOCKS and isinstance(value, str))}

    @property
    def beneath(self) -> list[str]:
        """What stands under the first line of a structured entry: the rest of its message, its tracebacks."""
        blocks = [value for key in _BLOCKS if isinstance(value := self.fields.get(key), str)]
        texts = (self.event.partition("\n")[2], *blocks, *self.lines[1:])
        return [line for text in texts for line in text.rstrip().splitlines()]


def level_named(name: object) -> str:
    """The level behind any of its usual names or numbers; empty where it is none of ours."""
    if isinstance(name, int | float) and not isinstance(name, bool):
        return LEVELS[min(max(int(name) // 10, 1), 5) - 1]  # the numbers of Python's logging
    text = str(name).strip().lower()
    text = _OTHER_NAMES.get(text, text)
    return text if text in LEVELS else ""
