"""One supervisord per stack: started when first needed, spoken to over its unix socket, ended with the last service."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devctl.errors import DevctlError
from devctl.stack.local import launch
from devctl.stack.local.place import Place, read_json, renew, write_json
from devctl.stack.local.processes import Known, end

STARTING, BACKOFF, EXITED, FATAL = 10, 30, 100, 200
_ALIVE = (STARTING, 20, BACKOFF, 40)  # RUNNING, STOPPING
_SHUTDOWN_STATE = 6  # the fault that every call gets while it stops its programs
_ANSWER_SECONDS = 5.0
_START_SECONDS = 15.0  # a cold disk and a busy machine; 0.2 s otherwise
_POLL_SECONDS = 0.01


_children: list[subprocess.Popen[bytes]] = []
"""Supervisors that this process started; most outlive it."""


@dataclass(frozen=True)
class Entry:
    """What the supervisor has to know of a program; the rest is the launcher's."""

    name: str
    restart: str
    stop_grace_seconds: float
    stop_signal: str = "TERM"


@dataclass(frozen=True)
class Process:
    """A program as the supervisor sees it."""

    state: int
    pid: int

    @property
    def alive(self) -> bool:
        """Running, about to, or not stopped yet."""
        return self.state in _ALIVE


class Ending(ConnectionError):
    """It was told to end: it stops its programs, and does nothing else any more."""


class Supervisor:
    """The supervisor of one stack."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def answers(self) -> bool:
        """Whether it runs and speaks."""
        if not self._place.socket.exists():
            return False
        try:
            self._call("getState")
        except OSError:
            return False
        return True

    def ending(self) -> bool:
        """Whether it was told to end and is busy with that."""
        try:
            self._call("getState")
        except Ending:
            return True
        except OSError:
            pass
        return False

    def wait_for_end(self, within_seconds: float) -> None:
        """Return when it has ended, or after that time."""
        known = self.identity()
        deadline = time.monotonic() + within_seconds
        while known and known.alive() and time.monotonic() < deadline:
            _reap()
            time.sleep(_POLL_SECONDS)
        _reap()

    def kill(self) -> None:
        """End one that does not answer, and not what it runs."""
        known = self.identity()
        if known and known.alive():
            with suppress(ProcessLookupError):
                os.kill(known.pid, signal.SIGKILL)
            self.wait_for_end(_ANSWER_SECONDS)

    def launch(self) -> None:
        """Start it, with no programs; returns when it answers."""
        self.configure([])
        renew(self._place.journal)
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "TZ": "UTC",  # the journal's times are read as UTC
            "LANG": "C.UTF-8",
            "DEVCTL_PYTHON": sys.executable,
            "DEVCTL_LAUNCHER": str(Path(launch.__file__)),
        }
        with self._place.journal.open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-c", str(self._configuration)],
                cwd=self._place.state,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal of `up` is not meant for it
            )
        _children.append(child)
        write_json(self._identity, {"pid": child.pid, "started_at": time.time()})
        deadline = time.monotonic() + _START_SECONDS
        while not self.answers():
            if child.poll() is not None or time.monotonic() > deadline:
                said = self._place.journal.read_text(errors="replace").splitlines()[-5:]
                raise DevctlError("supervisord did not start", details=said, hint="devctl doctor")
            time.sleep(_POLL_SECONDS)

    def shutdown(self, grace_seconds: float = 2.0) -> None:
        """End it, and what it still runs."""
        with suppress(OSError, xmlrpc.client.Error):
            self._call("shutdown")
        self.wait_for_end(grace_seconds)
        if (known := self.identity()) and known.alive():
            end([known], 0.5)
        _reap()

    def identity(self) -> Known | None:
        """Return the supervisor's own process as it was started."""
        noted = read_json(self._identity)
        return Known(int(noted["pid"]), float(noted["started_at"])) if "pid" in noted else None

    def processes(self) -> dict[str, Process]:
        """Return all programs by name; none where no supervisor answers."""
        try:
            found = self._call("getAllProcessInfo")
        except OSError:
            return {}
        return {each["name"]: Process(each["state"], each["pid"]) for each in found}

    def configure(self, entries: Iterable[Entry]) -> None:
        """Write the configuration; a running supervisor hears of it with `add`."""
        socket_path = str(self._place.socket).replace("%", "%%")
        head = (
            "[supervisord]\nnodaemon=true\nsilent=true\nlogfile=supervisord.log\nlogfile_maxbytes=0\nnocleanup=true\n"
            "pidfile=supervisord.pid\nminfds=256\nminprocs=1\n"
            f"[unix_http_server]\nfile={socket_path}\nchmod=0700\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
            "[rpcinterface:rotation]\n"
            "supervisor.rpcinterface_factory=devctl.stack.rotation:of_supervisor\n"
            "folder=logs\n"
        )
        self._configuration.write_text(head + "".join(map(_program, entries)), encoding="utf-8")

    def add(self, names: Iterable[str]) -> None:
        """Read the configuration again, take these programs in and start them; does not wait for them."""
        self._tell("reloadConfig")
        for name in names:
            self._tell("addProcessGroup", name)
            self._start(name)

    def start(self, names: Iterable[str]) -> None:
        """Start programs that it knows; harmless for one that runs."""
        for name in names:
            self._start(name)

    def stop(self, names: Iterable[str], within_seconds: float) -> None:
        """Stop these, all at once, and wait for them."""
        names = set(names)
        for name in names:
            with suppress(xmlrpc.client.Fault):  # not running: what we want
                self._tell("stopProcess", name, False)
        deadline = time.monotonic() + within_seconds
        while any(process.alive for name, process in self.processes().items() if name in names):
            if time.monotonic() > deadline:
                return  # it kills after each program's grace; who is still there is ended with the supervisor
            time.sleep(_POLL_SECONDS)

    def remove(self, names: Iterable[str]) -> None:
        """Forget stopped programs."""
        for name in names:
            with suppress(xmlrpc.client.Fault):
                self._tell("removeProcessGroup", name)

    @property
    def _configuration(self) -> Path:
        return self._place.state / "supervisord.conf"

    @property
    def _identity(self) -> Path:
        return self._place.state / "supervisord.json"

    def _start(self, name: str) -> None:
        # It raises also when the program was quick to fail; status tells that better.
        with suppress(xmlrpc.client.Fault):
            self._tell("startProcess", name, False)

    def _tell(self, method: str, *arguments: object) -> None:
        """Have it do something; it answered a moment ago."""
        try:
            self._call(method, *arguments)
        except OSError as gone:
            raise DevctlError(
                f"supervisord stopped answering in the middle of this: {gone}",
                hint="the same command once more; devctl doctor says what is left",
            ) from gone

    def _call(self, method: str, *arguments: object) -> Any:
        transport = _Transport(str(self._place.socket))
        with xmlrpc.client.ServerProxy("http://supervisor/RPC2", transport=transport) as server:
            try:
                return getattr(server.supervisor, method)(*arguments)
            except (http.client.HTTPException, xmlrpc.client.ProtocolError) as broken:
                raise ConnectionError(str(broken)) from broken
            except xmlrpc.client.Fault as fault:
                if fault.faultCode == _SHUTDOWN_STATE:
                    raise Ending("it is ending") from fault
                raise


