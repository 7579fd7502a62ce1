"""What was set for the stack: names that reach nobody, values that a service would refuse."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from devctl import dotenv
from devctl.doctor.check import Check
from devctl.doctor.facts import Facts
from devctl.errors import DevctlError
from devctl.stack import unused

_CELERY = "CELERY_"


def environment(facts: Facts) -> Iterator[Check]:
    """No variable was set in vain."""
    file = facts.settings.root / ".env"
    wrong: list[DevctlError] = []
    given = dotenv.read(file, facts.settings.environment, wrong.append)
    for line in wrong:
        yield Check("environment", "problem", line.problem, line.hint)
    in_vain = unused.find(facts.settings)
    for one in in_vain:
        yield Check(
            "environment",
            "warning",
            f"{one.name} in {one.where} reaches no service: {facts.settings.compose_file.name} does not use it",
            f"did you mean {one.meant}?"
            if one.meant
            else f"pass it on there, {one.name}: ${{{one.name}:-}}, or remove it",
        )
    if file.is_dir():
        yield Check("environment", "warning", ".env is a folder and is not read", "a file with NAME=value lines")
    elif not (wrong or in_vain):
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
            f"services use different brokers ({groups}): what one publishes, the others never see",
            "set the same CELERY_BROKER_URL for all services",
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
