"""What `docker compose logs` prints, as lines of replicas."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from devctl.stack.port import LogLine

# such as: worker-2  | 2026-11-23T16:05:18.123456789Z the text
_LINE = re.compile(r"^(?P<replica>\S+?)\s*\| (?P<time>\d{4}-\d\d-\d\dT\S+?Z) ?(?P<text>.*)$", re.DOTALL)


def parse(lines: Iterable[str], names: Mapping[str, str]) -> Iterator[LogLine]:
    """Yield the log lines; what Compose itself says in between (a container came, or went) is dropped.

    `names`: container name -> replica, for services that set `container_name`; the others are called by their replica.
    """
    for line in lines:
        if match := _LINE.match(line):
            replica = names.get(match["replica"], match["replica"])
            service = replica.rpartition("-")[0] or replica
            yield LogLine(service, replica, match["text"], datetime.fromisoformat(match["time"]).timestamp())
