"""From addresses between containers to addresses on this machine: pure text, no process and no socket."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

LOOPBACK = "127.0.0.1"
_ANY = "0.0.0.0"  # noqa: S104  # what a container listens on; here it becomes the loopback address
_USUAL = {"redis": 6379, "amqp": 5672, "pyamqp": 5672, "postgres": 5432, "postgresql": 5432}
"""Scheme -> the port of a URL without one."""
_POSTGRES = 5432
_HOST_WORDS = ("HOST", "HOSTNAME", "ADDR", "ADDRESS", "SERVER")


@dataclass(frozen=True)
class Rewrite:
    """The rules for one replica of one service."""

    service: str
    services: Mapping[str, tuple[int, ...]]
    """Every service of the stack and the container ports it publishes."""
    port_of: Callable[[str, int], int]
    """Service and container port -> port on this machine."""
    temporary: Path
    """This replica's own folder for what it keeps in /tmp."""
    root: Path
    """Paths in here are the machine's already."""
    paths: Mapping[str, str] = field(default_factory=dict)
    """Paths of the container -> where they are here."""
    by_name: bool = False
    """Whether its process finds services by their names: then a host without a port beside it stays."""

    def text(self, value: str) -> str:
        """Rewrite every address and every /tmp path in a value, each once."""
        return self._pattern.sub(self._replace, value)

    def environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Rewrite the values of an environment; hosts and ports in variables of their own too."""
        found = {name: self._variable(name, value, environment) for name, value in environment.items()}
        for name, value in environment.items():
            if self.by_name and found[name] == value and _POSTGRES in self.services.get(value, ()):
                # Its library is no Python and finds nobody by such a name; the port is what the code may ask for.
                found[name], port = LOOPBACK, str(self.port_of(value, _POSTGRES))
                found = {**dict.fromkeys([*_ports_beside(name)[:1], "PGPORT"], port), **found}
        return found

    def arguments(self, command: tuple[str, ...]) -> list[str]:
        """Rewrite a command line, also a port that stands alone after its option."""
        result: list[str] = []
        for index, word in enumerate(command):
            option, equals, value = word.rpartition("=") if word.startswith("-") else ("", "", word)
            says = option or (command[index - 1] if index else "")
            # `--port 8001` and `http.server 8001` are ports, `--limit 8001` is not.
            if value.isdigit() and (not says.startswith("-") or re.search(r"port$|^-[pb]$", says)):
                result.append(f"{option}{equals}{self._port(self.service, value)}")
            else:
                result.append(self.text(word))
        return result

    def _variable(self, name: str, value: str, environment: Mapping[str, str]) -> str:
        upper = name.upper()
        if upper.endswith("PORT") and value.isdigit():
            host = next((environment[key] for key in _hosts_beside(name) if key in environment), "")
            return str(self._port(host if host in self.services else self.service, value))
        if value in self.services and upper.endswith(_HOST_WORDS):
            beside = any(key in environment for key in _ports_beside(name))
            return value if self.by_name and not beside else LOOPBACK
        return self.text(value)

    def _port(self, service: str, target: str) -> int:
        """Return the machine's port of a published one; any other is reached as it is."""
        return self.port_of(service, int(target)) if int(target) in self.services[service] else int(target)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        names = "|".join(re.escape(name) for name in sorted(self.services, key=len, reverse=True))
        paths = "|".join(re.escape(path) for path in sorted(self.paths, key=len, reverse=True))
        return re.compile(
            rf"(?<![\w.-])(?:(?P<name>{names})|{re.escape(_ANY)}|127\.0\.0\.1|localhost):(?P<port>\d+)\b"
            rf"|(?P<before>\b[a-zA-Z][\w+.-]*)?(?P<scheme>://(?:[^/@\s]*@)?)(?P<bare>{names})(?=[/?#]|$)"  # redis://redis/0
            rf"|(?<![\w.])(?P<any>{re.escape(_ANY)})(?![\w.])"
            + (
                rf"|(?:(?<![\w/.$}}~-])|(?<=:///)|(?<=file://))(?P<mapped>{paths})(?=/|$|[\s:;,&|'\"`)\]}}])"
                if paths
                else ""
            )
            + r"|(?<![\w/.-])(?P<path>/tmp(?:/[^\s:'\"]*|(?=$|[\s:'\"])))"
        )

    def _replace(self, found: re.Match[str]) -> str:
        if found["port"]:
            return f"{LOOPBACK}:{self._port(found['name'] or self.service, found['port'])}"
        if found["bare"]:
            targets = self.services[found["bare"]]
            usual = _USUAL.get((found["before"] or "").lower())
            target = usual if usual in targets else targets[0] if len(targets) == 1 else None
            port = f":{self.port_of(found['bare'], target)}" if target else ""
            return f"{found['before'] or ''}{found['scheme']}{LOOPBACK}{port}"
        if found["any"]:
            return LOOPBACK
        if self.paths and found["mapped"]:
            start, whole = found.start("mapped"), found.string
            return found["mapped"] if whole.startswith(f"{self.root}/", start) else self.paths[found["mapped"]]
        path = found["path"]
        if path == str(self.root) or path.startswith(f"{self.root}/"):
            return path
        return f"{self.temporary}{path.removeprefix('/tmp')}"  # noqa: S108  # a container's /tmp, which is its own


def _hosts_beside(port_variable: str) -> list[str]:
    """REDIS_PORT goes with REDIS_HOST."""
    stem = port_variable[: -len("PORT")]
    words = _HOST_WORDS if port_variable.isupper() else [word.lower() for word in _HOST_WORDS]
    return [stem + word for word in words]


def _ports_beside(host_variable: str) -> list[str]:
    """And the reverse."""
    for word in _HOST_WORDS:
        for suffix, port in ((word, "PORT"), (word.lower(), "port")):
            if host_variable.endswith(suffix):
                return [host_variable.removesuffix(suffix) + port]
    return []
