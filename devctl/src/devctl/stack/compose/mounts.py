"""Folders of the checkout in place of an image's: bind mounts, so that a change of code needs a restart and no build.

Which folder stands where in a container is written in the Compose file: the paths of `develop: watch:` that have a
target. A path is mounted by what lies in it, since several of them may have one target.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from devctl.stack import sources
from devctl.stack.compose.containers import LIVE
from devctl.stack.model import Service

_PROBE = "200ms"
"""Between two health checks of a service that starts: somebody waits for it."""


def mounts(service: Service) -> dict[str, Path]:
    """Return target -> what is mounted there."""
    found: dict[str, Path] = {}
    for one in service.watch:
        if one.target and one.path.is_dir():
            inside = (child for child in sorted(one.path.iterdir()) if not _left_out(child))
            found |= {f"{one.target.rstrip('/')}/{child.name}": child for child in inside}
        elif one.target and one.path.is_file():
            found[one.target] = one.path
    return found


def _left_out(child: Path) -> bool:
    return child.name.startswith(".") or child.name == "__pycache__" or child.suffix == ".egg-info"


def override(services: Sequence[Service]) -> dict[str, object]:
    """Return what a second Compose file adds to the first; JSON is YAML."""
    return {
        "services": {
            service.name: {
                "labels": {LIVE: "true"},
                **({"healthcheck": {"start_interval": _PROBE}} if service.healthcheck else {}),
                "volumes": [
                    {"type": "bind", "source": str(source), "target": target, "read_only": True}
                    for target, source in mounts(service).items()
                ],
            }
            for service in services
        }
    }


@dataclass(frozen=True)
class Ran:
    """Which code each service with mounts runs: as its files were when it was last started."""

    file: Path

    def current(self, service: Service) -> bool:
        """Whether it runs its files as they are now."""
        return self._read().get(service.name) == _code(service)

    def note(self, codes: Mapping[str, str]) -> None:
        """Note service -> its code, taken before its start: a change meanwhile is one for the next start."""
        if codes:
            self.file.write_text(json.dumps({**self._read(), **codes}), encoding="utf-8")

    def codes(self, services: Sequence[Service]) -> dict[str, str]:
        """Return the code of these now."""
        return {service.name: _code(service) for service in services}

    def _read(self) -> dict[str, str]:
        try:
            known = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # not there, or damaged: restart once more
            return {}
        return known if isinstance(known, dict) else {}


def _code(service: Service) -> str:
    return sources.digest(sources.stamps(service))
