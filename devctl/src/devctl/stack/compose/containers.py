"""The containers of a Compose project and their logs, read from what the engine and Compose print."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from devctl.stack.port import DEGRADED, Health, LogLine, Replica, State

PROJECT = "com.docker.compose.project"
LIVE = "devctl.live"
_WORKING_DIR = "com.docker.compose.project.working_dir"
_STATES: Mapping[str, State] = {
    "created": "created",
    "running": "running",
    "paused": "paused",
    "restarting": "restarting",
    "exited": "exited",
    "removing": "exited",
    "dead": "exited",
}
_HEALTH: Mapping[str, Health] = {"starting": "starting", "healthy": "healthy", "unhealthy": "unhealthy"}
_LINE_OF_ONE = re.compile(r"^(?P<time>\d{4}-\d\d-\d\dT\S+?Z) ?(?P<text>.*)$", re.DOTALL)
# such as: worker-2  | 2026-11-23T16:05:18.123456789Z the text
_LINE = re.compile(r"^(?P<replica>\S+?)\s*\| (?P<time>\d{4}-\d\d-\d\dT\S+?Z) ?(?P<text>.*)$", re.DOTALL)


@dataclass(frozen=True)
class Container:
    """One container, and the replica it is."""

    id: str
    name: str
    """Docker's name: `celery-workbench-worker-2`."""
    replica: Replica
    working_dir: str
    """The folder of the Compose file that made it."""
    image: str = ""
    """The id of its image."""
    live: bool = False
    """Whether folders of the checkout are mounted over its code."""
    addresses: tuple[str, ...] = ()
    """Where it is in its networks; on Linux this machine reaches them, too."""

    @property
    def running(self) -> bool:
        """Whether it runs now."""
        return self.replica.state == "running"


def parse(inspected: list[dict[str, Any]]) -> list[Container]:
    """Read what `docker inspect` prints; containers of `docker compose run` are left out."""
    found = [_container(one) for one in inspected if _labels(one).get("com.docker.compose.oneoff") != "True"]
    return sorted(found, key=lambda c: (c.replica.service, _number(c.replica.name)))


def log_lines(lines: Iterable[str], names: Mapping[str, str]) -> Iterator[LogLine]:
    """Yield the log lines; what Compose itself says in between (a container came, or went) is dropped.

    `names`: container name -> replica, for services that set `container_name`; the others are called by their replica.
    """
    for line in lines:
        if match := _LINE.match(line):
            replica = names.get(match["replica"], match["replica"])
            service = replica.rpartition("-")[0] or replica
            yield LogLine(service, replica, match["text"], datetime.fromisoformat(match["time"]).timestamp())


def log_lines_of_one(lines: Iterable[str], replica: Replica) -> Iterator[LogLine]:
    """Yield what `docker logs` prints of one container; what the engine says instead of a log is dropped."""
    for line in lines:
        if match := _LINE_OF_ONE.match(line):
            moment = datetime.fromisoformat(match["time"]).timestamp()
            yield LogLine(replica.service, replica.name, match["text"], moment)


def _container(one: Mapping[str, Any]) -> Container:
    labels, state = _labels(one), one["State"]
    service = labels.get("com.docker.compose.service", "")
    health = state.get("Health") or {}
    status = _STATES.get(state["Status"], "exited")
    return Container(
        id=one["Id"],
        name=one["Name"].lstrip("/"),
        replica=Replica(
            service=service,
            name=f"{service}-{labels.get('com.docker.compose.container-number', '1')}",
            state=status,
            health=_health(health),
            exit_code=state["ExitCode"] if status in ("exited", "restarting") else None,
            restarts=one.get("RestartCount", 0),
            started_at=_unix(state.get("StartedAt", "")),
            ports=tuple(_ports(one)),
            health_output=_last_words(health),
            pid=state.get("Pid") or None,
            hostname=one["Config"].get("Hostname", ""),
        ),
        working_dir=labels.get(_WORKING_DIR, ""),
        image=one.get("Image", ""),
        live=LIVE in labels,
        addresses=tuple(_addresses(one)),
    )


def _addresses(one: Mapping[str, Any]) -> Iterator[str]:
    for name, network in ((one.get("NetworkSettings") or {}).get("Networks") or {}).items():
        if address := "127.0.0.1" if name == "host" else network.get("IPAddress"):
            yield address


def _labels(one: Mapping[str, Any]) -> Mapping[str, str]:
    return one["Config"].get("Labels") or {}


def _number(name: str) -> int:
    number = name.rpartition("-")[2]
    return int(number) if number.isdigit() else 0


def _ports(one: Mapping[str, Any]) -> list[str]:
    """`127.0.0.1:8001->8001`, each once: an engine with IPv6 lists a port twice."""
    published = (one.get("NetworkSettings") or {}).get("Ports") or {}
    return [
        f"{binding['HostIp'] or '0.0.0.0'}:{binding['HostPort']}->{target.partition('/')[0]}"  # noqa: S104  # as it is
        for target, bindings in published.items()
        for binding in bindings or []
        if ":" not in binding["HostIp"]
    ]


def _health(health: Mapping[str, Any]) -> Health:
    found = _HEALTH.get(health.get("Status", ""), "none")
    return "degraded" if found == "healthy" and _last_output(health).startswith(DEGRADED) else found


def _last_words(health: Mapping[str, Any]) -> str:
    log, said = health.get("Log") or [], _last_output(health)
    if said.startswith(DEGRADED):
        return said.removeprefix(DEGRADED)
    # A check that passed says nothing; "ok" may be of an earlier life.
    return said if log and log[-1].get("ExitCode") != 0 else ""


def _last_output(health: Mapping[str, Any]) -> str:
    log = health.get("Log") or [{}]
    return str(log[-1].get("Output", "")).strip()


def _unix(text: str) -> float | None:
    if not text or text.startswith("0001"):  # Go's zero time: it never ran
        return None
    return datetime.fromisoformat(text).timestamp()
