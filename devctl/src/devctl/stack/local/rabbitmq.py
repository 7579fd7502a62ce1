"""RabbitMQ without a container: a node of its own, with its own ports, files and names, by whatever user."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

from devctl.errors import DevctlError
from devctl.stack.local import listening
from devctl.stack.local.place import read_json, write_json
from devctl.stack.local.rewrite import LOOPBACK
from devctl.stack.model import Service
from devctl.stack.ports import any_free

PORT = 5672
_MANAGEMENT = 15672
_PLACES = ("/usr/lib/rabbitmq/bin", "/opt/homebrew/sbin", "/usr/local/sbin")
"""Before PATH: the one that Debian has there lets only root and its own user run it."""
_NAMES = ("RABBITMQ_DEFAULT_USER", "RABBITMQ_DEFAULT_PASS", "RABBITMQ_DEFAULT_VHOST")
_HELLO = b"AMQP\x00\x00\x09\x01"
_START = 1  # the type of the frame that a server answers with
# The port mapper stays in this process's group, so that it ends with the node: one that it starts itself would not.
_LINE = 'epmd -address 127.0.0.1 -port "$ERL_EPMD_PORT" & exec "$0"'


def is_rabbitmq(service: Service) -> bool:
    """Whether a service is one, by its image."""
    return listening.image(service) == "rabbitmq" and service.arguments is None and service.entrypoint is None


def form(service: Service, path: str, ports: Mapping[int, int], data: Path) -> tuple[list[str], dict[str, str]]:
    """Return its command and environment; DevctlError where there is no rabbitmq-server."""
    program = shutil.which("rabbitmq-server", path=":".join((*_PLACES, path)))
    if program is None or shutil.which("epmd", path=path) is None:
        raise DevctlError(
            f"{service.name} is a RabbitMQ, and there is no rabbitmq-server on PATH",
            hint="install RabbitMQ, or use containers: --runtime compose",
        )
    data.mkdir(parents=True, exist_ok=True)
    given, bitnami = service.environment, "bitnami/" in service.image
    names = ("RABBITMQ_USERNAME", "RABBITMQ_PASSWORD", "RABBITMQ_VHOST") if bitnami else _NAMES
    lines = {
        "listeners.tcp.default": f"{LOOPBACK}:{ports[PORT]}",
        "management.tcp.ip": LOOPBACK,
        "management.tcp.port": str(ports[_MANAGEMENT]),
        "loopback_users": "none",
        "default_user": given.get(names[0], "user" if bitnami else "guest"),
        "default_pass": given.get(names[1], "bitnami" if bitnami else "guest"),
        "default_vhost": given.get(names[2], "/"),
    }
    (data / "rabbitmq.conf").write_text("".join(f"{key} = {value}\n" for key, value in lines.items()), encoding="utf-8")
    note = data / "inner.json"
    if not (
        inner := read_json(note)
    ):  # what nobody outside needs, and what stays, so that a second look changes nothing
        inner = {"nodes": any_free(), "mapper": any_free()}
        write_json(note, inner)
    managed = "management" in service.image or any(port.target == _MANAGEMENT for port in service.ports)
    (data / "enabled_plugins").write_text("[rabbitmq_management].\n" if managed else "[].\n", encoding="utf-8")
    environment = {
        "HOME": str(data),  # the cookie
        "RABBITMQ_NODENAME": f"{service.name}@localhost",
        "RABBITMQ_DIST_PORT": str(inner["nodes"]),
        "RABBITMQ_CONFIG_FILE": str(data / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(data / "none"),
        "RABBITMQ_CONF_ENV_FILE": str(data / "none"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(data / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(data),
        "RABBITMQ_PID_FILE": str(data / "pid"),
        "RABBITMQ_LOGS": "-",
        "ERL_EPMD_PORT": str(inner["mapper"]),
        "ERL_EPMD_ADDRESS": LOOPBACK,
    }
    return ["/bin/sh", "-c", _LINE, program], environment


def ask(port: int, timeout: float) -> tuple[bool, str]:
    """Say hello in AMQP."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout) as connection:
            connection.settimeout(timeout)
            connection.sendall(_HELLO)
            answer = connection.recv(1)
    except OSError as away:
        return False, f"AMQP: {os.strerror(away.errno) if away.errno else away}"
    return answer == bytes([_START]), "AMQP: it answers" if answer else "AMQP: no answer"
