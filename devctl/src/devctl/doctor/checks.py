"""All checks, in the order of their findings: the machine, the checkout, the Compose file, then what runs."""

from __future__ import annotations

from devctl.doctor.broker import broker, broker_memory, capacity, eviction, persistence
from devctl.doctor.composition import compose_file, data, exposure, health_checks, restarts, shutdown
from devctl.doctor.delivery import delivery, visibility
from devctl.doctor.engine import compose_agrees, engine, runtime
from devctl.doctor.environment import broker_address, environment
from devctl.doctor.facts import Examination
from devctl.doctor.letters import dead_letters
from devctl.doctor.locks import locks
from devctl.doctor.machine import disk, memory, python, redis_binary
from devctl.doctor.ports import ports
from devctl.doctor.service_settings import service_settings
from devctl.doctor.shell import completion
from devctl.doctor.state import state
from devctl.doctor.workers import contracts, services

CHECKS: tuple[Examination, ...] = (
    engine,
    runtime,
    python,
    locks,
    redis_binary,
    disk,
    memory,
    compose_file,
    compose_agrees,
    ports,
    environment,
    service_settings,
    broker_address,
    exposure,
    health_checks,
    restarts,
    shutdown,
    data,
    delivery,
    visibility,
    state,
    services,
    broker,
    persistence,
    eviction,
    broker_memory,
    capacity,
    contracts,
    dead_letters,
    completion,
)
