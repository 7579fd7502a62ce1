"""Which port of this machine stands for a container's: the published one, or a free one that is kept."""

from __future__ import annotations

from pathlib import Path

from devctl.stack import ports
from devctl.stack.local.place import read_json, write_json
from devctl.stack.model import Port, Service, Stack


class PortBook:
    """The choices of one stack; free ports once chosen are remembered in a file."""

    def __init__(self, stack: Stack, file: Path) -> None:
        self._stack, self._file = stack, file
        self._chosen: dict[str, int] = {key: int(port) for key, port in read_json(file).items()}

    def of(self, service: str, replica: int, target: int) -> int:
        """Return the port of this machine; chosen now where the Compose file says "any"."""
        published = _port(self._stack.services[service], target).published
        if published:
            return published
        key = f"{service}-{replica}:{target}"
        if key not in self._chosen:
            self._choose(key)
        return self._chosen[key]

    def make_sure(self, service: Service, replica: int, variables: dict[int, str]) -> None:
        """Check that a replica's ports can be had: another free one, or DevctlError for one that was asked for."""
        for port in service.ports:
            if port.protocol != "tcp" or ports.free(self.of(service.name, replica, port.target)):
                continue
            if port.published:
                raise ports.in_use(service.name, port.published, variables.get(port.target, ""))
            self._choose(f"{service.name}-{replica}:{port.target}")

    def _choose(self, key: str) -> None:
        taken = {*self._chosen.values(), *(p.published for s in self._stack.services.values() for p in s.ports)}
        port = ports.any_free()
        while port in taken:
            port = ports.any_free()
        self._chosen[key] = port
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_json(self._file, self._chosen)


def _port(service: Service, target: int) -> Port:
    return next((port for port in service.ports if port.target == target), Port(target, target))