def _reap() -> None:
    """Let go of supervisors that ended; until then they would stay as zombies of ours."""
    _children[:] = [child for child in _children if child.poll() is None]


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("supervisor", timeout=_ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_ANSWER_SECONDS)
        try:
            self.sock.connect(self._path)
        except OSError:
            self.close()
            raise


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: object) -> http.client.HTTPConnection:
        connection = _Connection(self._path)
        self._connection = (host, connection)  # type: ignore[assignment]  # where the base class looks to close it
        return connection


def _program(entry: Entry) -> str:
    again: Mapping[str, str] = {"always": "true", "unless-stopped": "true", "on-failure": "unexpected"}
    autorestart = again.get(entry.restart.partition(":")[0], "false")
    # Within startsecs an exit is a failed start: tried again, later each time. What is not to be restarted must not
    # be tried again either.
    startsecs = 0 if autorestart == "false" else 1
    settings = {
        # Quoted variables: a path may hold spaces, % and ;, which mean something in this file.
        "command": f'"%(ENV_DEVCTL_PYTHON)s" -I -S "%(ENV_DEVCTL_LAUNCHER)s" {entry.name}',
        "autostart": "false",
        "autorestart": autorestart,
        "startsecs": startsecs,
        "startretries": 10,  # about a minute; Compose would never give up
        "exitcodes": 0,
        # To the service alone: its children are its own business, Celery's would die in the middle of a task.
        "stopsignal": entry.stop_signal,
        "stopwaitsecs": max(1, round(entry.stop_grace_seconds)),
        "killasgroup": "true",
        "stdout_logfile": "NONE",  # the launcher opens the log
        "stderr_logfile": "NONE",
    }
    return f"[program:{entry.name}]\n" + "".join(f"{key}={value}\n" for key, value in settings.items())
