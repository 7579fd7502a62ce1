"""What was set for the stack: names that reach nobody, values that a service would refuse."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from celeriac.typos import typos
from devctl import dotenv
from devctl.doctor.check import Check
from devctl.doctor.facts import Facts
from devctl.errors import DevctlError
from devctl.interpolation import variables

_CELERY = "CELERY_"
_OF_TOOLS = ("COMPOSE_", "DOCKER_", "BUILDKIT_", "BUILDX_", "DEVCTL_")  # read by the tools themselves
_ALIKE = 0.8  # CELERY_BROKR_URL and CELERY_BROKER_URL are 0.97, SERVICE1_PORT and SERVICE2_PORT 0.92


def environment(facts: Facts) -> Iterator[Check]:
    """No variable was set in vain."""
    file = facts.settings.root / ".env"
    used = set(_used(facts.document.data))
    wrong: list[DevctlError] = []
    given = dotenv.read(file, facts.settings.environment, wrong.append)
    own = {name for name in facts.settings.environment if name.startswith(_CELERY)} - set(given)
    lost = [(name, ".env") for name in given if name not in used and not name.startswith(_OF_TOOLS)]
    lost += [(name, "the environment") for name in sorted(own - used)]
    for line in wrong:
        yield Check("environment", "problem", line.problem, line.hint)
    found = bool(wrong)
    for name, where in lost:
        alike = difflib.get_close_matches(name, used, n=1, cutoff=_ALIKE)
        if name.startswith(_CELERY):
            alike = list(typos(_CELERY, [one for one in used if one.startswith(_CELERY)], [name]).values())
        if not alike and not (name.startswith(_CELERY) and where == ".env"):
            continue  # for somebody else
        found = True
        yield Check(
            "environment",
            "warning",
            f"{name} in {where} reaches no service: {facts.settings.compose_file.name} does not use it",
            f"did you mean {alike[0]}?" if alike else f"pass it on there, {name}: ${{{name}:-}}, or remove it",
        )
    if file.is_dir():
        yield Check("environment", "warning", ".env is a folder and is not read", "a file with NAME=value lines")
    elif not found:
        yield Check("environment", "ok", f"{len(given)} variables in .env" if file.is_file() else "no .env: defaults")


def broker_address(facts: Facts) -> Iterator[Check]:
    """All services speak to one broker, at an address that is theirs and not this machine's."""
    services = {
        name: service.environment[f"{_CELERY}BROKER_URL"]
        for name, service in facts.stack.services.items()
        if service.environment.get(f"{_CELERY}BROKER_URL")
    }
    if len(set(services.values())) > 1:
        groups = "; ".join(
            ", ".join(n for n in services if services[n] == url) for url in dict.fromkeys(services.values())
        )
        yield Check(
            "broker url",
            "problem",
            f"not one broker for all ({groups}): what one publishes the others never see",
            "one CELERY_BROKER_URL for every service",
        )
        return
    url = next(iter(services.values()), "")
    host = _host(url)
    if _local(host) and facts.containers:
        yield Check(
            "broker url",
            "problem",
            f"{host} is, in a container, the container itself: no service finds the broker",
            f"CELERY_BROKER_URL=redis://{facts.stack.broker}:6379/0 (look into .env)",
        )
    elif host and host not in facts.stack.services and not _local(host):
        yield Check("broker url", "ok", f"a broker outside this stack: {host}")
    elif url:
        yield Check("broker url", "ok", f"one broker for all services: {host}")


def _local(host: str) -> bool:
    return host in ("localhost", "127.0.0.1", "::1")


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _used(value: Any) -> Iterator[str]:
    """Every variable in the Compose file."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _used(item)
    elif isinstance(value, list):
        for item in value:
            yield from _used(item)
    elif isinstance(value, str):
        yield from variables(value)
