"""What the Compose file says: does it read, does it survive a crash, is it shut towards the network."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from devctl.discovery.model import FoundService
from devctl.doctor.check import Check
from devctl.doctor.delivery import longest_run, settings_of
from devctl.doctor.facts import Facts
from devctl.stack.model import Port, Service

_COMPOSE_DEFAULT_GRACE = 10.0
_STOP_SECONDS = 25.0  # WORKER_STOP_SECONDS where nobody sets it
_BEYOND_STOP = 5.0  # seconds, for what is finished to be committed and the rest to be given back
_DATA = {"redis": ("data", "/data"), "amqp": ("data", "/var/lib/rabbitmq")}
_SHELLS = ("sh", "bash", "ash", "dash")


def compose_file(facts: Facts) -> Iterator[Check]:
    """It reads, and every variable in it has a value."""
    stack, unset = facts.loaded
    names = ", ".join(file.name for file in facts.settings.compose_files)
    yield Check("compose file", "ok", f"{names}: {', '.join(stack.services)}")
    for variable in unset:
        yield Check(
            "compose file",
            "warning",
            f"{variable.where} uses {variable.name}, which is not set: it is empty",
            f"set {variable.name} in .env, or write ${{{variable.name}:-default}}",
        )


def exposure(facts: Facts) -> Iterator[Check]:
    """Nothing is published beyond this machine that is not for others: brokers, databases, dashboards."""
    stack = facts.stack
    wide = [(one, port) for one in stack.services.values() for port in one.ports if _wide(port)]
    dashboards = facts.found.having("monitor")
    inner = {*facts.found.having("broker", "results", "database", "monitor"), stack.broker}
    rest: dict[str, list[str]] = {}
    for service, port in wide:
        where = f"{service.name} port {port.target} is published to the whole network"
        fix = f'ports: ["127.0.0.1:{port.published or port.target}:{port.target}"]'
        if service.name == stack.broker and facts.broker_kind == "redis":
            closed = _has_password(service)
            says = where if closed else f"{where}, and the broker has no password"
            yield Check("exposure", "warning" if closed else "problem", says, fix)
        elif service.name in dashboards and not _asks_who(service):
            yield Check("exposure", "warning", f"{where}: it shows arguments, and stops workers for anybody", fix)
        elif service.name in inner:
            rest.setdefault(service.name, []).append(str(port.target))
    if rest:
        listed = ", ".join(f"{name} {' '.join(ports)}" for name, ports in rest.items())
        yield Check(
            "exposure",
            "warning",
            f"published to the whole network: {listed}",
            'ports: ["127.0.0.1:PORT:PORT"]',
        )
    if not wide:
        yield Check("exposure", "ok", "published on 127.0.0.1 only")
    elif not any(one.name in inner for one, _ in wide):
        yield Check("exposure", "ok", "no broker, database or dashboard is published to the network")


def health_checks(facts: Facts) -> Iterator[Check]:
    """Who is waited for can say that it is ready, and does not pay much for it."""
    services = facts.stack.services
    waited = {name for one in services.values() for name, how in one.depends_on.items() if "completed" not in how}
    slow = {*facts.found.having("results", "database")} & waited | {facts.stack.broker}
    awaited = [name for name in services if name in slow]
    without = [name for name in awaited if services[name].healthcheck is None]
    if without:
        are = "counts as ready as soon as it runs" if len(without) == 1 else "count as ready as soon as they run"
        yield Check("health", "warning", f"no healthcheck: {', '.join(without)} {are}", "write a healthcheck")
    pinged = False
    for one in services.values():
        test = " ".join(one.healthcheck.test) if one.healthcheck else ""
        if not re.search(r"\binspect\b.*\bping\b|\bstatus\b", test) or "celery" not in test:
            continue
        pinged = True
        pays = f"{one.name} imports Celery for each probe, seconds of CPU every {_interval(one):g} s"
        alone = re.search(r"\s(-d|--destination)\b", test) is not None
        yield Check(
            "health",
            "warning",
            pays if alone else f"{pays}, and is healthy when any worker answers",
            "celery … inspect ping -d celery@$HOSTNAME, at a long interval",
        )
    if not without and not pinged:
        yield Check("health", "ok", "who is waited for has a health check")


def restarts(facts: Facts) -> Iterator[Check]:
    """A service that crashed comes back; a job that is done does not."""
    needed = {one.name for one in facts.having("worker", "beat")} | {facts.stack.broker}
    stay_down = [name for name, one in facts.stack.services.items() if name in needed and one.restart == "no"]
    again = [one for one in facts.having("job") if one.restart in ("always", "unless-stopped")]
    if stay_down:
        names = ", ".join(stay_down)
        yield Check("restart", "warning", f"{names}: not restarted after a crash", "restart: unless-stopped")
    for job in again:
        yield Check(
            "restart", "warning", f"{job.name} is a job, and restart: {job.restart} runs it for ever", 'restart: "no"'
        )
    if not stay_down and not again:
        yield Check("restart", "ok", "workers and broker come back after a crash")


def stop_signal(facts: Facts) -> Iterator[Check]:
    """Celery hears of a stop: a shell before it does not pass the signal on."""
    deaf = False
    for name in facts.found.having("worker"):
        one = facts.found.services[name]
        place = _shell_before(facts, one)
        if place:
            deaf = True
            yield Check(
                "stop-signal",
                "warning",
                f"{name} starts Celery from a shell without exec: a stop never reaches it, and after the grace it is"
                " killed with all that it runs",
                "exec celery …, as the last command",
                place,
            )
    if not deaf and facts.having("worker"):
        yield Check("stop-signal", "ok", "workers hear of a stop")


def shutdown(facts: Facts) -> Iterator[Check]:
    """A stop leaves running tasks the time they need."""
    limit = longest_run(settings_of(facts))
    workers = facts.having("worker")
    needed = limit + 10 if limit else _COMPOSE_DEFAULT_GRACE + 1
    short = [one for one in workers if one.stop_grace_seconds < needed]
    for grace in sorted({one.stop_grace_seconds for one in short}):
        names = [one.name for one in short if one.stop_grace_seconds == grace]
        are = "is" if len(names) == 1 else "are"
        task = f"a task may take {limit:.0f} s" if limit else "Compose's default, and no task time limit is known"
        yield Check(
            "shutdown",
            "warning",
            f"{', '.join(names)} {are} killed {grace:.0f} s after a stop; {task}: what runs is lost or runs again",
            f"stop_grace_period: {f'{needed:.0f}s' if limit else '30s'} (the longest task, and 10 s)",
        )
    hasty = [
        one for one in workers if one not in short and _stop_seconds(facts, one) + _BEYOND_STOP > one.stop_grace_seconds
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
    if workers and not short and not hasty:
        seconds = min(one.stop_grace_seconds for one in workers)
        yield Check("shutdown", "ok", f"running tasks have {seconds:.0f} s to finish")


def data(facts: Facts) -> Iterator[Check]:
    """The broker's data outlives its container."""
    broker = facts.broker_service
    if broker is None or facts.broker_kind not in _DATA:
        return
    volume, folder = _DATA[facts.broker_kind]
    official = broker.image.partition(":")[0] in ("redis", "rabbitmq", "valkey/valkey")
    kept = [
        one
        for one in broker.mounts
        if one.kind in ("bind", "volume") and (_keeps(one.target, folder) or not (official or one.read_only))
    ]
    if not kept:
        yield Check(
            "data",
            "warning",
            f"{broker.name} has no volume for {folder}: its queues are lost with the container",
            f"volumes: [{broker.name}-{volume}:{folder}]",
        )
    elif facts.broker_kind == "amqp" and not broker.hostname:
        yield Check(
            "data",
            "warning",
            f"{broker.name} has no hostname: RabbitMQ keeps its data under it, and a new container has another one: the"
            " queues are there and nobody finds them",
            f"hostname: {broker.name}",
        )
    else:
        yield Check("data", "ok", f"{broker.name} writes to a volume")


