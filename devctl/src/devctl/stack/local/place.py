"""Where a local stack is on this machine: its files and its ports.

State lies in the checkout, socket and /tmp of its services in a short folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devctl.errors import DevctlError
from devctl.stack.local import listening
from devctl.stack.model import Service, Stack
from devctl.stack.ports import any_free, free, in_use

_LONGEST_SOCKET = 90  # bytes; a longer path cannot be bound to (108 on Linux, 104 on macOS)


@dataclass(frozen=True)
class Place:
    """The folders and files of one stack."""

    state: Path
    runtime: Path
    """Short, for the socket; may vanish with a reboot."""

    @classmethod
    def of(cls, state: Path) -> Place:
        """Return the place that belongs to this stack's state."""
        noted = read_json(state / "local" / "place.json").get("runtime")
        if noted and Path(noted).is_dir():  # started with another XDG_RUNTIME_DIR: by cron, by sudo
            return cls(state / "local", Path(noted))
        name = hashlib.sha256(os.fsencode(state.resolve())).hexdigest()[:12]
        return cls(state / "local", _runtime_root() / name)

    @property
    def socket(self) -> Path:
        """The supervisor's."""
        return self.runtime / "supervisor.sock"

    @property
    def journal(self) -> Path:
        """The supervisor's log: every start and exit of a process."""
        return self.state / "supervisord.log"

    def log(self, replica: str) -> Path:
        """The log of one replica."""
        return self.state / "logs" / f"{replica}.log"

    def program(self, replica: str) -> Path:
        """What one replica runs, for the launcher; only its owner may read it: environments hold passwords."""
        return self.state / "programs" / f"{replica}.json"

    def run(self, service: str) -> Path:
        """Which process runs it in a terminal."""
        return self.state / f"run-{service}.json"

    def temporary(self, replica: str) -> Path:
        """What one replica sees as /tmp."""
        return self.runtime / "tmp" / replica

    def scripts(self, replica: str) -> Path:
        """Its shell scripts, with what they say of a container rewritten."""
        return self.runtime / "scripts" / replica

    @property
    def roots(self) -> Path:
        """The files of all images, by a short name."""
        return self.runtime / "roots"

    def data(self, service: str) -> Path:
        """What outlives a `down`."""
        return self.state / "data" / service

    def ports(self, stack: Stack) -> PortBook:
        """Which ports of this machine stand for the containers'."""
        return PortBook(stack, self.state / "ports.json")

    def make(self) -> None:
        """Make the folders that are not there."""
        for folder in (self.state, self.runtime, self.runtime / "tmp"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("logs", "programs", "data"):
            (self.state / name).mkdir(exist_ok=True)
        (self.state / "roots").mkdir(exist_ok=True)
        if not self.roots.is_symlink():
            self.roots.symlink_to(self.state.resolve() / "roots")
        write_json(self.state / "place.json", {"runtime": str(self.runtime)})

    def clear(self) -> None:
        """Remove what belongs to running services; logs, data and ports stay."""
        shutil.rmtree(self.runtime, ignore_errors=True)
        shutil.rmtree(self.state / "programs", ignore_errors=True)
        for name in ("supervisord.conf", "supervisord.json", "place.json"):
            (self.state / name).unlink(missing_ok=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep a second devctl from changing this stack at the same time."""
        try:
            self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = (self.state / "lock").open("w")
        except OSError as refused:
            raise DevctlError(
                f"{self.state} cannot be written: {refused.strerror}", hint="run devctl as the owner of this checkout"
            ) from refused
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class PortBook:
    """Which port of this machine stands for a container's: the published one, or a free one that is kept in a file."""

    def __init__(self, stack: Stack, file: Path) -> None:
        self._stack, self._file = stack, file
        self.targets = listening.targets(stack)
        """Service -> the ports that its container listens on."""
        self._chosen: dict[str, int] = {key: int(port) for key, port in read_json(file).items()}

    def of(self, service: str, replica: int, target: int) -> int:
        """Return the port of this machine; chosen now where the Compose file says "any", or publishes none."""
        published = _published(self._stack.services[service], target)
        if published:
            return published
        key = f"{service}-{replica}:{target}"
        if key not in self._chosen:
            self._choose(key)
        return self._chosen[key]

    def make_sure(self, service: Service, replica: int, variables: dict[int, str]) -> None:
        """Check that a replica's ports can be had: another free one, or DevctlError for one that was asked for."""
        for target in self.targets[service.name]:
            if free(self.of(service.name, replica, target)):
                continue
            if published := _published(service, target):
                raise in_use(service.name, published, variables.get(target, ""))
            self._choose(f"{service.name}-{replica}:{target}")

    def _choose(self, key: str) -> None:
        taken = {*self._chosen.values(), *(p.published for s in self._stack.services.values() for p in s.ports)}
        port = any_free()
        while port in taken:
            port = any_free()
        self._chosen[key] = port
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._file, self._chosen)


def read_json(file: Path) -> dict[str, Any]:
    """Return the object in a file of ours; empty where there is none, or where a kill left half of one."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_json(file: Path, content: object) -> None:
    """Write a file that is there as a whole or not at all, for its owner only."""
    part = file.with_name(f"{file.name}.{os.getpid()}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        json.dump(content, out)
    part.replace(file)


def renew(file: Path) -> None:
    """Begin an empty file: another one, so that who reads along notices, however much is in it when he looks."""
    part = file.with_name(f"{file.name}.{os.getpid()}")
    part.write_bytes(b"")
    part.replace(file)


def _published(service: Service, target: int) -> int:
    return next((p.published for p in service.ports if p.target == target and p.protocol == "tcp"), 0)


def _runtime_root() -> Path:
    """Return a folder of this user alone, with a short path, the same for every devctl of this user."""
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    if given and len(os.fsencode(given)) < _LONGEST_SOCKET - 40 and os.access(given, os.W_OK | os.X_OK):
        return Path(given) / "devctl"
    for base in (tempfile.gettempdir(), "/tmp"):  # noqa: S108  # the folder in it is checked to be ours
        root = Path(base) / f"devctl-{os.getuid()}"
        if len(os.fsencode(root)) < _LONGEST_SOCKET - 40:
            break
    root.mkdir(mode=0o700, exist_ok=True)
    if root.is_symlink() or root.stat().st_uid != os.getuid():
        raise DevctlError(f"{root} belongs to somebody else", hint="set XDG_RUNTIME_DIR to a folder of your own")
    return root
