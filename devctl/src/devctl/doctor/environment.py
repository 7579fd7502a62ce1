"""What was set for the stack: names that reach nobody, values that a service would refuse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from devctl import dotenv
from devctl.discovery import addresses
from devctl.doctor.check import Check
from devctl.doctor.facts import Facts
from devctl.errors import DevctlError
from devctl.stack import refusal, unused

_CELERY = "CELERY_"


def environment(facts: Facts) -> Iterator[Check]:
    """No variable was set in vain."""
    file = facts.settings.root / ".env"
    wrong: list[DevctlError] = []
    given = dotenv.read(file, facts.settings.environment, wrong.append)
    for line in wrong:
        yield Check("environment", "problem", line.problem, line.hint)
    lacking = list(_missing_files(facts))
    yield from lacking
    in_vain = [] if _copied(facts) else unused.find(facts.settings)
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
    elif not (wrong or in_vain or lacking):
        yield Check("environment", "ok", f"{len(given)} variables in .env" if file.is_file() else "no .env: defaults")


def _missing_files(facts: Facts) -> Iterator[Check]:
    readers: dict[Path, list[str]] = {}
    for one in facts.stack.services.values():
        for missing in one.missing_env_files:
            readers.setdefault(missing, []).append(one.name)
    for missing, names in readers.items():
        error = refusal.missing(missing, ", ".join(names))
        yield Check("environment", "problem", f"{error.problem}: nobody can start it", error.hint)


def _copied(facts: Facts) -> bool:
    """Whether a service may read .env itself: it is in its image, or mounted."""
    root = facts.settings.root
    for one in facts.stack.services.values():
        if one.build is not None and one.build.context == root and not facts.stack.contracts:
            return True
        if any(mount.kind == "bind" and Path(mount.source) == root for mount in one.mounts):
            return True
    return False


def broker_address(facts: Facts) -> Iterator[Check]:
    """All services speak to one broker, at an address that is theirs and not this machine's."""
    services = {
        name: service.environment[f"{_CELERY}BROKER_URL"]
        for name, service in facts.stack.services.items()
        if service.environment.get(f"{_CELERY}BROKER_URL")
    }
    of_celery = facts.found.having("worker", "beat", "web")
    ends = {name: _end(url) for name, url in services.items() if name in of_celery}
    if len(set(ends.values())) > 1:
        groups = "; ".join(
            ", ".join(name for name in ends if ends[name] == end) for end in dict.fromkeys(ends.values())
        )
        yield Check(
            "broker url",
            "problem",
            f"services use different brokers ({groups}): what one publishes, the others never see",
            "set the same CELERY_BROKER_URL for all services",
        )
        return
    given = next(iter(services.values()), "")
    answer = facts.found.broker_url
    url = given or answer.value or ""
    host, place = _host(url), "" if given else answer.source
    broker = facts.stack.broker or "SERVICE"
    right = f"amqp://{broker}:5672//" if facts.broker_kind == "amqp" else f"redis://{broker}:6379/0"
    if _local(host) and facts.containers:
        yield Check(
            "broker url",
            "problem",
            f"{host} is, in a container, the container itself: no service finds the broker",
            f"CELERY_BROKER_URL={right} (look into .env)" if given else f"{right}, from the environment",
            place,
        )
    elif host and not addresses.service(url, facts.stack.services) and not _local(host):
        yield Check("broker url", "ok", f"a broker outside this stack: {host}", place=place)
    elif url:
        yield Check("broker url", "ok", f"one broker for all services: {host}", place=place)
    elif facts.having("worker"):
        yield Check("broker url", "skipped", "not known: where the workers find their broker", answer.source)


def _end(url: str) -> str:
    """A URL with what it leaves out: redis://redis is redis://redis:6379/0."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"redis": 6379, "amqp": 5672, "pyamqp": 5672}.get(parts.scheme)
    except ValueError:
        return url
    return f"{parts.scheme}://{parts.hostname}:{port}/{parts.path.strip('/') or '0'}"


def _local(host: str) -> bool:
    return host in ("localhost", "127.0.0.1", "::1")


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
