"""All checks, by what they are about."""

from __future__ import annotations

from collections.abc import Mapping

from devctl.doctor.apps import celery
from devctl.doctor.broker import broker, broker_memory, capacity, eviction, persistence
from devctl.doctor.composition import (
    compose_file,
    data,
    exposure,
    health_checks,
    images,
    restarts,
    shutdown,
    stop_signal,
)
from devctl.doctor.delivery import delivery, visibility
from devctl.doctor.engine import engine, runtime
from devctl.doctor.environment import broker_address, environment
from devctl.doctor.facts import Examination
from devctl.doctor.letters import dead_letters
from devctl.doctor.locks import locks
from devctl.doctor.machine import disk, memory, python, redis_binary
from devctl.doctor.ports import ports
from devctl.doctor.service_settings import service_settings
from devctl.doctor.shell import completion
from devctl.doctor.state import state
from devctl.doctor.workers import contracts, services, tasks

SUBJECTS: Mapping[str, tuple[Examination, ...]] = {
    "Celery": (
        celery,
        delivery,
        visibility,
        service_settings,
        contracts,
        tasks,
        dead_letters,
    ),
    "Broker": (
        broker_address,
        broker,
        persistence,
        eviction,
        broker_memory,
        capacity,
        data,
    ),
    "Compose file": (
        compose_file,
        ports,
        environment,
        exposure,
        health_checks,
        restarts,
        shutdown,
        stop_signal,
        images,
    ),
    "What runs": (
        state,
        services,
    ),
    "Machine": (
        engine,
        runtime,
        python,
        locks,
        redis_binary,
        disk,
        memory,
        completion,
    ),
}
"""Subject -> its checks, what people came for first."""

CHECKS: tuple[Examination, ...] = tuple(check for checks in SUBJECTS.values() for check in checks)
PATIENCE: Mapping[Examination, float] = {celery: 60.0, tasks: 60.0}
"""Seconds for those that read all the code: they work, and wait for nobody."""
