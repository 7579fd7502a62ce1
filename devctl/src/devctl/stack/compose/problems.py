"""What the docker client says when it fails, as problems with a name and a way out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from devctl.errors import DevctlError
from devctl.stack import ports

_LAST_LINES = 15  # of a failing build step: the error and what led to it
_LONGEST_LINE = 240  # characters: pip names every version of a package that it does not take
_NO_DAEMON = re.compile(r"cannot connect to the docker daemon|error during connect|is the docker daemon running", re.I)
_PORT = re.compile(r"(?:Bind for |listen \w+ |bind host port for |exposing port \w+ )\S*?:(?P<port>\d+)\b[^\n]*"
                   r"(?:already allocated|already in use)", re.I)  # fmt: skip
_ENDPOINT = re.compile(r"on endpoint (?P<container>\S+)")
_PULL = re.compile(
    r"pull access denied|manifest (?:for \S+ )?(?:unknown|not found)|failed to resolve (?:source metadata|reference)"
    r"|no such host|i/o timeout|connection refused|TLS handshake|x509|registry-\d|toomanyrequests"
    r"|unauthorized|network is unreachable",
    re.I,
)
_SOLVE = re.compile(r"failed to solve: (?P<image>\S+): (?:failed to resolve|\S+ not found|not found)")
_ABSENT = re.compile(r"No such image: (?P<image>\S+)")
_TAKEN_NAME = re.compile(r'container name "/?(?P<name>[^"]+)" is already in use')
_EXTERNAL = re.compile(r'(?P<kind>network|volume) "?(?P<name>[\w.-]+)"?[^\n]* (?:not found|could not be found)')
_NOISE = re.compile(
    r"^(?:Error: failed to start containers|time=\"[^\"]*\" level=warning|WARN\[|--progress is a global)"
)
_STEP = re.compile(r"^#(?P<number>\d+) (?P<text>.*)$")


@dataclass(frozen=True)
class Context:
    """What the messages need to know of the stack."""

    variable: Callable[[str], str]
    """A default of the Compose file -> the variable that replaces it, or ""."""
    holder: Callable[[int], str]
    """A port -> the container that publishes it, or "" where it is no container."""
    option: str = ""
    """` --stack NAME` for an isolated stack."""
    builds: Mapping[str, str] = field(default_factory=dict)
    """An image that is built here -> its service."""


def reason(output: str) -> str:
    """Return the line that says why: the last one that is no progress and no warning."""
    lines = [line.strip() for line in output.splitlines() if line.strip() and not _NOISE.match(line)]
    return lines[-1].removeprefix("Error response from daemon: ") if lines else "no reason given"


def engine_gone(output: str) -> DevctlError | None:
    """Whether the engine itself does not answer (any more)."""
    if not _NO_DAEMON.search(output):
        return None
    return DevctlError(
        "no container engine answers",
        hint=f"start it; docker says: {reason(output)}\nor without containers: --runtime local",
    )


def call(doing: str, output: str) -> DevctlError:
    """Explain a call that failed."""
    return engine_gone(output) or DevctlError(f"{doing} failed: {reason(output)}", hint="devctl doctor")


def start(services: Sequence[str], output: str, context: Context) -> DevctlError:
    """Explain a start that was refused."""
    names = ", ".join(services)
    if gone := engine_gone(output):
        return gone
    if taken := _PORT.search(output):
        return _port(int(taken["port"]), services, output, context)
    if absent := _ABSENT.search(output):
        return DevctlError(
            f"the image {absent['image']} is not built",
            hint=f"devctl build {context.builds.get(absent['image'], ' '.join(services))}{context.option}",
        )
    beside = f"in a stack of its own: devctl up {' '.join(services)} --isolated"
    if name := _TAKEN_NAME.search(output):
        return DevctlError(
            f"the container name {name['name']} is taken: `container_name` in the Compose file, and a container "
            "of another project has it",
            hint=f"{beside}\nor remove the other one: docker rm --force {name['name']}",
        )
    if lacking := _EXTERNAL.search(output):
        kind, name_ = lacking["kind"], lacking["name"]
        return DevctlError(
            f"the {kind} {name_} is not there: `external: true` in the Compose file, so somebody else makes it",
            hint=f"make it: docker {kind} create {name_}\nor {beside}",
        )
    return DevctlError(f"{names} cannot start: {reason(output)}", hint=f"devctl doctor{context.option}")


def pull(services: Sequence[str], image: str, output: str, context: Context) -> DevctlError:
    """Explain an image that cannot be pulled."""
    variable = context.variable(image) if image else ""
    other = f"another image: {variable}=… devctl up {services[0]}{context.option}\n" if variable else ""
    return DevctlError(
        f"the image {image or 'of ' + ', '.join(services)} is not here and cannot be pulled",
        details=(reason(output).rpartition("failed to do request: ")[2],),
        hint=f"{other}or without containers: --runtime local",
    )


def build(services: Sequence[str], lines: Sequence[str], context: Context) -> DevctlError:
    """Explain a failed build by the lines of the step that failed."""
    output = "\n".join(lines)
    if gone := engine_gone(output):
        return gone
    if (solve := _SOLVE.search(output)) and _PULL.search(output):
        return pull(services, solve["image"], output, context)
    if not any(map(_STEP.match, lines)):  # nothing was begun: it is not about a Dockerfile
        return DevctlError(
            f"{', '.join(services)} cannot be built: {reason(output)}",
            hint="what Compose thinks of the file: docker compose config --quiet",
        )
    said = _failing_step(lines)
    service = said[0].partition("[")[2].partition(" ")[0] if said else ""
    name = service if service in services else ", ".join(services)
    return DevctlError(
        f"the build of {name} failed: {reason(output).removeprefix('failed to solve: ')}",
        details=tuple(f"│ {_cut(line)}" for line in said),
        hint=f"fix its Dockerfile or what the lines above name, then: devctl build {name.replace(',', '')}",
    )


def _cut(line: str) -> str:
    half = _LONGEST_LINE // 2  # the end often says more than the middle
    return line if len(line) <= _LONGEST_LINE else f"{line[:half]} … {line[-half:]}"


def _port(port: int, services: Sequence[str], output: str, context: Context) -> DevctlError:
    endpoint = _ENDPOINT.search(output)
    blamed = [
        name for name in services if endpoint and re.search(rf"[-_]{re.escape(name)}[-_]\d+$", endpoint["container"])
    ]
    service = blamed[0] if blamed else services[0]
    variable, container = context.variable(str(port)), context.holder(port)
    if not container:
        return ports.in_use(service, port, variable)
    elsewhere = f"{variable}={ports.another(port)} devctl up {service}{context.option}, or " if variable else ""
    return DevctlError(
        f"port {port} is in use: container {container} publishes it, and {service} needs it",
        hint=f"{elsewhere}beside it on free ports: devctl up {service} --isolated\nor end it: docker stop {container}",
    )


def _failing_step(lines: Sequence[str]) -> list[str]:
    """Return the head of the step that failed, and its last lines."""
    steps: dict[str, list[str]] = {}
    failed = ""
    for line in lines:
        if match := _STEP.match(line):
            steps.setdefault(match["number"], []).append(match["text"])
            if match["text"].startswith("ERROR"):
                failed = match["number"]
    if not failed:
        return [line for line in lines if line.strip()][-_LAST_LINES:]
    head, *rest = steps[failed]
    return [head, *rest[-_LAST_LINES:]]
