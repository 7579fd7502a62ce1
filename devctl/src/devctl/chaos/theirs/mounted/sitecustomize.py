"""Mounted into the workers of a copy: writes down which task starts and ends, and installs celeriac where asked to.

It knows nothing of the app and changes nothing of it: Celery's own signals tell. Lines go to a file of the process's
own in DEVCTL_LEDGER; what is written is kept whatever kills the process. Also for the Pythons of old images.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

HOOKED = "celery.app.base"
SETTINGS = (
    "task_acks_late",
    "task_acks_on_failure_or_timeout",
    "task_reject_on_worker_lost",
    "worker_prefetch_multiplier",
)
LEASE_SECONDS = 5.0
_here = Path(__file__).resolve().parent
_files: "dict[int, int]" = {}


def write(what: str, **fields: Any) -> None:
    """A line of the ledger."""
    pid = os.getpid()
    try:
        if pid not in _files:  # a forked child has a file of its own
            name = f"{socket.gethostname()}-{pid}.jsonl"
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            _files[pid] = os.open(str(Path(os.environ["DEVCTL_LEDGER"]) / name), flags, 0o666)
        fields.update(what=what, at=time.time(), host=socket.gethostname(), pid=pid)
        os.write(_files[pid], (json.dumps(fields) + "\n").encode())
    except Exception as exc:  # whatever is wrong here, their task must not suffer
        sys.stderr.write(f"devctl: the ledger cannot be written: {exc!r}\n")


def _started(task_id: Any = None, task: Any = None, **_: Any) -> None:
    write("started", id=task_id, task=getattr(task, "name", ""))


def _ended(task_id: Any = None, task: Any = None, state: Any = None, **_: Any) -> None:
    write("ended", id=task_id, task=getattr(task, "name", ""), state=str(state))


def _failed(task_id: Any = None, sender: Any = None, exception: Any = None, **_: Any) -> None:
    """In the worker's main process: the child that ran it died. All other failures are ends."""
    if type(exception).__name__ == "WorkerLostError":
        write("ended", id=task_id, task=getattr(sender, "name", ""), state="DIED")


def _ready(sender: Any = None, **_: Any) -> None:
    """Once for each worker: what of it decides on losses."""
    app = sender.app
    found = {name: getattr(app.conf, name, None) for name in SETTINGS}
    options = dict(app.conf.broker_transport_options or {})
    found["visibility_timeout"] = options.get("visibility_timeout")
    set_here = [name for name in SETTINGS if name in getattr(app.conf, "changes", {}) or name in _configured(app)]
    tasks = {
        name: {
            "acks_late": bool(getattr(task, "acks_late", False)),
            "reject_on_worker_lost": bool(getattr(task, "reject_on_worker_lost", False)),
        }
        for name, task in app.tasks.items()
    }
    pool = getattr(sender, "pool", None)
    write(
        "ready",
        settings=found,
        set=set_here,
        tasks=tasks,
        pool=type(pool).__module__.rpartition(".")[2] if pool is not None else "",
        concurrency=getattr(getattr(sender, "controller", None), "concurrency", None),
        celery=_version(),
        transport=str(getattr(app.connection_for_read().transport, "driver_type", "")),
        celeriac=any(kind.__module__.startswith("celeriac.") for kind in type(app).__mro__),
    )


def _configured(app: Any) -> "set[str]":
    try:
        return set(app.conf.table(with_defaults=False))
    except Exception:  # another Celery
        return set()


def _version() -> str:
    import celery

    return str(celery.__version__)


def _short_lease(conf: Any = None, **_: Any) -> None:
    """A minute for each row would be a minute for nothing."""
    conf.broker_transport_options = dict(conf.broker_transport_options or {}, lease_seconds=LEASE_SECONDS)


def _hook(base: Any) -> None:
    from celery import signals

    signals.task_prerun.connect(_started, weak=False)
    signals.task_postrun.connect(_ended, weak=False)
    signals.task_failure.connect(_failed, weak=False)
    signals.worker_ready.connect(_ready, weak=False)
    if os.environ.get("DEVCTL_CELERIAC"):
        signals.celeryd_init.connect(_short_lease, weak=False)
        _install_everywhere(base)


def _install_everywhere(base: Any) -> None:
    """The one line, right after each `Celery(…)`."""
    made = base.Celery.__init__

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        import celeriac

        celeriac.install(self)

    base.Celery.__init__ = init


class _Loader(importlib.abc.Loader):
    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        self._loader.exec_module(module)
        try:
            _hook(module)
        except Exception as exc:
            sys.stderr.write(f"devctl: Celery's signals cannot be heard: {exc!r}\n")


class _Finder(importlib.abc.MetaPathFinder):
    """Waits for Celery: a process that does not import it pays nothing."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != HOOKED:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


def _theirs() -> None:
    """The sitecustomize that this one hides."""
    others = [one for one in sys.path if Path(one or ".").resolve() != _here]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if os.environ.get("DEVCTL_LEDGER"):
    sys.meta_path.insert(0, _Finder())
_theirs()