def images(facts: Facts) -> Iterator[Check]:
    """What is pulled tomorrow is what was tried today."""
    services = facts.stack.services.values()
    built = {one.image for one in services if one.build is not None}
    pulled = dict.fromkeys(one.image for one in services if one.build is None and one.image not in built)
    loose = [image for image in pulled if image and _any_version(image)]
    if loose:
        yield Check(
            "images",
            "warning",
            f"{', '.join(loose)}: no version, so the next pull may bring another one",
            f"image: {loose[0].rpartition(':')[0] or loose[0]}:VERSION",
        )


def _any_version(image: str) -> bool:
    name, _, tag = image.rpartition("/")[2].partition(":")
    return "@" not in name and tag in ("", "latest", "alpine", "slim")


def _wide(port: Port) -> bool:
    return not (port.host_ip.startswith("127.") or port.host_ip in ("::1", "localhost"))


def _has_password(service: Service) -> bool:
    return "requirepass" in " ".join(service.command) or any("PASSWORD" in name for name in service.environment)


def _asks_who(service: Service) -> bool:
    """Whether a dashboard asks for a password."""
    return "auth" in " ".join([*service.command, *service.environment]).lower()


def _keeps(target: str, folder: str) -> bool:
    target = target.rstrip("/")
    return target == folder or folder.startswith(f"{target}/") or target.startswith(f"{folder}/")


def _interval(service: Service) -> float:
    return service.healthcheck.interval if service.healthcheck else 0.0


def _shell_before(facts: Facts, one: FoundService) -> str:
    """Where a shell starts Celery and stays before it; "" where nothing does, or nothing says so."""
    service = facts.stack.services.get(one.name)
    words: Sequence[str] = service.command if service else ()
    if len(words) >= 3 and words[0].rpartition("/")[2] in _SHELLS and words[1].startswith("-") and "c" in words[1]:
        script = words[2]
        compound = re.search(r"&&|;|\|\||\n", script)
        last = re.split(r"&&|;|\|\||\n", script.strip())[-1].strip()
        if compound and "celery" in last and not last.startswith("exec "):
            return one.launch.source
        return ""
    where, _, line = one.launch.source.rpartition(":")
    if not where.endswith((".sh", "entrypoint", "start")) or not line.isdigit():
        return ""
    try:
        text = (facts.settings.root / Path(where)).read_text(encoding="utf-8").splitlines()[int(line) - 1]
    except (OSError, ValueError, IndexError):
        return ""
    return one.launch.source if "celery" in text and not text.strip().startswith("exec ") else ""


def _stop_seconds(facts: Facts, service: Service) -> float:
    """How long its running tasks have at a stop; 0 where that cannot be known."""
    given = service.environment.get("WORKER_STOP_SECONDS") or ""
    if not given:
        return _STOP_SECONDS if service.name in facts.stack.workers and facts.stack.contracts else 0.0
    try:
        return float(given)
    except ValueError:  # the worker says so, and does not start
        return 0.0
