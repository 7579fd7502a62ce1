"""PostgreSQL without a container: a cluster of its own, made at the first start."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import struct
from collections.abc import Mapping
from pathlib import Path

from devctl.errors import DevctlError
from devctl.stack.local import listening
from devctl.stack.local.rewrite import LOOPBACK
from devctl.stack.model import Service

PORT = 5432
_PLACES = "/usr/lib/postgresql/*/bin"
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
# Made in a folder beside and moved when it is whole: a cluster that was made half would be there for ever.
_LINE = """\
if [ ! -e "$PGDATA/PG_VERSION" ]; then
    rm -rf "$PGDATA.part"
    initdb --pgdata="$PGDATA.part" --username="$POSTGRES_USER" --auth=trust --encoding=UTF8 --no-sync >&2 || exit 1
    if [ "$POSTGRES_DB" != postgres ]; then
        echo "CREATE DATABASE \\"$POSTGRES_DB\\"" | postgres --single -D "$PGDATA.part" postgres >&2 || exit 1
    fi
    mv "$PGDATA.part" "$PGDATA"
fi
exec postgres -D "$PGDATA" -p "$PGPORT" -c listen_addresses=127.0.0.1 -c unix_socket_directories= "$@"
"""


def is_postgres(service: Service) -> bool:
    """Whether a service is a plain one, by its image; what brings extensions of its own is another one."""
    words = service.command
    return listening.image(service) in ("postgres", "postgresql") and (not words or words[0] in ("postgres", "-c"))


def form(service: Service, path: str, ports: Mapping[int, int], data: Path) -> tuple[list[str], dict[str, str]]:
    """Return its command and environment; DevctlError where there is no postgres."""
    places = ":".join([path, *map(str, sorted(Path("/").glob(_PLACES.lstrip("/")), reverse=True))])
    found = shutil.which("postgres", path=places), shutil.which("initdb", path=places)
    if not all(found):
        raise DevctlError(
            f"{service.name} is a PostgreSQL, and there is no postgres on PATH",
            hint="install PostgreSQL, or use containers: --runtime compose",
        )
    data.mkdir(parents=True, exist_ok=True)
    given = service.environment
    user = given.get("POSTGRES_USER") or given.get("POSTGRESQL_USERNAME") or "postgres"
    environment = {
        "PATH": places,
        "LC_ALL": "C.UTF-8",
        "PGDATA": str(data / "cluster"),
        "PGPORT": str(ports[PORT]),
        "POSTGRES_USER": user,
        "POSTGRES_DB": given.get("POSTGRES_DB") or given.get("POSTGRESQL_DATABASE") or user,
    }
    words = [word for word in service.command if word != "postgres"]
    command = ["/bin/sh", "-c", _LINE, "postgres", *words]
    return (_as_another(data) if os.getuid() == 0 else []) + command, environment


def _as_another(data: Path) -> list[str]:
    """PostgreSQL refuses to run as root: as its own user, who may pass through the folders above its data."""
    name = next((one.pw_name for one in pwd.getpwall() if one.pw_name in ("postgres", "_postgres")), "nobody")
    os.chown(data, pwd.getpwnam(name).pw_uid, pwd.getpwnam(name).pw_gid)
    pass_through = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return [shutil.which("setpriv") or "setpriv", f"--reuid={name}", f"--regid={pwd.getpwnam(name).pw_gid}",
            "--clear-groups", *pass_through]  # fmt: skip


def ask(port: int, timeout: float) -> tuple[bool, str]:
    """Ask whether it speaks TLS: a server that is up answers, with or without it."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout) as connection:
            connection.settimeout(timeout)
            connection.sendall(_SSL_REQUEST)
            answer = connection.recv(1)
    except OSError as away:
        return False, f"PostgreSQL: {os.strerror(away.errno) if away.errno else away}"
    return answer in (b"N", b"S"), "PostgreSQL: it answers" if answer else "PostgreSQL: no answer"
