"""What the Compose file says: does it read, does it survive a crash, is it shut towards the network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from devctl.doctor.check import Check
from devctl.doctor.delivery import longest_run, settings_of
from devctl.doctor.facts import Facts
from devctl.stack.model import Service

_COMPOSE_DEFAULT_GRACE = 10.0
_STOP_SECONDS = 25.0  # WORKER_STOP_SECONDS where nobody sets it
_BEYOND_STOP = 5.0  # seconds, for what is finished to be committed and the rest to be given back


def compose_file(facts: Facts) -> Iterator[Check]:
    """It reads, and every variable in it has a value."""
    stack, unset = facts.loaded
    yield Check("compose file", "ok", f"{facts.settings.compose_file.name}: {', '.join(stack.services)}")
    for variable in unset:
        yield Check(
            "compose file",
            "warning",
            f"{variable.where} uses {variable.name}, which is not set: it is empty",
            f"set {variable.name} in .env, or write ${{{variable.name}:-default}}",
        )


def exposure(facts: Facts) -> Iterator[Check]:
    """Nothing is published beyond this machine."""
    open_wide = [
        (service, port)
        for service in facts.stack.services.values()
        for port in service.ports
        if not (port.host_ip.startswith("127.") or port.host_ip in ("::1", "localhost"))
    ]
    for service, port in open_wide:
        broker = service.name == facts.stack.broker
        yield Check(
            "exposure",
            "problem" if broker and "requirepass" not in " ".join(service.command) else "warning",
            f"{service.name} port {port.target} is published to the whole network"
            + (", and the broker has no password" if broker else ""),
            f'ports: ["127.0.0.1:{port.published or ""}:{port.target}"]',
        )
    if not open_wide:
        yield Check("exposure", "ok", "published on 127.0.0.1 only")


def health_checks(facts: Facts) -> Iterator[Check]:
    """Every service can say that it is ready."""
    without = [service.name for service in facts.stack.services.values() if service.healthcheck is None]
    if without:
        names = ", ".join(without)
        yield Check(
            "health",
            "warning",
            f"no healthcheck: {names}: they count as ready as soon as they run",
            "write a healthcheck",
        )
    else:
        yield Check("health", "ok", "every service has a health check")


def restarts(facts: Facts) -> Iterator[Check]:
    """A service that crashed comes back."""
    stay_down = [service.name for service in facts.stack.services.values() if service.restart == "no"]
    if stay_down:
        names = ", ".join(stay_down)
        yield Check("restart", "warning", f"{names}: not restarted after a crash", "restart: unless-stopped")
    else:
        yield Check("restart", "ok", "every service comes back after a crash")


def shutdown(facts: Facts) -> Iterator[Check]:
    """A stop leaves running tasks the time they need."""
    limit = longest_run(settings_of(facts))
    short = [
        one
        for one in _consumers(facts)
        if one.stop_grace_seconds < (limit + 10 if limit else _COMPOSE_DEFAULT_GRACE + 1)
    ]
    for service in short:
        task = f"a task may take {limit:.0f} s" if limit else "Compose's default, and no task time limit is set"
        wanted = f"{limit + 10:.0f}s" if limit else "30s"
        yield Check(
            "shutdown",
            "warning",
            f"{service.name} is killed {service.stop_grace_seconds:.0f} s after a stop; {task}: it would run again",
            f"stop_grace_period: {wanted} (the longest task, and 10 s)",
        )
    hasty = [
        one
        for one in _consumers(facts)
        if one not in short and _stop_seconds(facts, one) + _BEYOND_STOP > one.stop_grace_seconds
    ]
    for service in hasty:
        stop = _stop_seconds(facts, service)
        yield Check(
            "shutdown",
            "warning",
            f"{service.name} is killed {service.stop_grace_seconds:.0f} s after a stop, and waits {stop:g} s for its"
            " tasks: those that still run then are returned late, and count as one more start",
            f"stop_grace_period: {stop + _BEYOND_STOP:.0f}s, or a smaller WORKER_STOP_SECONDS",
        )
    if not short and not hasty:
        seconds = min((one.stop_grace_seconds for one in _consumers(facts)), default=_COMPOSE_DEFAULT_GRACE)
        yield Check("shutdown", "ok", f"running tasks have {seconds:.0f} s to finish")


def data(facts: Facts) -> Iterator[Check]:
    """The broker's data outlives its container."""
    raw: dict[str, Any] = facts.document.data.get("services", {}).get(facts.stack.broker, {})
    if raw.get("volumes"):
        yield Check("data", "ok", f"{facts.stack.broker} writes to a volume")
    else:
        yield Check(
            "data",
            "warning",
            f"{facts.stack.broker} has no volume: its queues are lost with the container",
            "volumes: [redis-data:/data]",
        )


def _stop_seconds(facts: Facts, service: Service) -> float:
    """How long its running tasks have at a stop; 0 where that cannot be known."""
    given = service.environment.get("WORKER_STOP_SECONDS") or ""
    if not given:
        return _STOP_SECONDS if service.name in facts.stack.workers and facts.stack.contracts else 0.0
    try:
        return float(given)
    except ValueError:  # the worker says so, and does not start
        return 0.0


def _consumers(facts: Facts) -> list[Service]:
    """Services that may run tasks: all that are told where the broker is."""
    stack = facts.stack
    return [
        one for name, one in stack.services.items() if name != stack.broker and "CELERY_BROKER_URL" in one.environment
    ]
