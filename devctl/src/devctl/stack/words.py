"""What a Celery worker says of itself in its log, and which file that is where it is not its output."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from devctl.stack.model import Service
from devctl.stack.readiness import Heard

_READY = re.compile(r"\S@[\w.%-]+ ready\.")
_BANNER = re.compile(r"^[ *-]*\[(?:config|queues|tasks)\]\s*$", re.MULTILINE)
_TALKS = re.compile(r": INFO/MainProcess\]")
_TROUBLE = re.compile(r"(?P<problem>Cannot connect to [^\n]*?)\s*Trying again in (?P<seconds>[\d.]+) seconds")
_SLACK_SECONDS = 2.0  # a try takes a moment, too
_SIGN = re.compile(r"%(.)")


@dataclass
class Listener:
    """Listens to one life of one replica."""

    heard: Heard = field(default_factory=Heard)
    _troubles: int = 0
    _until: float = 0.0

    def listen(self, lines: Iterable[str], now: float) -> None:
        """Take in all that it has said in this life."""
        text = "\n".join(lines)
        ready, talks, troubles = _READY.search(text), _TALKS.search(text), [*_TROUBLE.finditer(text)]
        if len(troubles) != self._troubles:  # when it connects after all, a worker that only warns says nothing
            self._troubles, self._until = len(troubles), now + float(troubles[-1]["seconds"]) + _SLACK_SECONDS
        banner_at = self.heard.banner_at or (now if _BANNER.search(text) else None)
        trouble = troubles[-1]["problem"].rstrip(". ") if troubles and now < self._until and not ready else ""
        self.heard = Heard("said that it is ready" if ready else "", bool(talks), banner_at, trouble)


def logfile(pattern: str, node: str) -> str:
    """Return the file that `--logfile` means in a worker of this name: `%n.log` is `celery.log` in celery@host."""
    name, _, host = node.partition("@")
    meanings = {"n": name, "h": host, "p": node, "d": host.partition(".")[2], "i": "0", "I": "", "%": "%"}
    return _SIGN.sub(lambda found: meanings.get(found[1], found[0]), pattern)


def here(service: Service, path: str) -> str:
    """Return where on this machine a file of a container is; "" where no folder of this machine is mounted there."""
    for mount in sorted(service.mounts, key=lambda one: len(one.target), reverse=True):
        if path.startswith(f"{mount.target.rstrip('/')}/"):
            return posixpath.join(mount.source, posixpath.relpath(path, mount.target)) if mount.kind == "bind" else ""
    return ""
