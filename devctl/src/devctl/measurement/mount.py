"""What workers need in order to be measured: celeriac's workbench, which they have only where a setting mounts it."""

from __future__ import annotations

import os
from collections.abc import Mapping

from devctl.errors import DevctlError
from devctl.stack.model import Service

VARIABLE, WORKBENCH = "WORKER_MOUNT", "celeriac.workbench"


def value(environment: Mapping[str, str]) -> str:
    """The variable's value with the workbench, beside what the user mounts."""
    given = [name.strip() for name in environment.get(VARIABLE, "").split(",") if name.strip()]
    return ",".join(given if WORKBENCH in given else [*given, WORKBENCH])


def everywhere(environment: Mapping[str, str]) -> None:
    """Mount it in what this process starts from now on, on either runtime. Before the settings are read."""
    os.environ[VARIABLE] = value(environment)


def missing(service: Service, stack: str) -> DevctlError:
    """Why a worker cannot be measured, and what to do."""
    if WORKBENCH not in service.environment.get(VARIABLE, ""):
        return DevctlError(
            f"{service.name} cannot be measured: the Compose file does not pass {VARIABLE} on to it",
            hint=f"services: {{{service.name}: {{environment: {{{VARIABLE}: ${{{VARIABLE}:-}}}}}}}}",
        )
    of = f" --stack {stack}" if stack else ""
    return DevctlError(
        f"{service.name} cannot be measured: it was started without {VARIABLE}={WORKBENCH}",
        hint=f"devctl up {service.name}{of}     restarts it with that setting",
    )
