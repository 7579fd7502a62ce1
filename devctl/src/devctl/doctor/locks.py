"""What is installed is what the lock says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import metadata

from devctl.doctor.check import Check
from devctl.doctor.facts import Facts

_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;\\]+)\s*(;)?", re.MULTILINE)
_SHOWN = 3


def locks(facts: Facts) -> Iterator[Check]:
    """The .venv that devctl runs in matches dev.lock."""
    file = facts.settings.root / "dev.lock"
    if not file.is_file():
        return
    pinned: dict[str, set[str]] = {}
    everywhere: set[str] = set()
    for name, version, marker in _PIN.findall(file.read_text(encoding="utf-8")):
        pinned.setdefault(_normal(name), set()).add(version)
        if not marker:
            everywhere.add(_normal(name))
    installed = {_normal(one.name): one.version for one in metadata.distributions()}
    stale = [
        f"{name} {installed.get(name, 'missing')}, not {' or '.join(sorted(versions))}"
        for name, versions in pinned.items()
        if (name in installed and installed[name] not in versions) or (name in everywhere and name not in installed)
    ]
    if stale:
        more = f" and {len(stale) - _SHOWN} more" if len(stale) > _SHOWN else ""
        yield Check(
            "lock", "warning", f".venv is not what dev.lock says: {'; '.join(stale[:_SHOWN])}{more}", "make setup"
        )
    else:
        yield Check("lock", "ok", f".venv is what dev.lock says, {len(pinned)} packages")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
